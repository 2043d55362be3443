"""Images to batches: every sample once, in an order that depends on (seed, epoch) alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from googlenet.data.cache import MemoryCache
from googlenet.data.dataset import Samples
from googlenet.data.loader import Batch, TrainingLoader, epoch_order, even_batches, prefetch
from googlenet.images import pixel_kernels
from googlenet.images.augment import Augmentation, HorizontalFlip, RandomCrop, RandomResizedCrop
from googlenet.images.device_crops import cropped
from googlenet.images.preprocess import Preprocessing
from tests.fixtures import encoded, noise

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
    batches = even_batches(epoch_order(samples, seed, epoch), batch)
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
    """Six images, of which number 2 is text and number 4 missing."""
    paths = [folder / f"{n}.png" for n in range(6)]
    for n, path in enumerate(paths):
        noise(30, 24, seed=n).save(path)
    paths[2].write_text("no photo")
    paths[4].unlink()
    return TrainingLoader(
        Samples(tuple(paths), (0, 1, 0, 1, 0, 1)),
        Preprocessing(size=SIZE, resize_size=SIZE),
        Augmentation((RandomResizedCrop(SIZE, (0.3, 1.0)),), seed=0),
    )


def test_bad_images_are_left_out_and_named(tmp_path: Path) -> None:
    batch = loader(tmp_path).load(0, [5, 4, 2, 0])
    assert batch.labels.tolist() == [1, 0]
    assert batch.pixels.shape == (2, SIZE, SIZE, 3)
    assert batch.pixels.dtype == np.uint8
    assert set(batch.unreadable) == {str(tmp_path / "4.png"), str(tmp_path / "2.png")}
    assert all(error.startswith(name) for name, error in batch.unreadable.items())


def test_batch_of_bad_images_alone_is_empty(tmp_path: Path) -> None:
    batch = loader(tmp_path).load(0, [2, 4])
    assert len(batch) == 0
    assert batch.pixels.shape == (0, SIZE, SIZE, 3)


def test_a_sample_s_pixels_do_not_depend_on_its_batch(tmp_path: Path) -> None:
    load = loader(tmp_path).load
    together = load(1, [0, 1, 3]).pixels
    alone = [load(1, [index]).pixels[0] for index in (0, 1, 3)]
    assert all(map(np.array_equal, together, alone))
    assert not np.array_equal(together, load(2, [0, 1, 3]).pixels)


def jpegs() -> dict[str, bytes]:
    """By name: images that are decoded in part, turned, by Pillow, and damaged below."""
    turned = Image.Exif()
    turned[0x0112] = 6
    plain = encoded(noise(90, 120), "JPEG", restart_marker_rows=1)
    lost = plain.index(b"\xff\xd6")  # a marker between rows, far down
    return {
        "plain": plain,
        "turned": encoded(noise(90, 120, seed=1), "JPEG", exif=turned),
        "progressive": encoded(noise(90, 120, seed=2), "JPEG", progressive=True),
        "png": encoded(noise(90, 120, seed=3)),
        "damaged": plain[: lost + 1] + b"\xd2" + plain[lost + 2 :],
        "short": plain[:-300],
    }


@pytest.mark.parametrize("step", [RandomResizedCrop(SIZE, (0.1, 1.0)), RandomCrop(SIZE)])
def test_crops_are_the_same_with_a_cache_and_without_kernels(
    step: RandomResizedCrop | RandomCrop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the kernel or by PyTorch, decoded now or earlier."""
    photos = jpegs()
    for name, content in photos.items():
        (tmp_path / name).write_bytes(content)
    samples = Samples(tuple(tmp_path / name for name in photos), (0,) * len(photos))

    def load(cache: MemoryCache | None) -> Batch:
        augmentation = Augmentation((step, HorizontalFlip()), seed=3)
        preprocessing = Preprocessing(size=SIZE, resize_size=SIZE)
        loader = TrainingLoader(samples, preprocessing, augmentation, "turbo", cache)
        drawn = [index + again * len(photos) for again in range(8) for index in range(len(photos))]
        return loader.load(0, drawn)

    first = load(None)
    assert list(first.unreadable) == [str(tmp_path / "short")]
    assert len(first) == 8 * (len(photos) - 1)
    kept = load(MemoryCache(1 << 30))
    monkeypatch.setattr(pixel_kernels, "library", lambda: None)
    for other in (kept, load(None), load(MemoryCache(1 << 30))):
        assert np.array_equal(first.pixels, other.pixels)
        assert first.unreadable == other.unreadable


@pytest.mark.parametrize("decoder", ["pillow", "turbo"])
def test_batch_for_the_device_is_the_host_s(decoder: str, tmp_path: Path) -> None:
    """The same images, boxes and mirroring, with a cache and without; bad images left out.

    Crops are within a level, inside where Pillow's look beyond their box.
    """
    photos = jpegs() | {"text": b"no photo"}
    for name, content in photos.items():
        (tmp_path / name).write_bytes(content)
    samples = Samples(tuple(tmp_path / name for name in photos), tuple(range(len(photos))))
    augmentation = Augmentation((RandomResizedCrop(SIZE, (0.5, 1.0)), HorizontalFlip()), seed=3)
    p = Preprocessing(size=SIZE, resize_size=SIZE, mean=(0, 0, 0), scale=(1, 1, 1))
    host = TrainingLoader(samples, p, augmentation, decoder)
    device = replace(host, augment="device")
    kept = replace(device, cache=MemoryCache(1 << 30))
    drawn = [index + again * len(photos) for again in range(4) for index in range(len(photos))]
    inner = slice(2, -2) if decoder == "pillow" else slice(None)
    for side in (32, 40):  # none is so small that images would be shrunk before
        expected = host.load(1, drawn, side)
        assert set(expected.unreadable) == {str(tmp_path / "text"), str(tmp_path / "short")}
        for loader in (device, kept, kept):
            batch = loader.load(1, drawn, side)
            assert batch.labels.tolist() == expected.labels.tolist()
            assert batch.unreadable == expected.unreadable
            assert batch.cuts
            crops = cropped(torch.from_numpy(batch.pixels), batch.cuts, p).permute(0, 2, 3, 1)
            assert crops.shape == expected.pixels.shape
            difference = np.abs(crops.numpy() - expected.pixels)
            # Images that the faster decoder leaves to Pillow are images, too.
            assert difference[:, 2:-2, 2:-2].max() <= 1.01
            assert difference[expected.labels < 3, inner, inner].max() <= 1.01
    nothing = device.load(0, [len(photos) - 1])
    assert (len(nothing), len(nothing.unreadable)) == (0, 1)


def test_second_draw_of_an_image_is_another_crop_of_it(tmp_path: Path) -> None:
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
