"""Classes, labels and the split that a seed makes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet.data.dataset import DataSet, Samples
from googlenet.data.labels import Class, ClassIndex, DataError, sort_labels
from googlenet.data.split import random_split


def dataset(*sizes: int) -> DataSet:
    """A data set with so many images of each class, interleaved."""
    pairs = sorted((n, label) for label, size in enumerate(sizes) for n in range(size))
    sources = tuple(Path(f"{label}/{label}-{n}.png") for n, label in pairs)
    classes = tuple(Class(f"id{i}", f"name{i}") for i in range(len(sizes)))
    return DataSet(
        "photos", classes, Samples(sources, tuple(label for _, label in pairs)), Samples()
    )


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 30), min_size=2, max_size=6), seed=st.integers(0, 2**63 - 1))
@pytest.mark.parametrize("rule", ["image", "order"])
def test_split_holds_a_fifth_of_every_class_out(sizes: list[int], seed: int, rule: str) -> None:
    whole = dataset(*sizes)
    parts = random_split(whole, seed, rule=rule)
    assert not parts.has_split
    assert sorted(parts.train.sources + parts.val.sources, key=str) == sorted(
        whole.train.sources, key=str
    )
    labels = dict(zip(whole.train.sources, whole.train.labels, strict=True))
    for part in (parts.train, parts.val):
        assert [labels[source] for source in part.sources] == list(part.labels)
    held = Counter(parts.val.labels)
    for label, size in enumerate(sizes):
        if rule == "order" or size == 1:
            assert held[label] == (0 if size == 1 else max(1, round(size / 5)))
        else:
            assert max(1, round(size / 10)) <= held[label] <= max(1, size * 3 // 10)


def test_split_by_image_holds_about_a_fifth_of_many_out() -> None:
    held = Counter(random_split(dataset(2000, 2000), 1).val.labels)
    assert all(340 < count < 460 for count in held.values())


@settings(deadline=None)
@given(seed=st.integers(0, 2**63 - 1), added=st.integers(1, 100))
def test_split_follows_each_image_whatever_else_is_there(seed: int, added: int) -> None:
    """A class of 300 grows: nothing moves.  (Of a small class the bounds may move one.)"""
    small, large = (random_split(dataset(300 + n, 300), seed) for n in (0, added))
    assert set(small.val.sources) <= set(large.val.sources)
    assert set(small.train.sources) <= set(large.train.sources)


def test_a_small_class_that_grows_moves_few_images() -> None:
    moved = 0
    for seed in range(100):
        small, large = (random_split(dataset(30 + n, 30 + n), seed) for n in (0, 1))
        before, after = set(small.val.sources), set(large.val.sources)
        moved += len(before - after) + len(set(small.train.sources) & after)
    assert moved < 30  # of 6,000


@pytest.mark.parametrize("root", ["/x/data", "/elsewhere/y"])
def test_split_does_not_depend_on_the_place_or_on_folders_above_the_class(root: str) -> None:
    here = dataset(20, 30)
    sources = tuple(Path(root) / f"id{p.parts[0]}" / p.name for p in map(Path, here.train.sources))  # type: ignore[arg-type]
    there = replace(here, train=Samples(sources, here.train.labels))
    inside = tuple(Path("deep/images") / p.relative_to(root) for p in sources)
    table = replace(here, train=Samples(inside, here.train.labels))
    found = [
        [s.sources[i].name for i in range(len(s))]  # type: ignore[union-attr]
        for s in (random_split(there, 3, Path(root)).val, random_split(table, 3).val)
    ]
    assert found[0] == found[1]
    assert found[0] != [s.name for s in random_split(here, 4).val.sources]  # type: ignore[union-attr]


def test_split_is_a_function_of_the_seed() -> None:
    whole = dataset(20, 30)
    assert random_split(whole, 5) == random_split(whole, 5)
    assert random_split(whole, 5).val.sources != random_split(whole, 6).val.sources


def test_split_of_a_split_is_the_same() -> None:
    """Evaluation finds a trained model's validation images by splitting again."""
    whole = dataset(20, 30)
    assert set(random_split(whole, 5).all.sources) == set(whole.all.sources)
    assert (
        random_split(whole, 5).fingerprint()
        == whole.fingerprint()
        == random_split(whole, 6).fingerprint()
    )


def test_fingerprint_knows_names_and_classes_but_not_the_place() -> None:
    here, there = dataset(3, 3), dataset(3, 3)
    moved = Samples(tuple(Path("/elsewhere") / s for s in there.train.sources), there.train.labels)  # type: ignore[operator]
    assert DataSet("other", there.classes, moved, Samples()).fingerprint() == here.fingerprint()
    assert dataset(3, 4).fingerprint() != here.fingerprint()
    relabeled = Samples(there.train.sources, tuple(1 - label for label in there.train.labels))
    assert DataSet("x", there.classes, relabeled, Samples()).fingerprint() != here.fingerprint()


def test_order_knows_the_labels_of_every_image() -> None:
    sources, classes = (Path("a.png"), Path("b.png")), (Class("x", "x"), Class("y", "y"))

    def order(*rows: list[bool]) -> str:
        return DataSet("d", classes, Samples(sources, (), np.array(rows)), Samples()).order_hash()

    found = [[True, True], [False, False]], [[True, False], [False, True]], [[True, True]] * 2
    assert len({order(*rows) for rows in found}) == 3
    one = DataSet("d", classes, Samples(sources, (0, 1)), Samples())
    assert order([True, False], [False, True]) == one.order_hash()


def test_fingerprint_of_a_name_that_is_no_text() -> None:
    samples = Samples((Path("caf\udce9.png"), Path("b.png")), (0, 1))
    classes = (Class("a", "a"), Class("b", "b"))
    assert len(DataSet("photos", classes, samples, Samples()).fingerprint()) == 16


@pytest.mark.parametrize(("sizes", "found"), [((), "none"), ((4,), "id0")])
def test_one_class_is_no_data_set(sizes: tuple[int, ...], found: str) -> None:
    with pytest.raises(DataError, match=f"photos: .* two classes or more, has {found}"):
        dataset(*sizes)


def test_description_counts_the_images() -> None:
    assert random_split(dataset(10, 10), 0, rule="order").describe() == (
        "photos: 2 classes, 16 training / 4 validation images (random split)"
    )
    tested = replace(dataset(2, 2), test=dataset(1, 1).train)
    assert tested.describe().endswith("0 validation images; 2 test images are left out")


CLASSES = (
    Class("n01", "crane"),
    Class("n02", "kite"),
    Class("n03", "crane"),
    Class("kite", "hawk"),
)


def test_label_is_an_id_or_a_name_and_ids_come_first() -> None:
    index = ClassIndex(CLASSES)
    assert [index.find(label, "") for label in ("n01", "n03", "hawk", "kite")] == [0, 2, 3, 3]


def test_name_of_two_classes_is_no_label() -> None:
    with pytest.raises(DataError, match=r"here: label must be one of the 4 .*n01.*, got 'crane'"):
        ClassIndex(CLASSES).find("crane", "here")


@pytest.mark.parametrize(
    ("labels", "indices"),
    [(["0", "3"], True), (["0", "n01"], False), (["-1"], False), (["1.0"], False), (["²"], False)],
)
def test_labels_are_indices_if_all_are_whole_numbers(labels: list[str], indices: bool) -> None:
    assert ClassIndex(CLASSES).are_indices(labels) is indices


def test_numbers_that_name_classes_are_no_indices() -> None:
    years = ClassIndex((Class("1999", "a"), Class("2000", "b")))
    assert not years.are_indices(["1999", "1"])


def test_index_beyond_the_classes() -> None:
    with pytest.raises(
        DataError, match="here: label must be below the number of classes, 4, got 4"
    ):
        ClassIndex(CLASSES).at("4", "here")
    assert ClassIndex(CLASSES).at("3", "here") == 3


def test_class_list_is_by_number_or_by_name() -> None:
    assert sort_labels({"10", "9", "1"}) == ["1", "9", "10"]
    assert sort_labels({"10", "9", "b"}) == ["10", "9", "b"]
    assert sort_labels({"1", "01", "001"}) == ["001", "01", "1"]
