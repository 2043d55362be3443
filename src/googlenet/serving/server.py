"""Listening and stopping: uvicorn with the service's limits."""

from __future__ import annotations

import logging
import socket
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from googlenet.runtime.errors import GoogLeNetError
from googlenet.serving.protocol import MAX_HEADER_BYTES, Connection
from googlenet.serving.service import Service

log = logging.getLogger("googlenet.serving")


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; port 0 picks a free one.  Raises GoogLeNetError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:  # UnicodeError: not a possible host name
        raise GoogLeNetError(f"cannot listen on {host} port {port} ({error})") from error


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine can connect."""
    address = str(listening.getsockname()[0])
    return address.startswith("127.") or address == "::1"


def address(listening: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """Stops at SIGTERM and SIGINT after finishing accepted requests; a second signal stops it at
    once.
    """

    def __init__(self, app: Starlette, service: Service) -> None:
        limits = service.limits
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                loop="asyncio",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=round(limits.read_timeout) or 1,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
                # Longer than any request may take: a last resort.
                timeout_graceful_shutdown=round(limits.timeout + 4 * limits.read_timeout) + 1,
            )
        )
        self.service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        log.info("stopping: %d images still pending", self.service.pending)
        self.service.stopping = True
        self.force_exit = self.should_exit
        self.should_exit = True
