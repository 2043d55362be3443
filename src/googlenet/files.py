"""Where files are kept, and writing them so that a crash leaves the old one or the new one."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from googlenet.errors import GoogLeNetError


def cache_dir() -> Path:
    """For what can be had again: $GOOGLENET_CACHE, or `googlenet` in the user's cache folder."""
    chosen = os.environ.get("GOOGLENET_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "googlenet"


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Have `write` make a file beside `path`, then put it in its place at one stroke.

    Raises GoogLeNetError, which names the file, where it cannot be written; a file that was
    there before is then still there.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise GoogLeNetError(f"{path}: cannot be written ({error})") from error
    finally:
        with suppress(OSError):  # not there, or nowhere that it could be
            beside.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""

    def write(target: Path) -> None:
        target.write_text(text, encoding="utf-8")

    write_atomically(path, write)
