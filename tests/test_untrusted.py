"""What fuzzing has found in the readers of files that others made: a sentence each."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from googlenet import Classifier
from googlenet.data.dataset import DataError
from googlenet.data.load_data import load_data
from googlenet.data.shards.index import ShardFile, read_headers
from googlenet.data.shards.remote import LocalStore
from googlenet.runtime.errors import GoogLeNetError
from tests.fixtures import encoded, noise
from tests.untrusted import packed

DEEP = b"[" * 100_000


def marked(content: bytes, at: int, value: int) -> bytes:
    """A zip archive with a number of every central directory entry changed."""
    changed = bytearray(content)
    place = changed.find(b"PK\x01\x02")
    while place >= 0:
        changed[place + at] = value
        place = changed.find(b"PK\x01\x02", place + 4)
    return bytes(changed)


def tar_of(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_an_index_that_is_nested_very_deep(tmp_path: Path) -> None:
    kind = packed("*.json", ())(tmp_path)
    (tmp_path / kind.name).write_bytes(DEEP)
    with pytest.raises(DataError, match=r"packed/index\.json: is not an index of a packed data"):
        kind.read(tmp_path / kind.name)


@pytest.mark.parametrize(
    ("at", "value"),
    [(8, 0x01), (8, 0x41), (10, 99)],
    ids=["encrypted", "strongly encrypted", "of an unknown method"],
)
def test_an_archive_of_places_that_is_damaged(at: int, value: int, tmp_path: Path) -> None:
    kind = packed("*.npz", ())(tmp_path)
    (tmp_path / kind.name).write_bytes(marked(kind.content, at, value))
    with pytest.raises(DataError, match=r"packed/index\.npz: cannot be read"):
        kind.read(tmp_path / kind.name)


@pytest.mark.parametrize("odd", [{"all_offset": -1}, {"all_size": -1}, {"all_shard": 0.0}])
def test_places_that_no_image_has(odd: dict[str, float], tmp_path: Path) -> None:
    kind = packed("*.npz", ())(tmp_path)
    with np.load(tmp_path / kind.name) as file:
        arrays = dict(file)
    for name, value in odd.items():
        arrays[name] = np.full_like(arrays[name], value, dtype=type(value))
    np.savez(tmp_path / kind.name, **arrays)
    with pytest.raises(DataError, match=r"does not match these shards|not of integers"):
        kind.read(tmp_path / kind.name)


@pytest.mark.parametrize(("key", "label"), [("²", "0"), ("0", "²"), ("1" * 90, "0")])
def test_a_shard_whose_numbers_are_none(key: str, label: str, tmp_path: Path) -> None:
    tar_of(tmp_path / "a.tar", {f"{key}.png": encoded(noise(8, 8)), f"{key}.cls": label.encode()})
    with pytest.raises(DataError, match=r"a\.tar: has an image without number or class"):
        read_headers(LocalStore(tmp_path), [ShardFile("a.tar", 1, 1, "")])


def test_a_label_in_a_shard_that_is_nested_very_deep(tmp_path: Path) -> None:
    tar_of(tmp_path / "train-0.tar", {"1.png": encoded(noise(8, 8)), "1.json": DEEP})
    with pytest.raises(DataError, match=r"train-0\.tar"):
        load_data(str(tmp_path / "train-0.tar"))


@pytest.mark.parametrize("flags", [0x01, 0x41])
def test_an_exported_file_that_says_it_is_encrypted(flags: int, tmp_path: Path) -> None:
    path = tmp_path / "x.pt2"
    with ZipFile(path, "w") as archive:
        archive.writestr("x/extra/googlenet", json.dumps({}))
    path.write_bytes(marked(path.read_bytes(), 8, flags))
    with pytest.raises(
        GoogLeNetError, match=r"x\.pt2: is not a complete \.pt2 file of this program"
    ):
        Classifier.load(path)
