"""The record of the images that a model was trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from googlenet.data import learned
from googlenet.data.dataset import Samples
from googlenet.data.learned import EVERY_HASH, LearnedImages, hash_of, hashes_of, learned_by


def files(folder: Path, *contents: bytes) -> Samples:
    paths = [folder / f"{i}.png" for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return Samples(tuple(paths), (0,) * len(paths))


def test_record_knows_files_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    record = LearnedImages.of(files(tmp_path, b"one", b"two", b"one"))
    again = LearnedImages.from_json(json.loads(json.dumps(record.to_json())))
    assert record.to_json()["images"] == 2
    others = files(tmp_path / "copy", b"three", b"two")
    assert again.contains(hashes_of(others)).tolist() == [False, True]


@pytest.mark.parametrize("at", [0, 49_999, 99_999])
def test_large_files_differ_by_beginning_middle_end_and_size(tmp_path: Path, at: int) -> None:
    content = bytearray(100_000)
    found = [hash_of(files(tmp_path, bytes(content)).sources[0])]
    found.append(hash_of(files(tmp_path, bytes(content) + b"\0").sources[0]))
    content[at] = 1
    found.append(hash_of(files(tmp_path, bytes(content)).sources[0]))
    assert len(set(found)) == 3


def test_what_cannot_be_read_is_not_recorded(tmp_path: Path) -> None:
    samples = Samples((tmp_path / "none.png", tmp_path), (0, 0))
    assert hashes_of(samples).tolist() == [EVERY_HASH] * 2
    record = LearnedImages.of(samples)
    assert not len(record.hashes)
    assert not record.contains(hashes_of(samples)).any()


def test_arrays_are_known_by_their_pixels() -> None:
    one, two = np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)
    record = LearnedImages.of(Samples((one,), (0,)))
    assert record.contains(hashes_of(Samples((two, one.copy()), (0, 0)))).tolist() == [False, True]


def test_a_million_images_take_less_than_a_megabyte() -> None:
    hashes = np.random.default_rng(0).integers(0, EVERY_HASH, 1_000_000, np.uint64)
    record = LearnedImages.limited(hashes)
    assert len(json.dumps(record.to_json())) < 1_000_000
    assert record.below < EVERY_HASH
    known = hashes[hashes < record.below]
    assert record.contains(known).all()
    assert 0.12 < len(known) / len(hashes) < 0.14


def test_union_keeps_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "MAX_HASHES", 3)
    one = LearnedImages.limited(np.array([8, 2, 6, 4], np.uint64))
    assert (one.hashes.tolist(), one.below) == ([2, 4, 6], 8)
    both = one.union(LearnedImages.limited(np.array([1, 9], np.uint64)))
    assert (both.hashes.tolist(), both.below) == ([1, 2, 4], 6)


def test_fine_tuned_model_knows_what_its_weights_were_trained_on() -> None:
    one, two = (LearnedImages.limited(np.array([i], np.uint64)).to_json() for i in (1, 2))
    chain = {"learned": one, "weights": {"learned": two, "weights": None}}
    assert learned_by(chain).hashes.tolist() == [1, 2]
    assert not len(learned_by({}).hashes)


@pytest.mark.parametrize(
    "value",
    [None, [], 3, {}, {"hashes": 3, "below": 1}, {"hashes": "AAA", "below": 9},
     {"hashes": "AAAA", "below": 9}, {"hashes": "é", "below": 9},
     {"hashes": "", "below": float("inf")}],
)  # fmt: skip
def test_damaged_record_is_that_of_no_image(value: Any) -> None:
    assert not len(LearnedImages.from_json(value).hashes)


def test_images_that_could_not_be_read_are_not_learned() -> None:
    record = LearnedImages.limited(np.array([3, 1, 2], np.uint64))
    assert record.without(np.array([2, 9], np.uint64)).hashes.tolist() == [1, 3]
