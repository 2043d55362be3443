"""Writing files so that a crash leaves the old one or the new one, never half of one.

Also what several parts need to know of files: a digest, the folder of the cache.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.watchdog import beat

LEFT_BEHIND = ".*.part"  # what a process that was killed while it wrote leaves beside the file


class WriteError(GoogLeNetError):
    """A file that could not be written; what was there before is still there."""


@contextmanager
def parent_dir(path: Path) -> Iterator[None]:
    """Within it the folder of `path` is there: what is missing of it is made.

    Made for nothing, it goes again.  Raises OSError where it cannot be made.
    """
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for folder in missing:  # the innermost first; what holds something stays
            with suppress(OSError):
                folder.rmdir()


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Have `write` make a file beside `path`, then put it in its place at one stroke.

    The bytes are on the disk before the name is, so that a power cut is no worse than a kill.
    Raises WriteError, which names the file, where it cannot be written or replaced; a file
    that was there before is then still there.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # Replacing asks the folder alone for permission: a write-protected file would be replaced.
        if path.exists() and not path.stat().st_mode & 0o222:
            raise WriteError(f"{path}: exists and is read-only")
        with parent_dir(path):
            try:
                write(beside)
                fsync(beside)
                beside.replace(path)
            finally:
                with suppress(OSError):  # it is in its place, or there is none
                    beside.unlink()
            with suppress(OSError):  # not every file system can; the file is whole either way
                fsync(path.parent)
    except OSError as error:
        raise WriteError(f"{path}: cannot be written ({error})") from error


def fsync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8; undecodable bytes of a name stay as they are."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""

    def write(target: Path) -> None:
        target.write_bytes(content)

    write_atomically(path, write)


def remove_stale_temp(folder: Path) -> None:
    """Delete what killed processes were writing.  Nobody else may be writing into the folder."""
    for path in folder.glob(LEFT_BEHIND):
        with suppress(OSError):  # it only takes room
            path.unlink()


def map_file(path: Path) -> memoryview:
    """The file's bytes, read only as they are needed.  Raises OSError."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:  # which cannot be mapped
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            beat()
    return digest.hexdigest()


def cache_dir() -> Path:
    """The folder in which known files and copied shards are kept."""
    chosen = os.environ.get("GOOGLENET_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "googlenet"
