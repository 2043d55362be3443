"""Packing a data set: its images once decoded, shrunk and shuffled, in tar shards.

Everything is written into a hidden folder beside the place where it is to be, which becomes that
place at the end.  A shard that is complete there stays: packing again with the same options goes
on after it.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from googlenet.data.dataset import DataSet, Samples
from googlenet.data.shards.index import (
    INDEX,
    PARTS,
    PLACES,
    Index,
    ShardFile,
    places_bytes,
    read_headers,
    shard_file,
)
from googlenet.data.shards.remote import LocalStore
from googlenet.images.archived import ArchivedImage
from googlenet.images.decode import FORMATS, ImageError, decode, read_header
from googlenet.images.preprocess import resize_shorter
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.files import file_digest, write_atomically, write_bytes, write_text
from googlenet.runtime.prefetch import prefetch

STATE = "state.json"
LOCK = "lock"
INTERPOLATION = "bicubic"  # antialiased


@dataclass(frozen=True)
class Packing:
    """How images are packed.

    side: an image whose shorter side is longer is shrunk to it and becomes a JPEG of `quality`;
        others keep their bytes.  None: all keep them.
    shard_bytes: a shard ends with the image that reaches it.  seed: of the order in the shards.
    """

    side: int | None = 256
    quality: int = 90
    shard_bytes: int = 256 << 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.side is not None and self.side < 1:
            raise UsageError(f"side must be 1 pixel or more, got {self.side}")
        if not 1 <= self.quality <= 100:
            raise UsageError(f"quality must be from 1 to 100, got {self.quality}")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed must be from 0 to 2^63 − 1, got {self.seed}")


class File(NamedTuple):
    """An image as it is packed."""

    content: bytes
    extension: str


@dataclass
class State:
    """What is done: complete shards by part, images left out; `taken` counts both."""

    key: str
    shards: dict[str, list[ShardFile]] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


class Packer:
    """Packs one data set.  `say` gets a line now and then, `progress` the images done."""

    def __init__(
        self,
        data: DataSet,
        root: Path,
        out: Path,
        packing: Packing,
        *,
        workers: int = 2,
        say: Callable[[str], object] = lambda line: None,
        progress: Callable[[int], object] = lambda photos: None,
    ) -> None:
        self.data, self.root, self.out, self.packing = data, root, out, packing
        self.workers, self.say, self.progress = workers, say, progress
        self.folder = out.with_name(f".{out.name}.part")
        self.parts = parts_of(data)

    def pack(self) -> Index:
        """Raises UsageError for a place that is taken, GoogLeNetError where one cannot write."""
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise UsageError(f"OUT must be a new or empty folder, got {self.out}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.locked():
                index = self.write(self.resume())
            self.folder.replace(self.out)
        except OSError as error:
            raise GoogLeNetError(f"{self.folder}: cannot be written ({error})") from error
        return index

    @contextmanager
    def locked(self) -> Iterator[None]:
        lock = self.folder / LOCK
        try:
            with FileLock(lock, timeout=0):
                yield
                lock.unlink(missing_ok=True)
        except Timeout:
            raise GoogLeNetError(f"{self.out}: another process is packing there") from None

    def write(self, state: State) -> Index:
        for part, samples in self.parts.items():
            self.write_part(part, samples, state)
        packing = {k: v for k, v in asdict(self.packing).items() if k != "shard_bytes"}
        parts = {part: tuple(state.shards[part]) for part in self.parts}
        index = Index(self.data.name, self.data.classes, parts, packing, state.left_out)
        store = LocalStore(self.folder)
        # The shards are read back: what the index says of them is what they hold.
        content = places_bytes(
            {
                part: read_headers(store, shards, lambda i, s=self.parts[part]: self.name(s, i))  # type: ignore[misc]
                for part, shards in parts.items()
            }
        )
        write_bytes(self.folder / PLACES, content)
        write_text(self.folder / INDEX, json.dumps(index.to_json(), indent=1) + "\n")
        (self.folder / STATE).unlink()
        return index

    def write_part(self, part: str, samples: Samples, state: State) -> None:
        """Write the shards of a part that are not there yet."""
        order = np.random.default_rng((self.packing.seed, PARTS.index(part))).permutation(
            len(samples)
        )
        shards = state.shards.setdefault(part, [])
        begin = state.taken.get(part, 0)
        self.progress(begin)
        files = prefetch(
            lambda i: (i, self.file(samples, i)), map(int, order[begin:]), self.workers
        )
        for first in files:
            name = f"{part}-{len(shards):06d}.tar"
            found = self.write_shard(name, samples, chain([first], files), state, part)
            if found.photos:
                shards.append(found)
                write_text(self.folder / STATE, json.dumps(asdict(state)))
                self.say(f"{name}: {found.photos} images, {found.bytes / 1e6:.1f} MB")

    def write_shard(
        self,
        name: str,
        samples: Samples,
        files: Iterator[tuple[int, File | str]],
        state: State,
        part: str,
    ) -> ShardFile:
        """Write images until the shard is as large as it may be, or there are no more."""
        photos = 0
        path = self.folder / name

        def fill(target: Path) -> None:
            nonlocal photos
            with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
                for number, file in files:
                    self.progress(1)
                    state.taken[part] = state.taken.get(part, 0) + 1
                    if isinstance(file, str):
                        state.left_out[self.name(samples, number)] = file
                        self.say(f"skipped: {samples.name(number)}: {file}")
                        continue
                    add(tar, f"{number:06d}{file.extension}", file.content)
                    add(tar, f"{number:06d}.cls", str(samples.labels[number]).encode())
                    photos += 1
                    if tar.offset >= self.packing.shard_bytes:
                        return

        write_atomically(path, fill)
        if not photos:
            path.unlink()
            return ShardFile(name, 0, 0, "")
        return ShardFile(name, photos, path.stat().st_size, file_digest(path))

    def file(self, samples: Samples, number: int) -> File | str:
        """An image as it is packed, or why it cannot be read."""
        source = samples.sources[number]
        try:
            photo = decode(source)
            if isinstance(source, np.ndarray):
                return File(encoded(photo, "PNG"), ".png")
            if self.packing.side is None or min(photo.size) <= self.packing.side:
                content = (
                    source.read() if isinstance(source, ArchivedImage) else source.read_bytes()
                )
                return File(content, extension_of(content))
            small = resize_shorter(photo, self.packing.side, INTERPOLATION)
            return File(encoded(small, "JPEG", quality=self.packing.quality), ".jpg")
        except ImageError as error:
            return str(error).removeprefix(f"{samples.name(number)}: ")

    def name(self, samples: Samples, number: int) -> str:
        """What to call an image whichever machine the data lies on: its path in the data set."""
        source = samples.sources[number]
        if isinstance(source, ArchivedImage):
            return source.name
        if isinstance(source, np.ndarray):
            return f"#{number}"
        inside = source.is_relative_to(self.root)
        return str(source.relative_to(self.root)) if inside else source.name

    def resume(self) -> State:
        """What an earlier try with the same options left, or nothing."""
        fresh = State(self.key())
        try:
            found = State(**json.loads((self.folder / STATE).read_text(encoding="utf-8")))
            shards = {part: list(map(shard_file, s)) for part, s in found.shards.items()}  # type: ignore[arg-type]
            whole = all(
                (self.folder / s.file).stat().st_size == s.bytes for s in chain(*shards.values())
            )
            if found.key == fresh.key and whole:
                done = sum(map(len, shards.values()))
                self.say(f"going on after {done} complete shards")
                return State(found.key, shards, found.taken, found.left_out)
        except (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError):
            pass
        for path in self.folder.iterdir():
            if path.name != LOCK:
                path.unlink()
        return fresh

    def key(self) -> str:
        """A hash of everything that decides what is in the shards."""
        digest = hashlib.sha256(json.dumps(asdict(self.packing)).encode())
        for part, samples in self.parts.items():
            for i, label in enumerate(samples.labels):
                line = f"{part} {self.name(samples, i)} {self.data.classes[label].id}\n"
                digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()


def parts_of(data: DataSet) -> dict[str, Samples]:
    """The parts to pack: training and validation, or all where the data has no such split.

    Raises UsageError for images of several labels: shards have one each.
    """
    if data.multilabel:
        raise UsageError(
            f"DATA must have one label per image to be packed, {data.name} has several"
        )
    if not data.has_split:
        return {"all": data.all} | ({"test": data.test} if len(data.test) else {})
    parts = {"train": data.train, "val": data.val, "test": data.test}
    return {part: samples for part, samples in parts.items() if part != "test" or len(samples)}


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)  # of no time and no user: the same images make the same file
    info.size = len(content)
    tar.addfile(info, BytesIO(content))


def encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def extension_of(content: bytes) -> str:
    """By what the file is, not by what it was called: other programs go by the extension."""
    return FORMATS[read_header(content).format][0]
