"""Clients that are slow, hostile or broken, over bare connections."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from googlenet.serving import middleware, protocol
from tests.serving.conftest import PHOTOS, Running, running, until

PHOTO = PHOTOS[0]
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
CLOSING = HEAD + b"Connection: close\r\n"


@pytest.fixture(scope="module")
def impatient() -> Iterator[Running]:
    with running(read_timeout=0.3, max_body=50_000, max_connections=8) as serving:
        yield serving


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"])


def read_all(connection: socket.socket) -> bytes:
    """All that is sent until the other side hangs up."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def read_one(connection: socket.socket) -> bytes:
    """The bytes of one answer, its connection still open."""
    raw = b""
    while b"\r\n\r\n" not in raw or len(parse(raw).body) < int(
        parse(raw).headers["content-length"]
    ):
        raw += connection.recv(65536)
    return raw


def parse(raw: bytes) -> Reply:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return Reply(int(first.split()[1]), headers, body)


def exchange(serving: Running, *pieces: bytes) -> Reply:
    """Send, and read until the service hangs up."""
    with serving.dial() as connection:
        for piece in pieces:
            connection.sendall(piece)
        return parse(read_all(connection))


def works(serving: Running) -> bool:
    return serving.predict(PHOTO).status_code == 200 and serving.service.reserved_bytes == 0


@pytest.mark.parametrize(
    ("pieces", "status", "message"),
    [
        ([b"POST /pre"], 408, "the request headers arrived too slowly"),
        ([HEAD + b"X-A: b\r\n"], 408, "the request headers arrived too slowly"),
        ([HEAD + b"Content-Length: 900\r\n\r\n", PHOTO[:100]], 408, "body arrived too slowly"),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"], 408, "arrived too slowly"),
        ([HEAD + b"Cookie: " + b"a" * 20_000], 431, "headers must not exceed 16384 bytes"),
        ([HEAD + b"X: y\r\n" * 5000], 431, "headers must not exceed 16384 bytes"),
        ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"], 400, "not a valid HTTP"),
        ([b"GET / HTTP/1.1\r\n\r\n"], 400, "not a valid HTTP"),
        ([HEAD + b"Content-Length: -1\r\n\r\n"], 400, "not a valid HTTP"),
        ([HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"], 400, "not a valid HTTP"),
        ([HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nXYZ\r\n"], 400, "not a"),
        ([HEAD + b"Transfer-Encoding: gzip\r\n\r\n"], 501, "not a valid HTTP"),
        ([HEAD + b"A b: c\r\n\r\n"], 400, "not a valid HTTP"),
    ],
)  # fmt: skip
def test_refused_connections(
    pieces: list[bytes], status: int, message: str, impatient: Running
) -> None:
    reply = exchange(impatient, *pieces)
    assert reply.status == status
    assert message in reply.error
    assert reply.headers["connection"] == "close"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert works(impatient)


def test_connection_without_a_word_is_closed(impatient: Running) -> None:
    assert_silent = impatient.dial()
    with assert_silent as connection:
        assert read_all(connection) == b""


def test_second_request_has_its_own_deadline(impatient: Running) -> None:
    with impatient.dial() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert parse(read_one(connection)).status == 200
        connection.sendall(b"GET /health HTT")
        assert parse(read_all(connection)).status == 408


def test_pipelined_requests_are_answered_in_turn(impatient: Running) -> None:
    request = HEAD + f"Content-Length: {len(PHOTO)}\r\n\r\n".encode() + PHOTO
    with impatient.dial() as connection:
        connection.sendall(
            request * 2 + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        raw = read_all(connection)
    assert raw.count(b"HTTP/1.1 200 OK") == 3
    assert raw.endswith(b'{"status":"alive"}')


def test_each_piece_buys_time_for_more(impatient: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large photo over a thin line takes longer than the limit, and is no attack."""
    from googlenet.serving import request_body

    monkeypatch.setattr(request_body, "MIN_BYTES_PER_SECOND", 1000)
    body = PHOTO + bytes(10_000)  # worth ten seconds
    with impatient.dial() as connection:
        connection.sendall(
            HEAD + f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        )
        connection.sendall(body[:-1])
        until(lambda: impatient.service.reserved_bytes > 9_000)
        connection.settimeout(1)
        with pytest.raises(TimeoutError):  # more than three times the limit
            connection.recv(1)
        connection.settimeout(30)
        connection.sendall(body[-1:])
        assert parse(read_all(connection)).status == 200


def test_body_too_large_is_told_while_it_is_sent(impatient: Running) -> None:
    """The sender gets to read the refusal, although it has not finished."""
    body = bytes(2_000_000)
    head = CLOSING + f"Content-Length: {len(body)}\r\n\r\n".encode()
    reply = exchange(impatient, head, body)
    assert reply.status == 413
    assert reply.error == "a request body may have 50000 bytes, this has 2000000"
    chunked = b"".join(b"2710\r\n" + bytes(10_000) + b"\r\n" for _ in range(20)) + b"0\r\n\r\n"
    reply = exchange(impatient, CLOSING + b"Transfer-Encoding: chunked\r\n\r\n", chunked)
    assert reply.status == 413
    assert reply.error == "a request body may have 50000 bytes, this has more"
    assert works(impatient)


def test_body_that_never_ends_is_cut_off(
    impatient: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "DRAIN_SECONDS", 0.1)
    reply = exchange(impatient, HEAD + b"Content-Length: 2000000\r\n\r\n", bytes(1000))
    assert (reply.status, reply.headers["connection"]) == (413, "close")


def test_client_that_asks_first_is_told_before_it_sends(impatient: Running) -> None:
    reply = exchange(impatient, HEAD + b"Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n")
    assert reply.status == 413
    head = f"Content-Length: {len(PHOTO)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    with impatient.dial() as connection:
        connection.sendall(HEAD + head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(PHOTO)
        assert parse(read_all(connection)).status == 200


def test_half_a_body_and_gone(impatient: Running) -> None:
    before = impatient.count(499)
    with impatient.dial() as connection:
        connection.sendall(HEAD + b"Content-Length: 900\r\n\r\n" + PHOTO[:100])
    until(lambda: impatient.count(499) == before + 1)
    assert works(impatient)


def test_refused_before_the_body_does_not_keep_the_connection(impatient: Running) -> None:
    body = b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
    with impatient.dial() as connection:
        connection.sendall(HEAD + body)
        reply = parse(read_one(connection))
        assert (reply.status, reply.headers.get("connection")) == (415, None)  # read to its end
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert parse(read_all(connection)).status == 200


def test_too_many_connections(impatient: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "DRAIN_SECONDS", 0.1)
    impatient.client.close()
    until(lambda: not impatient.server.server_state.connections)
    open_ones = [impatient.dial() for _ in range(8)]
    until(lambda: len(impatient.server.server_state.connections) == 8)
    reply = exchange(impatient)
    assert reply.status == 503
    assert reply.error == "too many open connections (limit: 8)"
    assert reply.headers["retry-after"] == "1"
    for connection in open_ones:
        connection.close()
    until(lambda: not impatient.server.server_state.connections)
    with impatient.dial() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert parse(read_all(connection)).status == 200


def test_answer_that_nobody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks for much and reads nothing is hung up on, its memory free again."""
    with running(read_timeout=0.2) as serving:
        monkeypatch.setattr(type(serving.service.metrics), "text", lambda _: b"#" * 20_000_000)
        with serving.dial() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            until(lambda: serving.count(200, "/metrics") == 1)
            until(lambda: not serving.server.server_state.connections)
        monkeypatch.undo()
        assert serving.client.get("/metrics").text.startswith("# HELP")


def test_upgrade_is_not_offered(impatient: Running) -> None:
    reply = exchange(
        impatient,
        b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    )
    assert reply.status == 200
