"""Reading a request: its parameters, and the photos in its body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from googlenet.serving.http_error import RefusalError
from googlenet.serving.limits import Limits
from googlenet.serving.service import Holding

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_TOP = 1000
MIN_RATE = 2**16  # bytes a second: each byte that arrives buys its sender time for more
RAW = ("application/octet-stream", "")
FORM = "multipart/form-data"


def parameters(request: Request) -> tuple[int, bool]:
    """The query's `top` and `cam`.  Raises RefusalError (400) for any other, or another value."""
    for name in request.query_params:
        if name not in ("top", "cam"):
            raise RefusalError(400, f"the parameters are top and cam, got {name[:40]!r}")
        if len(request.query_params.getlist(name)) > 1:
            raise RefusalError(400, f"{name} must be given once, got it several times")
    top, cam = request.query_params.get("top", "5"), request.query_params.get("cam", "0")
    if not (top.isascii() and top.isdigit() and len(top) <= 4 and 1 <= int(top) <= MAX_TOP):
        raise RefusalError(400, f"top must be a whole number from 1 to {MAX_TOP}, got {top[:40]!r}")
    if cam not in ("0", "1"):
        raise RefusalError(400, f"cam must be 0 or 1, got {cam[:40]!r}")
    return int(top), cam == "1"


async def read_photos(request: Request, limits: Limits, holding: Holding) -> list[bytes]:
    """The photos of a request: its body, or each file of a form.

    Raises RefusalError: 400 for a body that is no form or empty, 408 for one that comes too slowly,
    413 for one too large, 415 for another type; starlette's ClientDisconnect for half a body.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in (FORM, *RAW) and not kind.startswith("image/"):
        raise RefusalError(
            415, f"a body must be of type image/*, {RAW[0]} or {FORM}, got {kind[:60]!r}"
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusalError(415, "a body must not be compressed: photos are already")
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > limits.body:
        raise RefusalError(
            413, f"a request may have {limits.body} bytes, this announces {announced}"
        )
    stream = bounded(request, limits, holding)
    photos = await form(request, stream, limits) if kind == FORM else await raw(stream)
    if not photos:
        raise RefusalError(400, "a request must hold a photo, this holds none")
    return photos


async def bounded(
    request: Request, limits: Limits, holding: Holding
) -> AsyncGenerator[bytes, None]:
    """The body piece by piece, within the limits of size, time and memory."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    total = 0
    pieces = request.stream()
    while True:
        deadline = began + limits.read_seconds + total / MIN_RATE
        try:
            async with asyncio.timeout_at(deadline):
                piece = await anext(pieces, None)
        except TimeoutError:
            raise RefusalError(408, "the request's body came too slowly") from None
        if piece is None:
            return
        total += len(piece)
        if total > limits.body:
            raise RefusalError(413, f"a request may have {limits.body} bytes, this has more")
        holding.add(len(piece))
        yield piece


async def raw(stream: AsyncGenerator[bytes, None]) -> list[bytes]:
    body = b"".join([piece async for piece in stream])
    return [body] if body else []


async def form(
    request: Request, stream: AsyncGenerator[bytes, None], limits: Limits
) -> list[bytes]:
    """The files of a form, whatever their names."""
    _, options = parse_options_header(request.headers["content-type"])
    boundary = options.get(b"boundary")
    if not boundary:
        raise RefusalError(400, f"a body of type {FORM} must name its boundary")
    files = Files(limits.photos)
    try:
        parser = MultipartParser(boundary, files.callbacks())
        async for piece in stream:
            parser.write(piece)
        parser.finalize()
    except FormParserError as error:
        raise RefusalError(400, f"the body is no {FORM}") from error
    if not files.ended:
        raise RefusalError(400, "the form is not complete: its last boundary is missing")
    return [bytes(photo) for photo in files.photos]


class Files:
    """Gathers the files of a form, at most `most`, in memory: `bounded` limits how much."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.photos: list[bytearray] = []
        self.name = self.value = self.disposition = b""  # of a part's headers
        self.ended = False

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self.on_part_begin,
            "on_header_field": self.on_header_field,
            "on_header_value": self.on_header_value,
            "on_header_end": self.on_header_end,
            "on_headers_finished": self.on_headers_finished,
            "on_part_data": self.on_part_data,
            "on_end": self.on_end,
        }

    def on_part_begin(self) -> None:
        if len(self.photos) == self.most:
            raise RefusalError(413, f"a request may have {self.most} photos, this has more")
        self.photos.append(bytearray())
        self.disposition = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self.name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def on_header_end(self) -> None:
        if self.name.lower() == b"content-disposition":
            self.disposition = self.value
        self.name = self.value = b""

    def on_headers_finished(self) -> None:
        if b"filename" not in parse_options_header(self.disposition)[1]:
            raise RefusalError(400, "each part of the form must be a file, with a file name")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.photos[-1] += data[start:end]

    def on_end(self) -> None:
        self.ended = True
