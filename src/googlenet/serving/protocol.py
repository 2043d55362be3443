"""uvicorn's HTTP connection, with deadlines for the client and errors in JSON.

uvicorn itself waits forever for a request's headers and for the client to read its response.
"""

from __future__ import annotations

import asyncio
import json
import sys
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from googlenet.serving.middleware import DRAIN_SECONDS, SECURITY, log
from googlenet.serving.service import Service

MAX_HEADER_BYTES = 16 * 1024


class Connection(H11Protocol):
    """One client's connection, under the limits of the service in the lifespan state."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        service: Service = self.app_state["service"]
        self.limits, self.metrics = service.limits, service.metrics
        self.deadline: asyncio.TimerHandle | None = None  # for the headers of a request
        self.write_timer: asyncio.TimerHandle | None = None  # for reading a response
        self.headers_started = False  # some, but not all, of a request's headers are here
        self.rejected = False

    @property
    def waiting(self) -> bool:
        """Whether a request's headers come next; after them the application's limits apply."""
        responding = self.cycle is not None and not self.cycle.response_complete
        return not (responding or self.rejected or self.transport.is_closing())

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        most = self.limits.max_connections
        if len(self.connections) > 2 * most:  # these clients do not even read the error
            transport.abort()
        elif len(self.connections) > most:
            self.reject(503, f"too many open connections (limit: {most})")
        self.set_deadline()

    def data_received(self, data: bytes) -> None:
        if self.rejected:
            return
        self.headers_started = True
        super().data_received(data)
        self.set_deadline()

    def on_response_complete(self) -> None:
        self.headers_started = False
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self.start_write_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self.deadline, self.write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def set_deadline(self) -> None:
        """Start the timer for headers, unless it is running; stop it once they are complete."""
        if not self.waiting:
            if self.deadline is not None:
                self.deadline.cancel()
                self.deadline = None
        elif self.deadline is None:
            self.deadline = self.loop.call_later(self.limits.read_timeout, self.headers_late)

    def headers_late(self) -> None:
        self.deadline = None
        if self.waiting and self.headers_started:
            self.reject(408, "the request headers arrived too slowly")
        elif self.waiting:  # a connection opened in advance, as browsers do
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.start_write_timer()

    def start_write_timer(self) -> None:
        """Close the connection if the client stops reading its response."""
        if self.write_timer is None:
            left = self.transport.get_write_buffer_size()
            seconds = self.limits.read_timeout
            self.write_timer = self.loop.call_later(seconds, self.check_progress, left)

    def check_progress(self, before: int) -> None:
        self.write_timer = None
        left = self.transport.get_write_buffer_size()
        if left >= before > 0:
            self.transport.abort()
        elif left:
            self.start_write_timer()

    def send_400_response(self, msg: str) -> None:
        """Bytes that are not HTTP; uvicorn calls this when it handles h11's error."""
        if self.cycle is not None and self.cycle.response_started != self.cycle.response_complete:
            self.transport.close()  # in the middle of another response
            return
        status = getattr(sys.exc_info()[1], "error_status_hint", 400)
        if status == 431:
            self.reject(431, f"the request headers must not exceed {MAX_HEADER_BYTES} bytes")
        else:
            self.reject(status, "not a valid HTTP request")

    def reject(self, status: int, message: str) -> None:
        """Respond without the application; close once the client has, or after a while."""
        self.rejected = True
        body = json.dumps({"error": message}).encode()
        headers = SECURITY | {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "close",
        }
        if status == 503:
            headers["retry-after"] = "1"
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.write_eof()
        self.loop.call_later(DRAIN_SECONDS, self.transport.abort)
        self.metrics.requests.labels("other", status).inc()
        log.info("%s - other %d 0 bytes 0 ms", self.client[0] if self.client else "-", status)
