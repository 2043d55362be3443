"""Tensors of the Open Inference Protocol v2: JSON, and the binary data behind it.

Names, types and layouts are those of the protocol's binary tensor data extension: elements in
row-major order, little-endian; each element of BYTES behind its length in four bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.serving.http_error import HTTPError
from googlenet.serving.json_body import object_in, parse_object, shown

LENGTH_HEADER = "Inference-Header-Content-Length"
TYPES = {np.dtype(np.float32): "FP32", np.dtype(np.bool_): "BOOL", np.dtype(object): "BYTES"}


def split_body(body: bytes, header_length: str | None) -> tuple[dict[str, Any], memoryview]:
    """The JSON object and the binary data; without a length all of the body is JSON.

    Raises HTTPError (400, 413).
    """
    if header_length is None:
        return parse_object(body), memoryview(b"")
    digits = header_length.isascii() and header_length.isdigit() and len(header_length) < 12
    if not digits or int(header_length) > len(body):
        raise HTTPError(
            400,
            f"{LENGTH_HEADER} must be a number up to the body's {len(body)} bytes, "
            f"got {header_length[:40]!r}",
        )
    return parse_object(body[: int(header_length)]), memoryview(body)[int(header_length) :]


def binary_parts(inputs: Sequence[dict[str, Any]], data: memoryview) -> list[memoryview | None]:
    """Each input's binary data, None for one that has none.  Raises HTTPError (400)."""
    parts: list[memoryview | None] = []
    at = 0
    for tensor in inputs:
        size = object_in(tensor, "parameters").get("binary_data_size")
        if size is None:
            parts.append(None)
            continue
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(data) - at:
            raise HTTPError(
                400, f"binary_data_size must be at most {len(data) - at} bytes, got {shown(size)}"
            )
        parts.append(data[at : at + size])
        at += size
    if at != len(data):
        raise HTTPError(400, f"the inputs have {at} bytes of binary data, the body {len(data)}")
    return parts


def split_elements(data: memoryview, most: int) -> list[bytes]:
    """The elements of a BYTES tensor, at most so many.  Raises HTTPError (400, 413)."""
    elements: list[bytes] = []
    at = 0
    while at < len(data):
        if len(elements) == most:
            raise HTTPError(413, f"a request may have {most} images, this has more")
        (length,) = struct.unpack_from("<I", data, at) if at + 4 <= len(data) else (len(data),)
        at += 4
        if at + length > len(data):
            raise HTTPError(400, "the binary data of a BYTES tensor ends within an element")
        elements.append(bytes(data[at : at + length]))
        at += length
    return elements


def join_elements(elements: Sequence[str]) -> bytes:
    """The binary data of a BYTES tensor."""
    encoded = [element.encode() for element in elements]
    return b"".join(struct.pack("<I", len(each)) + each for each in encoded)


def pack(
    outputs: Sequence[tuple[str, NDArray[Any], bool]], response: dict[str, Any]
) -> tuple[bytes, int | None]:
    """A response's body, and the length of its JSON if binary data follows.

    outputs: name, values, and whether they are to be binary.
    """
    tensors, parts = [], []
    for name, values, binary in outputs:
        tensor: dict[str, Any] = {
            "name": name,
            "datatype": TYPES[values.dtype],
            "shape": list(values.shape),
        }
        flat = values.ravel().tolist()
        if binary:
            part = join_elements(flat) if values.dtype == object else values.tobytes()
            tensor["parameters"] = {"binary_data_size": len(part)}
            parts.append(part)
        else:
            tensor["data"] = flat
        tensors.append(tensor)
    text = json.dumps(response | {"outputs": tensors}).encode()
    return b"".join((text, *parts)), len(text) if parts else None
