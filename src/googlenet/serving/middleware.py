"""What holds for every request, whatever it asks: one line of log, headers, time, counting."""

from __future__ import annotations

import asyncio
import hmac
import logging
from time import monotonic

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from googlenet.serving.http_error import RefusalError
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
LINGER = 5.0  # seconds in which a refused sender may finish, so that it reads the refusal


def check_token(request: Request, token: str | None) -> None:
    """Raises RefusalError (401) unless the request bears the service's token, if it has one."""
    if token is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not same:
        raise RefusalError(
            401, "this service asks for a bearer token", {"WWW-Authenticate": "Bearer"}
        )


class Guard:
    """The middleware around the application.  `routes` are the paths that may be named in logs."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, routes: frozenset[str]) -> None:
        self.app, self.metrics, self.routes = app, metrics, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = monotonic()
        exchange = Exchange(scope, receive, send)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except Exception:
            log.exception("a request failed through a fault of the service's own")
            if exchange.status:  # the answer has begun and cannot be taken back
                raise
            failed = JSONResponse({"error": "the service failed; its log says how"}, 500)
            await failed(scope, exchange.receive, exchange.send)
        finally:
            route = scope["path"] if scope["path"] in self.routes else "other"
            seconds = monotonic() - began
            # 499: the client had gone before there was an answer.
            status = exchange.status or 499
            self.metrics.requests.labels(route, status).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            client = (scope.get("client") or ("-",))[0]
            log.info(
                "%s %s %s %d %d bytes %.0f ms",
                client, scope["method"][:7], route, status,
                exchange.taken, 1000 * seconds,
            )  # fmt: skip


class Exchange:
    """One request and its answer on their way through the guard."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.inner_receive, self.inner_send = receive, send
        headers = Headers(scope=scope)
        self.expects = "expect" in headers
        self.unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self.taken = self.status = 0

    async def receive(self) -> Message:
        message = await self.inner_receive()
        if message["type"] == "http.request":
            self.taken += len(message.get("body", b""))
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
                await self.linger()
            if self.unread:
                headers["connection"] = "close"
        await self.inner_send(message)

    async def linger(self) -> None:
        """Throw away what is still being sent: closing at once would tear up the answer too.

        A client that asked whether to go on ("Expect: 100-continue") has not begun.
        """
        if self.expects:
            return
        try:
            async with asyncio.timeout(LINGER):
                while self.unread:
                    await self.receive()
        except TimeoutError:
            pass
