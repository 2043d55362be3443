"""A request or an image that gets no prediction: an HTTP status and one sentence why."""

from __future__ import annotations

from collections.abc import Mapping

from googlenet.runtime.errors import GoogLeNetError


class HTTPError(GoogLeNetError):
    """What the client is told; `status` as in RFC 9110."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status, self.message = status, message
        self.headers = dict(headers or {})


def unavailable(message: str) -> HTTPError:
    """503, which may succeed a second later."""
    return HTTPError(503, message, {"Retry-After": "1"})
