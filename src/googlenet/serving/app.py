"""The ASGI application: routes and responses."""

from __future__ import annotations

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

from googlenet.serving import hugging_face, open_inference
from googlenet.serving.answering import Images, answer_images
from googlenet.serving.http_error import HTTPError
from googlenet.serving.middleware import CLIENT_CLOSED_REQUEST, RequestMiddleware, check_token
from googlenet.serving.openapi import description
from googlenet.serving.predict import Json, to_json
from googlenet.serving.request_body import check_names, parameters, read_images
from googlenet.serving.service import MemoryReservation, Service

Answerer = Callable[[Service, Request], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]

PAGE_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def build_app(service: Service, token: str | None = None) -> Starlette:
    """The ASGI application of a service, which starts and stops with it.

    A token, if there is one, is required by what predicts, describes a model or counts.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        await service.start()
        try:
            yield {"service": service}
        finally:
            await service.stop()

    routes = build_routes(service, token)
    middleware = Middleware(RequestMiddleware, metrics=service.metrics, routes=routes)
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


def build_routes(service: Service, token: str | None) -> list[Route]:
    def guarded(path: str, answer: Answerer, method: str = "GET") -> Route:
        async def checked(request: Request) -> Response:
            check_token(request, token)
            return await answer(service, request)

        return Route(path, checked, methods=[method])

    def public(path: str, answer: Answerer) -> Route:
        async def answered(request: Request) -> Response:
            return await answer(service, request)

        return Route(path, answered)

    async def openapi(_: Service, __: Request) -> Response:
        return JSONResponse(description(service.limits, token is not None))

    return [
        guarded("/predict", predict_images, "POST"),
        guarded("/model", model_info),
        guarded("/metrics", metrics),
        public("/health", health),
        public("/ready", ready),
        public("/openapi.json", openapi),
        guarded("/", hugging_face.classify, "POST"),
        guarded("/models/{model}", hugging_face.classify, "POST"),
        public("/v2", server_metadata),
        public("/v2/health/live", live_v2),
        public("/v2/health/ready", ready_v2),
        guarded("/v2/models/{model}", model_metadata),
        guarded("/v2/models/{model}/ready", model_ready),
        guarded("/v2/models/{model}/infer", open_inference.infer, "POST"),
        *(Route(path, page(*file)) for path, file in PAGE_FILES.items()),
    ]


async def metrics(service: Service, _: Request) -> Response:
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


async def health(_: Service, __: Request) -> Response:
    return JSONResponse({"status": "alive"})


async def ready(service: Service, _: Request) -> Response:
    service.check_running()
    return JSONResponse({"status": "ready"})


async def server_metadata(_: Service, __: Request) -> Response:
    return JSONResponse(open_inference.server_metadata())


async def live_v2(_: Service, __: Request) -> Response:
    return JSONResponse({"live": True})


async def ready_v2(service: Service, _: Request) -> Response:
    service.check_running()
    return JSONResponse({"ready": True})


async def model_metadata(service: Service, request: Request) -> Response:
    model = service.model(request.path_params["model"])
    return JSONResponse(open_inference.model_metadata(model))


async def model_ready(service: Service, request: Request) -> Response:
    model = service.model(request.path_params["model"])
    service.check_running()
    return JSONResponse({"name": model.name, "ready": True})


async def predict_images(service: Service, request: Request) -> Response:
    """POST /predict.  If every image fails, the status is that of the first."""
    asked = parameters(request)
    model = service.model(asked.model)
    if asked.cam and not model.has_cam:
        raise HTTPError(400, "this model has no class activation maps: leave out cam")

    async def read(memory: MemoryReservation) -> tuple[Images, int]:
        return await read_images(request, service.limits, memory), asked.top

    results = await answer_images(service, request, model, read, asked.cam)
    errors = [result for result in results if isinstance(result, HTTPError)]
    content: Json = {
        "results": [
            {"error": result.message} if isinstance(result, HTTPError) else to_json(result)
            for result in results
        ]
    }
    if len(errors) < len(results):
        return JSONResponse(content)
    first = errors[0]
    return JSONResponse({"error": first.message, **content}, first.status)


async def model_info(service: Service, request: Request) -> Response:
    """GET /model: the model file's header, and what the page has to know."""
    check_names(request, "model")
    model, limits = service.model(request.query_params.get("model")), service.limits
    content = {
        **model.classifier.header.to_json(),
        "name": model.name,
        "models": list(service.models),
        "cam": model.has_cam,
        "limits": {
            "body": limits.max_body,
            "pixels": limits.max_pixels,
            "photos": limits.max_images,
        },
    }
    return JSONResponse(content)


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
