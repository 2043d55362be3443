"""A known weight file, fetched once into a cache: resumed, checked by hash, one process at a time.

The cache is $GOOGLENET_CACHE, or `googlenet` in $XDG_CACHE_HOME or in ~/.cache.  A file that
was put there by hand is as good as one that was downloaded.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout
from tqdm import tqdm

from googlenet import __version__
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.files import cache_dir, file_digest
from googlenet.runtime.watchdog import paused
from googlenet.weights.registry import KnownFile

ATTEMPTS = 5
PAUSE_SECONDS = 1.0  # before the second attempt, twice as long before each further one
TIMEOUT_SECONDS = 30.0  # without a byte from the server
WAIT_SECONDS = 3600.0  # for another process that downloads the same file
BLOCK = 1 << 16
MAX_BYTES = 1 << 30  # of a file whose size is unpublished


class DownloadError(GoogLeNetError):
    """A known file that cannot be had; the message says how to get it by hand."""


class TransferInterrupted(Exception):  # noqa: N818 - what happened, not an error of ours
    """The transfer ended early; what has arrived is kept and the next attempt goes on."""


class PermanentFailure(TransferInterrupted):
    """There is no server, or it will not give the file; asking again would change nothing."""


class CorruptTransfer(TransferInterrupted):
    """The transfer gave what cannot be part of the file; the next attempt starts again."""


# What the statuses 408, 416 and 429 mean; other codes below 500 are final, those above are not.
FAILURES: dict[int, type[TransferInterrupted]] = {
    408: TransferInterrupted,
    416: CorruptTransfer,
    429: TransferInterrupted,
}


def fetch(known: KnownFile) -> Path:
    """The path of a known file, downloaded if it is not in the cache yet.

    Raises DownloadError, which says what to fetch, from where, and where to put it.
    """
    path = cache_dir() / known.file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with paused(), FileLock(f"{path}.lock", timeout=WAIT_SECONDS):
            if path.is_file():
                check_present(known, path)
            else:
                download(known, path)
    except (OSError, Timeout) as error:
        raise DownloadError(f"{path}: cannot be written ({error}); {by_hand(known)}") from error
    return path


def check_present(known: KnownFile, path: Path) -> None:
    digest = file_digest(path)
    if not digest.startswith(known.sha256):
        raise DownloadError(
            f"{path}: must have SHA-256 {known.sha256}, has {digest}; remove it, or replace it "
            f"with {known.url}"
        )


def download(known: KnownFile, path: Path) -> None:
    """Fetch a file beside its place, in as many attempts as it takes, and put it there."""
    part = path.with_name(path.name + ".part")
    reason = "no attempt was made"
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
        try:
            transfer(known, part)
            check_complete(known, part)
        except TransferInterrupted as error:
            reason = " ".join(str(error).split())
            if isinstance(error, PermanentFailure):
                break
            if isinstance(error, CorruptTransfer):
                part.unlink(missing_ok=True)
            continue
        part.replace(path)
        return
    raise DownloadError(f"{known.name}: cannot be downloaded ({reason}); {by_hand(known)}")


def by_hand(known: KnownFile) -> str:
    size = f"{known.size:,} bytes, " if known.size else ""
    return (
        f"fetch {known.url} ({size}SHA-256 {known.sha256}) where there is a network and put it "
        f"at {cache_dir() / known.file}, or give its path in place of the name"
    )


def transfer(known: KnownFile, part: Path) -> None:
    """One request: append what is missing of the file to `part`, or start it again."""
    have = part.stat().st_size if part.exists() else 0
    with closing(answer(known, have)) as response:
        start = have if continues(response, have) else 0
        length = response.length  # of the body, None where the server does not say
        with part.open("r+b" if start else "wb") as file:
            file.truncate(start)
            file.seek(start)
            arrived = copy(known, response, file, start, length)
    if length is not None and arrived < length:
        raise TransferInterrupted(f"the connection ended {length - arrived:,} bytes early")


def answer(known: KnownFile, have: int) -> HTTPResponse:
    """The server's answer to a request for the bytes from `have` on."""
    headers = {"User-Agent": f"googlenet/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urlopen(Request(known.url, headers=headers), timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        error.close()
        kind = FAILURES.get(
            error.code, PermanentFailure if error.code < 500 else TransferInterrupted
        )
        raise kind(f"the server answers {error.code} {error.reason}") from error
    except URLError as error:
        raise PermanentFailure(str(error.reason)) from error
    except (OSError, HTTPException, ValueError) as error:
        raise TransferInterrupted(str(error) or type(error).__name__) from error
    assert isinstance(response, HTTPResponse)
    return response


def continues(response: HTTPResponse, have: int) -> bool:
    """Whether the response continues where we stopped; many servers ignore ranges."""
    if response.status != 206:
        return False
    given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if not given or int(given[1]) != have:
        raise CorruptTransfer("the server gives another range than the one asked for")
    return True


def copy(
    known: KnownFile, response: HTTPResponse, file: BinaryIO, start: int, length: int | None
) -> int:
    """Write the body with a progress bar on a terminal; the number of bytes that came."""
    limit = known.size or MAX_BYTES
    total = known.size or (start + length if length is not None else None)
    arrived = 0
    with tqdm(
        desc=known.file,
        initial=start,
        total=total,
        unit="B",
        unit_scale=True,
        disable=not sys.stderr.isatty(),
    ) as bar:
        for block in blocks(response):
            arrived += len(block)
            if start + arrived > limit:
                raise CorruptTransfer(f"the server sends more than {limit:,} bytes")
            file.write(block)
            bar.update(len(block))
    return arrived


def blocks(response: HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            block = response.read(BLOCK)
        except (OSError, HTTPException, ValueError) as error:
            raise TransferInterrupted(str(error) or type(error).__name__) from error
        if not block:
            return
        yield block


def check_complete(known: KnownFile, part: Path) -> None:
    size = part.stat().st_size
    if known.size and size < known.size:
        raise TransferInterrupted(f"the server gives {size:,} of {known.size:,} bytes")
    digest = file_digest(part)
    if not digest.startswith(known.sha256):
        raise CorruptTransfer(f"what the server gives has SHA-256 {digest}, not {known.sha256}")
