"""Listening, and stopping: uvicorn with the service's limits."""

from __future__ import annotations

import logging
import socket
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from googlenet.runtime.errors import GoogLeNetError
from googlenet.serving.protocol import MAX_HEADERS, Connection
from googlenet.serving.service import Service

log = logging.getLogger("googlenet.serving")


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; port 0 takes a free one.

    Raises GoogLeNetError where that cannot be done.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:  # the second for what cannot be a host's name
        raise GoogLeNetError(f"cannot listen on {host} port {port} ({error})") from error


def is_loopback(listening: socket.socket) -> bool:
    """Whether only programs of this machine can reach it."""
    address = str(listening.getsockname()[0])
    return address.startswith("127.") or address == "::1"


def address(listening: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """Stops at SIGTERM and SIGINT: what it has accepted is answered, nothing else; a second
    signal stops it at once.
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
                timeout_keep_alive=round(limits.read_seconds) or 1,
                h11_max_incomplete_event_size=MAX_HEADERS,
                # Longer than any request may take: a last resort.
                timeout_graceful_shutdown=round(limits.seconds + 4 * limits.read_seconds) + 1,
            )
        )
        self.service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        log.info("stopping: %d photos are still to be answered", self.service.pending)
        self.service.stopping = True
        self.force_exit = self.should_exit
        self.should_exit = True
