"""What a JPEG XL file declares, read before its pixels: its decoder starts with all of them."""

from __future__ import annotations

from typing import NamedTuple

CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
CODESTREAM = b"\xff\x0a"
LONGEST_HEADER = 32  # bytes of a codestream that hold its size and orientation
# Widths as fractions of the height (ISO/IEC 18181-1, SizeHeader, `ratio`).
RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


class JxlHeader(NamedTuple):
    """Pixels as stored; orientation: as in EXIF, 1 where the codestream turns nothing."""

    width: int
    height: int
    orientation: int


class Bits:
    """Bits of a codestream, the lowest of each byte first."""

    def __init__(self, content: bytes) -> None:
        self.value = int.from_bytes(content, "little")

    def take(self, count: int) -> int:
        found = self.value & ((1 << count) - 1)
        self.value >>= count
        return found

    def size(self, small: int) -> int:
        """A side in pixels: of few bits in eights where `small`, else of 9, 13, 18 or 30 bits."""
        if small:
            return 8 * (1 + self.take(5))
        return 1 + self.take((9, 13, 18, 30)[self.take(2)])


def is_jxl(start: bytes) -> bool:
    return start.startswith((CODESTREAM, CONTAINER))


def read_jxl_header(content: bytes) -> JxlHeader:
    """Size and orientation.  Raises ValueError for content without a codestream."""
    start = codestream(content)
    if not start.startswith(CODESTREAM):
        raise ValueError("no JPEG XL codestream")
    bits = Bits(start[2:])
    small = bits.take(1)
    height = bits.size(small)
    ratio = bits.take(3)
    if ratio:
        over, under = RATIOS[ratio]
        width = height * over // under
    else:
        width = bits.size(small)
    has_fields = not bits.take(1) and bits.take(1)  # not all default, and orientation among it
    return JxlHeader(width, height, 1 + bits.take(3) if has_fields else 1)


def codestream(content: bytes) -> bytes:
    """The first bytes of the codestream, in its container or bare."""
    if not content.startswith(CONTAINER):
        return content[:LONGEST_HEADER]
    at = 0
    while at + 8 <= len(content):
        size, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        header = 8
        if size == 1:  # the size follows, in eight bytes
            size, header = int.from_bytes(content[at + 8 : at + 16], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            begin = at + header + 4 * (kind == b"jxlp")  # a part begins with its number
            return content[begin : begin + LONGEST_HEADER]
        if size < header:  # 0: up to the end of the file
            break
        at += size
    return b""
