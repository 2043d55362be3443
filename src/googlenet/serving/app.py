"""The application: routes and what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive

from googlenet.serving.answers import Answer
from googlenet.serving.http_error import RefusalError
from googlenet.serving.middleware import Guard, check_token
from googlenet.serving.openapi import description
from googlenet.serving.request_body import parameters, read_photos
from googlenet.serving.service import Service

Endpoint = Callable[[Request], Awaitable[Response]]

PAGE = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def build_app(service: Service, token: str | None = None) -> Starlette:
    """The ASGI application of a service, which starts and stops with it.

    With a token, what tells of the model or works for the client asks for it; what tells whether
    the service lives, the description and the page do not.
    """

    def guarded(endpoint: Endpoint) -> Endpoint:
        async def checked(request: Request) -> Response:
            check_token(request, token)
            return await endpoint(request)

        return checked

    async def predict(request: Request) -> Response:
        return await answer(service, request)

    async def model(_: Request) -> Response:
        return JSONResponse(facts(service))

    async def metrics(_: Request) -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(_: Request) -> Response:
        service.refuse_when_stopped()
        return JSONResponse({"status": "ready"})

    async def openapi(_: Request) -> Response:
        return JSONResponse(description(service.limits, token is not None))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        await service.start()
        try:
            yield {"service": service}
        finally:
            await service.stop()

    routes = [
        Route("/predict", guarded(predict), methods=["POST"]),
        Route("/model", guarded(model)),
        Route("/metrics", guarded(metrics)),
        Route("/health", health),
        Route("/ready", ready),
        Route("/openapi.json", openapi),
        *(Route(path, page(*file)) for path, file in PAGE.items()),
    ]
    guard = Middleware(
        Guard,
        metrics=service.metrics,
        routes=frozenset(route.path for route in routes),
    )
    app = Starlette(
        routes=routes,
        middleware=[guard],
        lifespan=lifespan,
        exception_handlers={
            RefusalError: refused,
            HTTPException: no_route,
            ClientDisconnect: gone,
        },
    )
    app.router.redirect_slashes = False
    return app


async def answer(service: Service, request: Request) -> Response:
    """POST /predict.  The status is that of the first refused photo where all were refused."""
    top, cam = parameters(request)
    if cam and not service.maps:
        raise RefusalError(400, "this model has no class activation maps: ask without cam")
    service.refuse_when_stopped()
    service.refuse_when_full(1)
    with service.holding() as holding:
        photos = await read_photos(request, service.limits, holding)
        results = await while_connected(request.receive, service.answers(photos, top, cam))
    refusals = [result for result in results if isinstance(result, RefusalError)]
    content: dict[str, Any] = {
        "results": [
            {"error": result.sentence} if isinstance(result, RefusalError) else result
            for result in results
        ]
    }
    if len(refusals) < len(results):
        return JSONResponse(content)
    first = refusals[0]
    return JSONResponse({"error": first.sentence, **content}, first.status)


async def while_connected(
    receive: Receive, work: Awaitable[list[Answer | RefusalError]]
) -> list[Answer | RefusalError]:
    """The work's result, unless the client goes before it is done: then it is given up."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(receive())  # the body is read: the next message is the end
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


def facts(service: Service) -> dict[str, Any]:
    """What /model tells: the model file's header, and what the page has to know."""
    limits = service.limits
    return {
        **service.classifier.header(),
        "cam": service.maps,
        "limits": {"body": limits.body, "pixels": limits.pixels, "photos": limits.photos},
    }


def page(name: str, media_type: str) -> Endpoint:
    """A file of the package's own page, read once."""
    content = resources.files("googlenet.serving").joinpath("page", name).read_bytes()

    async def file(_: Request) -> Response:
        return Response(content, media_type=media_type, headers={"cache-control": "no-cache"})

    return file


async def refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError)
    return JSONResponse({"error": error.sentence}, error.status, error.headers)


async def no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentences = {
        404: "there is nothing at this address",
        405: "this address does not take this method",
    }
    sentence = sentences.get(error.status_code, error.detail)
    return JSONResponse({"error": sentence}, error.status_code, error.headers)


async def gone(_: Request, __: Exception) -> Response:
    """Nobody reads this: the client has gone."""
    return Response(status_code=499)
