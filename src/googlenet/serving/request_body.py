"""Reading a request: its parameters, and the images in its body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from googlenet.serving.http_error import HTTPError
from googlenet.serving.limits import Limits
from googlenet.serving.service import MemoryReservation

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_TOP = 1000
MIN_BYTES_PER_SECOND = 2**16  # every byte that arrives extends the deadline
RAW_TYPES = ("application/octet-stream", "")
FORM_TYPE = "multipart/form-data"


@dataclass(frozen=True)
class Parameters:
    """The query of /predict: the model's name (None: the default), classes per image, and maps."""

    model: str | None
    top: int
    cam: bool


def parameters(request: Request) -> Parameters:
    """Raises HTTPError (400) for other parameters and values."""
    check_names(request, "top", "cam", "model")
    top, cam = request.query_params.get("top", "5"), request.query_params.get("cam", "0")
    if not (top.isascii() and top.isdigit() and len(top) <= 4 and 1 <= int(top) <= MAX_TOP):
        raise HTTPError(400, f"top must be a whole number from 1 to {MAX_TOP}, got {top[:40]!r}")
    if cam not in ("0", "1"):
        raise HTTPError(400, f"cam must be 0 or 1, got {cam[:40]!r}")
    return Parameters(request.query_params.get("model"), int(top), cam == "1")


def check_names(request: Request, *names: str) -> None:
    """Raises HTTPError (400) for a query parameter that is not one of these, or given twice."""
    for name in request.query_params:
        if name not in names:
            known = " and ".join((", ".join(names[:-1]), names[-1])) if names[1:] else names[0]
            raise HTTPError(400, f"the parameters are {known}, got {name[:40]!r}")
        if len(request.query_params.getlist(name)) > 1:
            raise HTTPError(400, f"{name} must be given only once")


def content_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def is_image_type(kind: str) -> bool:
    """Whether a body of this type is one image."""
    return kind in RAW_TYPES or kind.startswith("image/")


async def read_images(request: Request, limits: Limits, memory: MemoryReservation) -> list[bytes]:
    """The images of a request: its body, or each file of a form.

    Raises HTTPError: 400 for an empty body or a malformed form, 408 for a slow body, 413 for one
    that is too large, 415 for another type; starlette's ClientDisconnect for half a body.
    """
    kind = content_type(request)
    if kind != FORM_TYPE and not is_image_type(kind):
        raise HTTPError(
            415, f"the type must be image/*, {RAW_TYPES[0]} or {FORM_TYPE}, got {kind[:60]!r}"
        )
    check_body_headers(request, limits)
    stream = bounded(request, limits, memory)
    images = await form(request, stream, limits) if kind == FORM_TYPE else await raw(stream)
    if not images:
        raise HTTPError(400, "the request contains no image")
    return images


async def read_body(request: Request, limits: Limits, memory: MemoryReservation) -> bytes:
    """The whole body, of any type, perhaps empty.  Raises as `read_images` does."""
    check_body_headers(request, limits)
    return b"".join(await raw(bounded(request, limits, memory)))


def check_body_headers(request: Request, limits: Limits) -> None:
    """Raises HTTPError for what is known before the body arrives: 413, 415 for compression."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPError(415, "Content-Encoding is not supported: images are compressed already")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > limits.max_body:
        raise HTTPError(413, f"a request body may have {limits.max_body} bytes, this has {length}")


async def bounded(
    request: Request, limits: Limits, memory: MemoryReservation
) -> AsyncGenerator[bytes, None]:
    """The body in chunks, within the limits of size, time and memory."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    total = 0
    chunks = request.stream()
    while True:
        deadline = began + limits.read_timeout + total / MIN_BYTES_PER_SECOND
        chunk = await arrived_by(deadline, anext(chunks, None))
        if chunk is None:
            return
        total += len(chunk)
        if total > limits.max_body:
            raise HTTPError(413, f"a request body may have {limits.max_body} bytes, this has more")
        memory.add(len(chunk))
        yield chunk


async def arrived_by(deadline: float, chunk: Awaitable[bytes | None]) -> bytes | None:
    """The chunk.  Raises HTTPError 408 if it is not there at that time of the event loop.

    Where this process itself had no processor past the deadline, a chunk that came meanwhile
    counts: `asyncio.timeout` would drop it.
    """
    waiting = asyncio.ensure_future(chunk)
    try:
        await asyncio.wait({waiting}, timeout=deadline - asyncio.get_running_loop().time())
        if not waiting.done():
            raise HTTPError(408, "the request body arrived too slowly")
        return await waiting
    finally:
        waiting.cancel()


async def raw(stream: AsyncGenerator[bytes, None]) -> list[bytes]:
    body = b"".join([chunk async for chunk in stream])
    return [body] if body else []


async def form(
    request: Request, stream: AsyncGenerator[bytes, None], limits: Limits
) -> list[bytes]:
    """The files of a form, whatever their names."""
    _, options = parse_options_header(request.headers["content-type"])
    boundary = options.get(b"boundary")
    if not boundary:
        raise HTTPError(400, f"a body of type {FORM_TYPE} must name its boundary")
    files = Files(limits.max_images)
    try:
        parser = MultipartParser(boundary, files.callbacks())
        async for chunk in stream:
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise HTTPError(400, f"the body is not valid {FORM_TYPE}") from error
    if not files.ended:
        raise HTTPError(400, "the form is incomplete: its last boundary is missing")
    return [bytes(file) for file in files.contents]


class Files:
    """Collects the files of a form, at most `most`; `bounded` limits their bytes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.contents: list[bytearray] = []
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
        if len(self.contents) == self.most:
            raise HTTPError(413, f"a request may have {self.most} images, this has more")
        self.contents.append(bytearray())
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
            raise HTTPError(400, "each part of the form must be a file, with a file name")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.contents[-1] += data[start:end]

    def on_end(self) -> None:
        self.ended = True
