"""More kinds of files for `fuzzed.py`: images, tables, shards and exported files.

Each builds a small valid file, with what belongs beside it, and reads it the way a command does.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from googlenet import Classifier
from googlenet.cli import main as googlenet
from googlenet.data.dataset import DataSet
from googlenet.data.load_data import load_data
from googlenet.images.archived import ArchivedImage
from googlenet.images.augment import Augmentation, HorizontalFlip, RandomResizedCrop
from googlenet.images.turbo_jpeg import decode_turbo
from googlenet.insight.embedding_file import read_embeddings, write_embeddings
from googlenet.insight.embeddings import Embedding
from googlenet.runtime.errors import GoogLeNetError
from tests.dirty_photos import mutated, samples_of
from tests.fixtures import encoded, noise, photo_folder, tiny_classifier
from tests.fuzzed import Kind
from tests.mutations import ANY, SETTINGS, Mutation

IMAGES = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF")
ROW_CHARACTERS = ',;\t"\n\r\0\ufeff|= \u00a0é\ud800'


def answers(classifier: Classifier, image: Path | bytes) -> list[tuple[str, float]]:
    """What the classifier says of an image.  Raises GoogLeNetError where it cannot be read."""
    (prediction,) = classifier.predict([image])
    if prediction.error:
        raise GoogLeNetError(prediction.error)
    return list(prediction.top)


def image(name: str) -> Callable[[Path], Kind]:
    """An image file of a format: decoded, seen by a network, and cropped as in training."""

    def kind(folder: Path) -> Kind:
        classifier = tiny_classifier()
        augmentation = Augmentation(
            (RandomResizedCrop(32, (0.08, 1.0), (0.75, 1.33)), HorizontalFlip()), 0
        )

        def read(path: Path) -> Any:
            found = answers(classifier, path)
            crop = augmentation(decode_turbo(path, augmentation.dct_scale), 0, 0)
            assert np.asarray(crop).shape == (32, 32, 3)
            return found

        def mutate(content: bytes, rng: Random) -> bytes:
            seeds = samples_of(name)
            whole = rng.choice(seeds) if seeds else content
            return mutated(whole, np.random.default_rng(rng.randrange(2**32)))

        return Kind("image.dat", encoded(noise(60, 50)), read, (mutate,))

    return kind


def odd_table(content: bytes, rng: Random) -> bytes:
    """A table with a cell, a row, a separator or an encoding that somebody else's program wrote."""
    rows = list(csv.reader(StringIO(content.decode())))
    row = rng.choice(rows)
    column = rng.randrange(len(row))
    cell = list(row[column])
    cell.insert(rng.randrange(len(cell) + 1), rng.choice(ROW_CHARACTERS) * rng.choice((1, 1, 2000)))
    row[column] = "".join(cell)
    if rng.random() < 0.3:
        rows.insert(rng.randrange(len(rows) + 1), rng.choice(rows)[: rng.randrange(4)])
    text = StringIO()
    csv.writer(text, delimiter=rng.choice(",,,;\t")).writerows(rows)
    encoding = rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252"))
    return text.getvalue().encode(encoding, "surrogatepass" if "utf" in encoding else "replace")


def data_set(path: Path) -> Any:
    """A data set as a command reads it, and its first photo."""
    data = load_data(str(path))
    assert all(0 <= label < len(data.classes) for label in data.all.labels)
    return data.fingerprint(), [c.id for c in data.classes]


def contents(data: DataSet) -> list[bytes]:
    """The bytes of every image in shards."""
    return [s.read() for s in data.all.sources if isinstance(s, ArchivedImage)]


def table(folder: Path) -> Kind:
    photo_folder(folder, {"red": 3, "green": 3, "blue": 3})
    rows = [
        f"{colour}/{number}.png,{colour},{'val' if number == 2 else 'train'}"
        for colour in ("red", "green", "blue")
        for number in range(3)
    ]
    content = "\n".join(["path,label,split", *rows, ""]).encode()
    return Kind("labels.csv", content, data_set, (*ANY, odd_table, odd_table, odd_table))


def packed(name: str, mutations: tuple[Mutation, ...]) -> Callable[[Path], Kind]:
    """A file of a packed data set, the others as they were."""

    def kind(folder: Path) -> Kind:
        data = photo_folder(folder / "data", {"red": 4, "green": 4, "blue": 4})
        out = folder / "packed"
        assert googlenet(["pack", str(data), str(out), "--json"]) == 0
        (path,) = out.glob(name)
        content = path.read_bytes()

        def read(path: Path) -> Any:
            data = load_data(str(path.parent))
            return data.fingerprint(), contents(data)

        return Kind(f"packed/{path.name}", content, read, mutations)

    return kind


def shard(folder: Path) -> Kind:
    """A shard of somebody else's, without an index."""
    kind = packed("*.tar", ANY)(folder)
    for path in (folder / "packed").iterdir():
        path.unlink()

    def read(path: Path) -> Any:
        data = load_data(str(path))
        return data.fingerprint(), contents(data)

    return Kind("shard-000000.tar", kind.content, read, ANY)


def exported(format_name: str, suffix: str) -> Callable[[Path], Kind]:
    """A file that `googlenet export` made, loaded and asked."""

    def kind(folder: Path) -> Kind:
        model, out = folder / "model.safetensors", folder / f"exported{suffix}"
        tiny_classifier().save(model)
        command = ["export", str(model), "--to", format_name, "--out", str(out), "--images", "2"]
        assert googlenet([*command, "--json"]) == 0
        asked = encoded(noise(40, 50))
        return Kind(out.name, out.read_bytes(), lambda p: answers(Classifier.load(p), asked), ANY)

    return kind


def embeddings(suffix: str) -> Callable[[Path], Kind]:
    """A file that `googlenet embed` made, read as `googlenet neighbors` does."""

    def kind(folder: Path) -> Kind:
        path = folder / f"embeddings{suffix}"
        rows = [Embedding(f"{n}.png", np.full(8, n, np.float32), None) for n in range(5)]
        write_embeddings(path, rows, (5, 8), {"layer": "pool5"})
        return Kind(path.name, path.read_bytes(), read_embeddings, ANY)

    return kind


KINDS: dict[str, Callable[[Path], Kind]] = {
    **{f"image:{name}": image(name) for name in IMAGES},
    "table": table,
    "index": packed("*.json", SETTINGS),
    "places": packed("*.npz", ANY),
    "packed": packed("*.tar", ANY),
    "shard": shard,
    "embeddings:npz": embeddings(".npz"),
    "embeddings:parquet": embeddings(".parquet"),
    "exported:onnx": exported("onnx", ".onnx"),
    "exported:torch": exported("torch", ".pt2"),
    "exported:openvino": exported("openvino", ".xml"),
}
