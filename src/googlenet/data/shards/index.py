"""Reading a packed data set: tar shards, as `googlenet pack` or another program wrote them.

A folder that we packed has `index.json` (classes, parts, shards; `Index`) and `index.npz` (where
each image is, its label and its name).  The second can be made again from the shards' headers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.data.account import Account, Note, lookalikes
from googlenet.data.dataset import DataSet, Samples
from googlenet.data.folder import TEST, TRAIN, VALIDATION, class_folders, find_split
from googlenet.data.labels import Class, ClassIndex, DataError, is_index, sort_labels
from googlenet.data.shards.remote import LocalStore, Store
from googlenet.data.shards.sources import ShardIndex, ShardSources, encoded
from googlenet.data.shards.tar import find_shards, read_shard, shards_named
from googlenet.data.split import random_split
from googlenet.images.archived import ArchivedImage, LocalShard, descriptor

INDEX = "index.json"
PLACES = "index.npz"
FORMAT = 1
PARTS = ("train", "val", "all", "test")  # "all": the data has no split of its own


@dataclass(frozen=True)
class ShardFile:
    """A shard: its file's name, how many images and bytes it has, and its SHA-256."""

    file: str
    photos: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Index:
    """What `index.json` says.  `left_out` names the images that could not be read, and why."""

    name: str
    classes: tuple[Class, ...]
    parts: dict[str, tuple[ShardFile, ...]]
    packing: dict[str, Any]  # side, quality, seed: how it was made
    left_out: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "googlenet": "packed",
            "format": FORMAT,
            "name": self.name,
            "classes": [c._asdict() for c in self.classes],
            "parts": {
                part: {
                    "photos": sum(shard.photos for shard in shards),
                    "shards": [asdict(shard) for shard in shards],
                }
                for part, shards in self.parts.items()
            },
            "packing": self.packing,
            "left_out": self.left_out,
        }

    @classmethod
    def from_json(cls, values: Any, where: str) -> Index:
        """The index that `to_json` wrote.  Raises DataError, which says `where`, for others."""
        try:
            if values["googlenet"] != "packed" or values["format"] != FORMAT:
                raise ValueError(f"format must be {FORMAT}, got {values.get('format')!r}")
            parts = {
                str(part): tuple(shard_file(shard) for shard in found["shards"])
                for part, found in values["parts"].items()
            }
            if not set(parts) <= set(PARTS):
                raise ValueError(f"parts must be among {', '.join(PARTS)}, got {', '.join(parts)}")
            classes = tuple(Class(str(c["id"]), str(c["name"])) for c in values["classes"])
            if len({c.id for c in classes}) < max(2, len(classes)):
                raise ValueError(f"classes must be two or more, each once, got {len(classes)}")
            for text in (str(values["name"]), *(c.id for c in classes), *(c.name for c in classes)):
                encoded(text)  # raises where nothing that is a name has such characters
            left_out = {str(k): str(v) for k, v in values["left_out"].items()}
            return cls(str(values["name"]), classes, parts, dict(values["packing"]), left_out)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise DataError(f"{where}: is not an index of a packed data set ({error})") from error


def shard_file(values: Mapping[str, Any]) -> ShardFile:
    found = ShardFile(
        str(values["file"]), int(values["photos"]), int(values["bytes"]), str(values["sha256"])
    )
    if not re.fullmatch(r"\w[\w.-]*", found.file) or not found.sha256.isalnum():
        raise ValueError(f"a shard must lie beside the index, got {found.file!r}")
    return found


@dataclass(frozen=True)
class Part:
    """The images of a part in the order of the data that was packed, and their labels."""

    places: ShardIndex
    labels: NDArray[np.int64]


def is_packed(folder: Path) -> bool:
    """Whether we packed it: other programs write files called `index.json`, too."""
    try:
        with (folder / INDEX).open("rb") as file:
            ours = re.search(rb'"googlenet"\s*:\s*"packed"', file.read(4096))
    except OSError:
        return False
    return bool(ours) or (folder / PLACES).is_file()


def holds_shards(path: Path) -> bool:
    """Whether it is another program's shard or folder of shards, and no folder of images."""
    if not path.is_dir():
        return path.suffix == ".tar" and path.is_file()
    return (
        bool(find_shards(path))
        and not any(find_split(path, names) for names in (TRAIN, VALIDATION, TEST))
        and not class_folders(path)
    )


def read_packed(store: Store, seed: int | None, classes: Sequence[Class] | None = None) -> DataSet:
    """The data set that we packed there; as the data itself would be read, image for image.

    Raises DataError where a shard is missing or not the one of the index.
    """
    descriptor.cache_clear()  # another data set may have been at this path
    index = read_index(store)
    found = {part: read_part(store, index, part) for part in index.parts}
    chosen = tuple(classes) if classes else index.classes
    here = ClassIndex(chosen)
    labels = np.array([here.find(c.id, str(store)) for c in index.classes])

    def samples(part: str) -> Samples:
        if part not in found:
            return Samples()
        shards = tuple(store.shard(s.file, s.bytes, s.sha256) for s in index.parts[part])
        places, own = found[part].places, found[part].labels
        return Samples(ShardSources(shards, places), tuple(labels[own].tolist()))

    if "all" in found:
        whole = DataSet(index.name, chosen, samples("all"), Samples(), test=samples("test"))
        return random_split(whole, seed)
    data = DataSet(index.name, chosen, samples("train"), samples("val"), test=samples("test"))
    return data if len(data.val) else random_split(data, seed)


def shard_images(path: Path) -> Iterator[ArchivedImage]:
    """Every image of a packed folder or of other shards, labelled or not."""
    if is_packed(path):
        store = LocalStore(path)
        index = read_index(store)
        for part, shards in index.parts.items():
            files = tuple(store.shard(s.file, s.bytes, s.sha256) for s in shards)
            yield from ShardSources(files, read_part(store, index, part).places)
        return
    for shard in find_shards(path) if path.is_dir() else [path]:
        for sample in read_shard(shard):
            name = sample.key + sample.extension
            yield ArchivedImage(LocalShard(shard), sample.offset, sample.size, name)


def read_index(store: Store) -> Index:
    where = f"{store}/{INDEX}"
    try:
        return Index.from_json(json.loads(store.read(INDEX)), where)
    except (RecursionError, ValueError) as error:
        raise DataError(f"{where}: is not an index of a packed data set ({error})") from error


def read_part(store: Store, index: Index, part: str) -> Part:
    """Where a part's images are: from `index.npz`, or from the shards where that is missing."""
    for shard in index.parts[part]:
        store.check(shard.file, shard.bytes)
    if store.has(PLACES):
        found = parse_places(store.read(PLACES), part, f"{store}/{PLACES}")
    else:
        found = read_headers(store, index.parts[part])
    sizes = np.array([shard.bytes for shard in index.parts[part]])
    places = found.places
    if (
        len(found.labels) != sum(shard.photos for shard in index.parts[part])
        or not ((places.shard >= 0) & (places.shard < len(sizes))).all()
        or not ((places.offset >= 0) & (places.size >= 0)).all()
        or not (places.offset <= sizes[places.shard] - places.size).all()
        or not ((found.labels >= 0) & (found.labels < len(index.classes))).all()
    ):
        raise DataError(
            f"{store}/{PLACES}: does not match these shards; without it, it is rebuilt from them"
        )
    return found


KEYS = ("shard", "offset", "size", "names", "ends", "labels")  # of a split's arrays


def places_bytes(parts: Mapping[str, Part]) -> bytes:
    """`index.npz` for these parts."""
    arrays = {
        f"{part}_{key}": array
        for part, found in parts.items()
        for key, array in zip(KEYS, (*found.places.arrays(), found.labels), strict=True)
    }
    stream = BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def parse_places(content: bytes, part: str, where: str) -> Part:
    try:
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            *places, labels = (arrays[f"{part}_{key}"] for key in KEYS)
        names, numbers = places[3], (*places[:3], places[4], labels)
        if len({len(array) for array in numbers}) != 1 or any(a.ndim != 1 for a in places):
            raise ValueError("its arrays are not of one length")
        if names.dtype != np.uint8 or any(array.dtype.kind != "i" for array in numbers):
            raise ValueError("its arrays are not of integers")
        return Part(ShardIndex(*places), labels.astype(np.int64))
    except Exception as error:  # zip, zlib and NumPy each have many kinds, down to MemoryError
        raise DataError(
            f"{where}: cannot be read ({error}); without it, it is rebuilt from the shards"
        ) from error


def read_headers(
    store: Store, shards: Sequence[ShardFile], name: Callable[[int], str] | None = None
) -> Part:
    """A part from its shards' headers.

    `name` calls an image by its number in the data; without it the number is its name.
    """
    rows, labels = {}, {}
    for at, shard in enumerate(shards):
        path = store.path(shard.file)
        for sample in read_shard(path):
            if not (is_index(sample.key) and is_index(sample.label or "")):
                raise DataError(f"{path}: has an image without number or class, {sample.key}")
            number = int(sample.key)
            called = name(number) if name else sample.key + sample.extension
            rows[number] = (at, sample.offset, sample.size, called)
            labels[number] = int(str(sample.label))
    order = sorted(rows)
    return Part(
        ShardIndex.of([rows[i] for i in order]), np.array([labels[i] for i in order], np.int64)
    )


def read_shards(
    folder: Path,
    seed: int | None,
    classes: Sequence[Class] | None = None,
    legacy: bool = False,
) -> DataSet:
    """Another program's shards, with `.cls` or `.json` labels; ours have an index.

    Shards are of a split by a word of their names; where none is of validation, it is split off by
    the seed.  Labels are read as those of a CSV file.  legacy: as for `read_csv`.
    """
    descriptor.cache_clear()
    paths = find_shards(folder) if folder.is_dir() else [folder]
    train, val, test = [*map(partial(shards_named, folder, paths), (TRAIN, VALIDATION, TEST))]
    val_is_test = bool(test) and (legacy or not val)
    if val_is_test:
        val, test = sorted(val + test), []
    if not val and not test:
        train = paths
    dropped: Counter[str] = Counter()
    contents = {path: read_shard(path, dropped) for path in (*train, *val, *test)}
    for path, samples in contents.items():
        for sample in samples:
            if sample.label is None:
                raise DataError(
                    f"{path}: its image {sample.key}{sample.extension} has no label, a .cls or "
                    ".json member; unpack the archive of a folder first (tar xf)"
                )
    own = {str(s.label) for path in train or val for s in contents[path]}
    chosen = tuple(classes) if classes else tuple(Class(n, n) for n in sort_labels(own))
    index = ClassIndex(chosen)
    every = [str(s.label) for samples in contents.values() for s in samples]
    as_indices = index.are_indices(every)
    find = index.at if as_indices else index.find
    notes = [
        *(Note("dropped", str(folder), f"{n:,} {reason}") for reason, n in dropped.items()),
        *lookalikes(set(every)),
        *[index.index_note(str(folder))] * as_indices,
    ]

    def part(paths: Sequence[Path]) -> Samples:
        places = ShardIndex.of(
            [
                (at, s.offset, s.size, s.key + s.extension)
                for at, path in enumerate(paths)
                for s in contents[path]
            ]
        )
        labels = tuple(find(str(s.label), str(p)) for p in paths for s in contents[p])
        return Samples(ShardSources(tuple(map(LocalShard, paths)), places), labels)

    data = DataSet(
        folder.resolve().name,
        chosen,
        part(train),
        part(val) if val else Samples(),
        account=Account(notes=tuple(notes)),
        test=part(test) if test else Samples(),
        val_is_test=val_is_test,
    )
    return data if len(data.val) else random_split(data, seed)
