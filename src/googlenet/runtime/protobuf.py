"""The wire format of protocol buffers, read in place.

A library of our own, for three reasons.  Google's `protobuf` gives a repeated float as Python
objects, one a number, and has to hold the whole message tree; here an array stays a view of the
mapped file.  Code generated for Caffe, TensorFlow and ONNX ties the user to one major version of
that library each.  And the wire format is five cases, fixed since 2008.  The tests hold this
reader against Google's own.

Hostile input: nothing here recurses, no length is believed beyond its message, and one file may
have `MAX_FIELDS` fields in all, which bounds time and memory.

Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from googlenet.runtime.errors import ModelFileError

MAX_FIELDS = 200_000  # bvlc_googlenet.caffemodel has less than ten thousand
MAX_PACKED_BYTES = 8 << 20  # of one array of variable-length integers
MAX_VARINT_BYTES = 10

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
FIXED_SIZES = {FIXED64: 8, FIXED32: 4}

Value = int | memoryview


class TruncatedError(ModelFileError):
    """A message that ends before what it declares; `field` is the last one begun, if any."""

    field: int | None = None


class Budget:
    """How many more fields a file may have."""

    def __init__(self) -> None:
        self.left = MAX_FIELDS

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise ModelFileError(f"a file may have {MAX_FIELDS:,} fields, this has more")


class Message:
    """One message: the values of each field by its number, arrays and messages as views."""

    def __init__(self, data: memoryview, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.fields: dict[int, list[Value]] = {}
        at = 0
        while at < len(data):
            self.budget.spend()
            number, value, at = read_field(data, at)
            self.fields.setdefault(number, []).append(value)

    def views(self, number: int) -> list[memoryview]:
        """The field's values where they are byte strings: text, messages, packed arrays."""
        values = self.fields.get(number, [])
        return [value for value in values if isinstance(value, memoryview)]

    def messages(self, number: int) -> Iterator[Message]:
        """The field's values as messages, each parsed when its turn comes."""
        for view in self.views(number):
            yield Message(view, self.budget)

    def message(self, number: int) -> Message:
        """The field's last value as a message, an empty one where there is none."""
        return Message((self.views(number) or [memoryview(b"")])[-1], self.budget)

    def text(self, number: int) -> str:
        """The field's last value as text, "" where there is none."""
        views = self.views(number)
        return bytes(views[-1]).decode("utf-8", "replace") if views else ""

    def integer(self, number: int, default: int = 0) -> int:
        """The field's last value as a signed integer."""
        integers = self.integers(number)
        return int(integers[-1]) if integers.size else default

    def integers(self, number: int) -> NDArray[np.int64]:
        """Every value of the field as signed integers, packed or one by one."""
        parts = [
            unpack_varints(value)
            if isinstance(value, memoryview)
            else np.array([value], dtype=np.uint64)
            for value in self.fields.get(number, [])
        ]
        return np.concatenate([np.empty(0, np.uint64), *parts]).view(np.int64)

    def numbers(self, number: int, dtype: str) -> NDArray[np.generic]:
        """A copy of every value of the field, of fixed-size numbers, packed or one by one."""
        size = np.dtype(dtype).itemsize
        views = self.views(number)
        if any(len(view) % size for view in views):
            raise ModelFileError(f"field {number} must be numbers of {size} bytes, is not")
        arrays = [np.frombuffer(view, dtype) for view in views]
        native = np.dtype(dtype).newbyteorder("=")
        return np.concatenate([np.empty(0, dtype), *arrays]).astype(native, copy=False)

    def real(self, number: int, default: float) -> float:
        """The field's last value as a 32-bit float."""
        values = self.numbers(number, "<f4")
        return float(values[-1]) if values.size else default


def read_field(data: memoryview, at: int) -> tuple[int, Value, int]:
    """The number and value of the field at an offset, and the offset of the next."""
    key, at = read_varint(data, at)
    number, wire = key >> 3, key & 7
    if number == 0:
        raise ModelFileError("is not a protocol buffer: it has a field of number 0")
    if wire == VARINT:
        value, at = read_varint(data, at, number)
        return number, value, at
    if wire == LENGTH:
        size, at = read_varint(data, at, number)
    elif wire in FIXED_SIZES:
        size = FIXED_SIZES[wire]
    else:
        raise ModelFileError(f"is not a protocol buffer: field {number} has wire type {wire}")
    if size > len(data) - at:
        truncated(f"field {number} declares {size:,} bytes, {len(data) - at:,} are left", number)
    return number, data[at : at + size], at + size


def read_varint(data: memoryview, at: int, number: int | None = None) -> tuple[int, int]:
    """A variable-length integer of up to 64 bits, and the offset behind it."""
    value = 0
    for place in range(MAX_VARINT_BYTES):
        if at + place >= len(data):
            truncated("the file ends within a number", number)
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + place + 1
    raise ModelFileError("is not a protocol buffer: a number has more than ten bytes")


def unpack_varints(data: memoryview) -> NDArray[np.uint64]:
    """The variable-length integers that lie end to end in `data`."""
    if len(data) > MAX_PACKED_BYTES:
        raise ModelFileError(
            f"an array of integers may have {MAX_PACKED_BYTES:,} bytes, this has {len(data):,}"
        )
    octets = np.frombuffer(data, np.uint8)
    last = np.flatnonzero(octets < 0x80)
    if len(octets) and (not last.size or last[-1] != len(octets) - 1):
        truncated("an array of integers ends within a number", None)
    first = np.concatenate([np.zeros(min(1, last.size), np.int64), last[:-1] + 1])
    values = np.zeros(len(last), np.uint64)
    for place in range(int((last - first).max(initial=-1)) + 1):
        if place >= MAX_VARINT_BYTES:
            raise ModelFileError("is not a protocol buffer: a number has more than ten bytes")
        here = np.flatnonzero(first + place <= last)
        bits = (octets[first[here] + place] & 0x7F).astype(np.uint64)
        values[here] |= bits << np.uint64(7 * place)
    return values


def truncated(message: str, number: int | None) -> NoReturn:
    error = TruncatedError(f"is truncated: {message}")
    error.field = number
    raise error
