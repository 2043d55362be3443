"""Downloads from servers on this machine that drop, truncate, ignore ranges and lie."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from googlenet.runtime.files import cache_dir
from googlenet.weights import download
from googlenet.weights.download import DownloadError, fetch
from googlenet.weights.registry import KNOWN, KnownFile

CONTENT = random.Random(0).randbytes(300_000)
HALF = len(CONTENT) // 2


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `behaviour` names what is wrong with it, `requests` lists the ranges."""

    daemon_threads = True
    behaviour = "honest"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/weights.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        getattr(self, self.server.behaviour)(int(wanted[6:-1]) if wanted else 0)

    def give(self, status: int, body: bytes, start: int = 0, declared: int | None = None) -> None:
        self.send_response(status)
        if declared != -1:
            self.send_header("Content-Length", str(len(body) if declared is None else declared))
        if status == 206:
            total = start + len(body)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        self.wfile.write(body)

    def honest(self, start: int) -> None:
        self.give(206 if start else 200, CONTENT[start:], start)

    def ignores_ranges(self, start: int) -> None:
        self.give(200, CONTENT)

    def drops(self, start: int) -> None:
        """The first connection ends in the middle, those after it go on."""
        if start:
            return self.honest(start)
        return self.give(200, CONTENT[:HALF], declared=len(CONTENT))

    def drops_and_forgets(self, start: int) -> None:
        """Ends in the middle, then ignores the range."""
        if start:
            return self.ignores_ranges(start)
        return self.drops(start)

    def always_drops(self, start: int) -> None:
        body = CONTENT[start : start + 1000]
        self.give(206 if start else 200, body, start, declared=len(CONTENT) - start)

    def truncates(self, start: int) -> None:
        """Says that half of the file is all of it."""
        if start >= HALF:
            return self.give(416, b"")
        return self.give(200, CONTENT[:HALF])

    def says_no_length(self, start: int) -> None:
        self.give(206 if start else 200, CONTENT[start:], start, declared=-1)

    def another_file(self, start: int) -> None:
        self.give(200, bytes(len(CONTENT)))

    def another_range(self, start: int) -> None:
        if start:
            self.give(206, CONTENT[start + 1 :], start + 1)
        else:
            self.give(200, CONTENT)

    def endless(self, start: int) -> None:
        self.give(200, CONTENT + CONTENT, declared=-1)

    def missing(self, start: int) -> None:
        self.give(404, b"not here")

    def overloaded(self, start: int) -> None:
        if len(self.server.requests) < 3:
            self.give(503, b"later")
        else:
            self.honest(start)

    def nonsense(self, start: int) -> None:
        self.wfile.write(b"what?\r\n\r\n")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GOOGLENET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path / "cache"


@pytest.fixture
def entry(server: Server) -> KnownFile:
    return KnownFile(
        name="test",
        title="a test",
        url=server.url,
        file="weights.bin",
        size=len(CONTENT),
        sha256=sha256(CONTENT).hexdigest(),
        licence="none",
    )


@pytest.mark.parametrize(
    ("behaviour", "ranges"),
    [
        ("honest", [None]),
        ("ignores_ranges", [None]),
        ("says_no_length", [None]),
        ("drops", [None, f"bytes={HALF}-"]),
        ("drops_and_forgets", [None, f"bytes={HALF}-"]),
        ("overloaded", [None, None, None]),
    ],
)
def test_the_file_arrives(
    behaviour: str, ranges: list[str | None], server: Server, entry: KnownFile, cache: Path
) -> None:
    server.behaviour = behaviour
    path = fetch(entry)
    assert path == cache / "weights.bin"
    assert path.read_bytes() == CONTENT
    assert server.requests == ranges
    assert not path.with_name("weights.bin.part").exists()


def test_it_is_downloaded_once(server: Server, entry: KnownFile) -> None:
    assert fetch(entry) == fetch(entry)
    assert len(server.requests) == 1


@pytest.mark.parametrize("behaviour", ["honest", "ignores_ranges", "another_range"])
def test_an_earlier_attempt_is_gone_on_with(
    behaviour: str, server: Server, entry: KnownFile, cache: Path
) -> None:
    server.behaviour = behaviour
    cache.mkdir()
    (cache / "weights.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(entry).read_bytes() == CONTENT
    assert server.requests[0] == "bytes=1000-"


def test_an_earlier_attempt_at_another_file_is_thrown_away(
    server: Server, entry: KnownFile, cache: Path
) -> None:
    cache.mkdir()
    (cache / "weights.bin.part").write_bytes(bytes(1000))
    assert fetch(entry).read_bytes() == CONTENT
    assert server.requests == ["bytes=1000-", None]


@pytest.mark.parametrize(
    ("behaviour", "reason", "requests"),
    [
        ("always_drops", "the connection ended", download.ATTEMPTS),
        ("truncates", "the server", download.ATTEMPTS),
        ("another_file", "what the server gives has SHA-256", download.ATTEMPTS),
        ("endless", "the server sends more than 300,000 bytes", download.ATTEMPTS),
        ("missing", "the server answers 404 Not Found", 1),
        ("nonsense", "what?", download.ATTEMPTS),
    ],
)
def test_a_server_that_never_gives_the_file(
    behaviour: str, reason: str, requests: int, server: Server, entry: KnownFile, cache: Path
) -> None:
    server.behaviour = behaviour
    with pytest.raises(DownloadError) as caught:
        fetch(entry)
    message = str(caught.value)
    assert message.startswith("test: cannot be downloaded (")
    assert reason in message
    assert "\n" not in message
    assert len(server.requests) == requests
    assert not (cache / "weights.bin").exists()


def test_a_size_that_nobody_published_is_limited(
    server: Server, entry: KnownFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 100_000)
    with pytest.raises(DownloadError, match="sends more than 100,000 bytes"):
        fetch(replace(entry, size=None))


def test_without_a_network_it_says_what_to_do(entry: KnownFile, cache: Path) -> None:
    nobody = replace(entry, url="http://127.0.0.1:9/weights.bin")  # the port of "discard"
    with pytest.raises(DownloadError) as caught:
        fetch(nobody)
    message = str(caught.value)
    assert (
        f"fetch http://127.0.0.1:9/weights.bin (300,000 bytes, SHA-256 {entry.sha256})" in message
    )
    assert f"put it at {cache / 'weights.bin'}, or give its path" in message


def test_a_file_put_there_by_hand(server: Server, entry: KnownFile, cache: Path) -> None:
    cache.mkdir()
    (cache / "weights.bin").write_bytes(CONTENT)
    assert fetch(entry).read_bytes() == CONTENT
    assert server.requests == []


def test_a_wrong_file_put_there_by_hand(entry: KnownFile, cache: Path) -> None:
    cache.mkdir()
    (cache / "weights.bin").write_bytes(b"something else")
    with pytest.raises(DownloadError, match=f"must have SHA-256 {entry.sha256}, has .*; remove it"):
        fetch(entry)


def test_the_first_digits_of_a_hash_will_do(entry: KnownFile) -> None:
    assert fetch(replace(entry, sha256=entry.sha256[:8])).read_bytes() == CONTENT


def test_a_cache_that_cannot_be_written(
    entry: KnownFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("GOOGLENET_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch(entry)


def test_two_at_once_download_once(server: Server, entry: KnownFile) -> None:
    found: list[Any] = []
    threads = [Thread(target=lambda: found.append(fetch(entry).read_bytes())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 3
    assert len(server.requests) == 1


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLENET_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("GOOGLENET_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "googlenet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "googlenet"


def test_no_progress_bar_where_there_is_no_terminal(
    entry: KnownFile, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(entry)
    assert capsys.readouterr() == ("", "")


def test_a_progress_bar_on_a_terminal(
    entry: KnownFile, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    fetch(entry)
    assert "weights.bin" in capsys.readouterr().err


def test_what_is_known() -> None:
    """Sizes and hashes as shared/paper.md and the files' publishers give them."""
    assert list(KNOWN) == ["bvlc", "inception5h", "torchvision"]
    assert KNOWN["bvlc"].sha256.startswith("6f7101e3a2183738")
    assert KNOWN["bvlc"].size == 53_533_754
    assert KNOWN["inception5h"].sha256.startswith("d13569f6a98159de")
    assert KNOWN["torchvision"].sha256 in KNOWN["torchvision"].url
