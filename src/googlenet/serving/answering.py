"""What every endpoint that predicts does between its request and its response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from googlenet.serving.http_error import HTTPError
from googlenet.serving.input_image import Crop
from googlenet.serving.predict import Answer
from googlenet.serving.served_model import ServedModel
from googlenet.serving.service import MemoryReservation, Service

Images = Sequence[bytes | Crop]


async def answer_images(
    service: Service,
    request: Request,
    model: ServedModel,
    read: Callable[[MemoryReservation], Awaitable[tuple[Images, int]]],
    cam: bool = False,
) -> list[Answer | HTTPError]:
    """An answer or an error for each image; `read`: from the request, with the classes wanted.

    Raises HTTPError, and ClientDisconnect if the client leaves first.
    """
    service.check_running()
    service.check_queue(1)
    with service.reserve() as memory:
        images, top = await read(memory)
        return await while_connected(request.receive, service.predict(model, images, top, cam))


async def while_connected(
    receive: Receive, work: Awaitable[list[Answer | HTTPError]]
) -> list[Answer | HTTPError]:
    """The work's result.  Cancels it and raises ClientDisconnect if the client leaves first."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(receive())  # the body has been read: next is the disconnect
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


def all_answered(results: Sequence[Answer | HTTPError]) -> list[Answer]:
    """The answers.  Raises the first image's HTTPError, which says which of several it is."""
    answers = []
    for number, result in enumerate(results, 1):
        if isinstance(result, HTTPError):
            which = f"image {number} of {len(results)}: " if len(results) > 1 else ""
            raise HTTPError(result.status, which + result.message, result.headers)
        answers.append(result)
    return answers
