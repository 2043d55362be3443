"""Photos to batches: every sample once, in an order that depends on (seed, epoch) alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet.data.dataset import Samples
from googlenet.data.loader import TrainingLoader, epoch_order, equal_batches, prefetch
from googlenet.images.augment import Augmentation, RandomResizedCrop
from googlenet.images.preprocess import Preprocessing
from tests.fixtures import noise

SIZE = 16


@settings(deadline=None)
@given(
    samples=st.integers(1, 500),
    batch=st.integers(1, 70),
    seed=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 100),
)
def test_each_sample_once_in_batches_of_one_size(
    samples: int, batch: int, seed: int, epoch: int
) -> None:
    batches = equal_batches(epoch_order(samples, seed, epoch), batch)
    sizes = [len(indices) for indices in batches]
    assert sorted(np.concatenate(batches).tolist()) == list(range(samples))
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch
    assert len(batches) == -(-samples // batch)


def test_order_is_a_function_of_seed_and_epoch() -> None:
    assert np.array_equal(epoch_order(50, 1, 2), epoch_order(50, 1, 2))
    assert (
        len({tuple(epoch_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    )


def loader(folder: Path) -> TrainingLoader:
    """Six photos, of which number 2 is text and number 4 missing."""
    paths = [folder / f"{n}.png" for n in range(6)]
    for n, path in enumerate(paths):
        noise(30, 24, seed=n).save(path)
    paths[2].write_text("no photo")
    paths[4].unlink()
    return TrainingLoader(
        Samples(tuple(paths), (0, 1, 0, 1, 0, 1)),
        Preprocessing(size=SIZE, resize=SIZE),
        Augmentation((RandomResizedCrop(SIZE, (0.3, 1.0)),), seed=0),
    )


def test_bad_photos_are_left_out_and_named(tmp_path: Path) -> None:
    batch = loader(tmp_path).load(0, [5, 4, 2, 0])
    assert batch.labels.tolist() == [1, 0]
    assert batch.pixels.shape == (2, SIZE, SIZE, 3)
    assert batch.pixels.dtype == np.uint8
    assert set(batch.bad) == {str(tmp_path / "4.png"), str(tmp_path / "2.png")}
    assert all(error.startswith(name) for name, error in batch.bad.items())


def test_batch_of_bad_photos_alone_is_empty(tmp_path: Path) -> None:
    batch = loader(tmp_path).load(0, [2, 4])
    assert len(batch) == 0
    assert batch.pixels.shape == (0, SIZE, SIZE, 3)


def test_a_sample_s_pixels_do_not_depend_on_its_batch(tmp_path: Path) -> None:
    load = loader(tmp_path).load
    together = load(1, [0, 1, 3]).pixels
    alone = [load(1, [index]).pixels[0] for index in (0, 1, 3)]
    assert all(map(np.array_equal, together, alone))
    assert not np.array_equal(together, load(2, [0, 1, 3]).pixels)


def test_second_draw_of_a_photo_is_another_crop_of_it(tmp_path: Path) -> None:
    batch = loader(tmp_path).load(0, [3, 3 + 6, 3 + 2 * 6])
    assert batch.labels.tolist() == [1, 1, 1]
    assert len({crop.tobytes() for crop in batch.pixels}) == 3


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_prefetch_is_map_in_order(workers: int) -> None:
    assert list(prefetch(lambda n: n * n, range(50), workers)) == [n * n for n in range(50)]


def test_prefetch_runs_ahead_by_a_bounded_number() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for n in range(1000):
            taken += 1
            yield n

    results = prefetch(lambda n: n, items(), workers=2, ahead=3)
    assert next(results) == 0
    assert taken <= 2 * 3 + 1
    results.close()  # type: ignore[attr-defined]


def test_prefetch_raises_what_a_worker_raised_and_ends_its_threads() -> None:
    def divide(n: int) -> float:
        return 1 / (3 - n)

    before = threading.active_count()
    results = prefetch(divide, range(10), workers=2)
    assert [next(results) for _ in range(3)] == [1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert threading.active_count() == before
