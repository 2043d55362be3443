"""The ASGI application: routes and responses."""

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

from googlenet.serving.http_error import HTTPError
from googlenet.serving.middleware import CLIENT_CLOSED_REQUEST, RequestMiddleware, check_token
from googlenet.serving.openapi import description
from googlenet.serving.predict import Json
from googlenet.serving.request_body import parameters, read_images
from googlenet.serving.service import Service

Endpoint = Callable[[Request], Awaitable[Response]]

PAGE_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def build_app(service: Service, token: str | None = None) -> Starlette:
    """The ASGI application of a service, which starts and stops with it.

    A token, if there is one, is required by /predict, /model and /metrics.
    """

    def guarded(endpoint: Endpoint) -> Endpoint:
        async def checked(request: Request) -> Response:
            check_token(request, token)
            return await endpoint(request)

        return checked

    async def predict(request: Request) -> Response:
        return await predict_images(service, request)

    async def model(_: Request) -> Response:
        return JSONResponse(model_info(service))

    async def metrics(_: Request) -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(_: Request) -> Response:
        service.check_running()
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
        *(Route(path, page(*file)) for path, file in PAGE_FILES.items()),
    ]
    middleware = Middleware(
        RequestMiddleware,
        metrics=service.metrics,
        routes=frozenset(route.path for route in routes),
    )
    app = Starlette(
        routes=routes,
        middleware=[middleware],
        lifespan=lifespan,
        exception_handlers={
            HTTPError: http_error,
            HTTPException: no_route,
            ClientDisconnect: client_gone,
        },
    )
    app.router.redirect_slashes = False
    return app


async def predict_images(service: Service, request: Request) -> Response:
    """POST /predict.  If every image fails, the status is that of the first."""
    top, cam = parameters(request)
    if cam and not service.has_cam:
        raise HTTPError(400, "this model has no class activation maps: leave out cam")
    service.check_running()
    service.check_queue(1)
    with service.reserve() as memory:
        images = await read_images(request, service.limits, memory)
        results = await while_connected(request.receive, service.predict(images, top, cam))
    errors = [result for result in results if isinstance(result, HTTPError)]
    content: Json = {
        "results": [
            {"error": result.message} if isinstance(result, HTTPError) else result
            for result in results
        ]
    }
    if len(errors) < len(results):
        return JSONResponse(content)
    first = errors[0]
    return JSONResponse({"error": first.message, **content}, first.status)


async def while_connected(
    receive: Receive, work: Awaitable[list[Json | HTTPError]]
) -> list[Json | HTTPError]:
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


def model_info(service: Service) -> Json:
    """GET /model: the model file's header, and what the page has to know."""
    limits = service.limits
    return {
        **service.classifier.header.to_json(),
        "cam": service.has_cam,
        "limits": {
            "body": limits.max_body,
            "pixels": limits.max_pixels,
            "photos": limits.max_images,
        },
    }


def page(name: str, media_type: str) -> Endpoint:
    """A file of the web page, read once."""
    content = resources.files("googlenet.serving").joinpath("page", name).read_bytes()

    async def file(_: Request) -> Response:
        return Response(content, media_type=media_type, headers={"cache-control": "no-cache"})

    return file


async def http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPError)
    return JSONResponse({"error": error.message}, error.status, error.headers)


async def no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    messages = {404: "no such path", 405: "this path does not support this method"}
    message = messages.get(error.status_code, error.detail)
    return JSONResponse({"error": message}, error.status_code, error.headers)


async def client_gone(_: Request, __: Exception) -> Response:
    """For the log: the client never reads it."""
    return Response(status_code=CLIENT_CLOSED_REQUEST)
