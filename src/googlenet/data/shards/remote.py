"""Where a packed data set lies: a folder here, or a URL whose shards are copied when needed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from googlenet.data.labels import DataError
from googlenet.images.archived import LocalShard, Shard
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.files import cache_dir, file_digest
from googlenet.runtime.watchdog import paused

CACHE_BYTES = 64 << 30  # of copied shards; $GOOGLENET_SHARD_CACHE_BYTES sets another limit
WAIT_SECONDS = 3600.0  # for another process that copies the same shard


class Store(Protocol):
    """`str()` of it is what to call it."""

    def has(self, file: str) -> bool: ...
    def read(self, file: str) -> bytes: ...
    def check(self, file: str, size: int) -> None: ...
    def path(self, file: str) -> Path: ...
    def shard(self, file: str, size: int, sha256: str) -> Shard: ...


@dataclass(frozen=True)
class LocalStore:
    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    def has(self, file: str) -> bool:
        return self.path(file).is_file()

    def read(self, file: str) -> bytes:
        try:
            return self.path(file).read_bytes()
        except OSError as error:
            raise DataError(f"{self.path(file)}: cannot be read ({error.strerror})") from error

    def check(self, file: str, size: int) -> None:
        """Raises DataError where the shard is missing or of another size than the index says."""
        try:
            found = self.path(file).stat().st_size
        except OSError as error:
            raise DataError(f"{self.path(file)}: cannot be read ({error.strerror})") from error
        if found != size:
            raise DataError(f"{self.path(file)}: must have {size} bytes, has {found}")

    def path(self, file: str) -> Path:
        return self.folder / file

    def shard(self, file: str, size: int, sha256: str) -> Shard:
        return LocalShard(self.path(file))


@dataclass(frozen=True)
class RemoteStore:
    """A URL of any protocol that fsspec knows: http(s), s3, gs, …"""

    url: str

    def __str__(self) -> str:
        return self.url

    def has(self, file: str) -> bool:
        return bool(self.fs_call("exists", f"{self.url}/{file}"))

    def read(self, file: str) -> bytes:
        return bytes(self.fs_call("cat_file", f"{self.url}/{file}"))

    def check(self, file: str, size: int) -> None:
        """Nothing yet: size and digest are checked when the shard has been copied."""

    def path(self, file: str) -> Path:
        raise DataError(f"{self.url}: a packed data set at a URL must have its index.npz, has none")

    def shard(self, file: str, size: int, sha256: str) -> Shard:
        return RemoteShard(f"{self.url}/{file}", size, sha256)

    def fs_call(self, verb: str, url: str) -> Any:
        return fs_call(url, verb)


def fs_call(url: str, verb: str, *arguments: str) -> Any:
    """The result of fsspec's method of that name.  Raises GoogLeNetError in one sentence."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
        return getattr(system, verb)(path, *arguments)
    except ImportError as error:
        raise GoogLeNetError(
            f"{url}: needs a package more ({error}); for http: pip install 'googlenet[remote]'"
        ) from error
    except Exception as error:  # each protocol has errors of its own
        raise GoogLeNetError(f"{url}: cannot be read ({error or type(error).__name__})") from error


@dataclass(frozen=True, slots=True)
class RemoteShard:
    """A shard that is copied whole into the cache when an image of it is first asked for.

    A copy is called by its digest, so it is never that of another data set.
    """

    url: str
    size: int
    sha256: str

    def __str__(self) -> str:
        return self.url

    def read(self, offset: int, size: int) -> bytes:
        return LocalShard(self.copy()).read(offset, size)

    def copy(self) -> Path:
        """The copy's path.  Raises GoogLeNetError if it cannot be made or is not that shard."""
        path = cache_dir() / "shards" / f"{self.sha256}.tar"
        if path.exists():
            return path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with paused(), FileLock(f"{path}.lock", timeout=WAIT_SECONDS):
                if not path.exists():
                    self.fetch(path)
                    evict_oldest(path)
        except OSError as error:
            raise GoogLeNetError(f"{path}: cannot be written ({error})") from error
        return path

    def fetch(self, path: Path) -> None:
        part = path.with_suffix(".part")
        fs_call(self.url, "get_file", str(part))
        if part.stat().st_size != self.size or file_digest(part) != self.sha256:
            part.unlink()
            raise GoogLeNetError(f"{self.url}: is not the shard that the index tells of")
        part.replace(path)


def evict_oldest(newest: Path) -> None:
    """Remove the oldest copies beyond the limit; who reads one has it open and goes on."""
    limit = int(os.environ.get("GOOGLENET_SHARD_CACHE_BYTES", CACHE_BYTES))
    copies = sorted(newest.parent.glob("*.tar"), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in copies)
    for path in copies:
        if total > limit and path != newest:
            total -= path.stat().st_size
            path.unlink(missing_ok=True)
