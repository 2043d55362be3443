"""What fuzzing has found in the readers of files that others made: a sentence each."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

from googlenet import Classifier
from googlenet.data.labels import DataError
from googlenet.data.load_data import load_data
from googlenet.data.shards.index import ShardFile, read_headers
from googlenet.data.shards.remote import LocalStore
from googlenet.inference.header import parse_header
from googlenet.models.table import VARIANTS, parse_table, table_json
from googlenet.runtime.errors import GoogLeNetError
from googlenet.training.settings import Settings
from tests.fixtures import encoded, noise, tiny_classifier
from tests.fuzzed import settings_file
from tests.mutations import odd_everywhere
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


def refused_or_read(value: Any, read: Callable[[str], Any]) -> int:
    """How many of the value's odd kin are refused, each in a sentence; the others are read."""
    said = []
    for odd in odd_everywhere(value):
        try:
            read(json.dumps(odd))
        except GoogLeNetError as error:
            said.append(str(error))
    assert [text for text in said if "\n" in text] == []
    return len(said)


def test_every_odd_value_in_an_index(tmp_path: Path) -> None:
    kind = packed("*.json", ())(tmp_path)

    def read(text: str) -> None:
        (tmp_path / kind.name).write_text(text, encoding="utf-8")
        kind.read(tmp_path / kind.name)

    assert refused_or_read(json.loads(kind.content), read) > 300


def test_every_odd_value_in_a_model_s_header() -> None:
    header = tiny_classifier(heads=True).header.to_json()
    assert refused_or_read(header, partial(parse_header, "m.safetensors")) > 500


def test_every_odd_value_in_a_table_of_widths() -> None:
    table = table_json("mine", "bn", VARIANTS["bn"].modules)
    assert refused_or_read(table, parse_table) > 1000


def test_every_odd_value_in_a_run_s_settings(tmp_path: Path) -> None:
    kind = settings_file(tmp_path)
    settings = json.loads(kind.content)
    read = partial(Settings.from_json, where="settings.json")
    assert refused_or_read(settings, lambda text: read(json.loads(text))) > 1500


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
