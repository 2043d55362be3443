"""What applies to every request: a log line, security headers, metrics."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Sequence
from time import monotonic

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from googlenet.serving.http_error import HTTPError
from googlenet.serving.prometheus import Metrics

log = logging.getLogger("googlenet.serving")

SECURITY = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that left before the response
DRAIN_SECONDS = 5.0  # for a client to finish sending a rejected body, so that it reads why


def check_token(request: Request, token: str | None) -> None:
    """Raises HTTPError (401) unless the request has the service's token, if there is one."""
    if token is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not same:
        raise HTTPError(401, "a bearer token is required", {"WWW-Authenticate": "Bearer"})


class RequestMiddleware:
    """Wraps the application.  `routes`: those whose paths logs and metrics may name."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, routes: Sequence[Route]) -> None:
        self.app, self.metrics, self.routes = app, metrics, routes

    def route(self, path: str) -> str:
        """The path as the route has it, a model's name left open."""
        return next((each.path for each in self.routes if each.path_regex.match(path)), "other")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = monotonic()
        tracked = TrackedRequest(scope, receive, send)
        try:
            await self.app(scope, tracked.receive, tracked.send)
        except Exception:
            log.exception("internal error")
            if tracked.status:  # the response has already begun
                raise
            failed = JSONResponse({"error": "internal error, see the service's log"}, 500)
            await failed(scope, tracked.receive, tracked.send)
        finally:
            route = self.route(scope["path"])
            seconds = monotonic() - began
            status = tracked.status or CLIENT_CLOSED_REQUEST
            self.metrics.requests.labels(route, status).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            client = (scope.get("client") or ("-",))[0]
            log.info(
                "%s %s %s %d %d bytes %.0f ms",
                client, scope["method"][:7], route, status,
                tracked.received_bytes, 1000 * seconds,
            )  # fmt: skip


class TrackedRequest:
    """Follows one request and its response through the middleware."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.inner_receive, self.inner_send = receive, send
        headers = Headers(scope=scope)
        self.expects_continue = "expect" in headers
        self.unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self.received_bytes = self.status = 0

    async def receive(self) -> Message:
        message = await self.inner_receive()
        if message["type"] == "http.request":
            self.received_bytes += len(message.get("body", b""))
            self.unread = message.get("more_body", False)
        else:
            self.unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY.items():
                headers.setdefault(name, value)
            if self.unread and self.status != 408:
                await self.drain_body()
            if self.unread:
                headers["connection"] = "close"
        await self.inner_send(message)

    async def drain_body(self) -> None:
        """Discard the rest of the body: closing the connection at once would lose the response.

        A client that sent "Expect: 100-continue" has not started its body.
        """
        if self.expects_continue:
            return
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while self.unread:
                    await self.receive()
        except TimeoutError:
            pass
