"""Decoded photos kept: the same pixels, no more than there is room for, each decoded once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from googlenet.data import cache as module
from googlenet.data.cache import (
    DecodedCache,
    DiskCache,
    MemoryCache,
    build_cache,
    decoded_bytes,
)
from googlenet.data.dataset import Samples
from googlenet.images.lazy_jpeg import Photo
from googlenet.runtime.errors import GoogLeNetError
from tests.fixtures import encoded, noise, pixels
from tests.training.small_runs import nothing, same_bits, samples, state, trainer


def built(kind: str, limit: int, folder: Path) -> DecodedCache:
    return MemoryCache(limit) if kind == "memory" else DiskCache(limit, folder)


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_photos_come_back_as_they_were_until_there_is_no_room(kind: str, tmp_path: Path) -> None:
    """Eight photos of either kind, of 30 × 20 pixels, in room for five."""
    photos: list[Photo] = [
        noise(30, 20, i) if i % 2 else pixels(noise(30, 20, i)) for i in range(8)
    ]
    read: Counter[int] = Counter()
    cache = built(kind, 5 * 30 * 20 * 3, tmp_path)

    def get(index: int) -> Photo:
        def decode() -> Photo:
            read[index] += 1
            return photos[index]

        return cache.get(index, decode)

    for _ in range(3):
        for index, photo in enumerate(photos):
            found = get(index)
            assert type(found) is type(photo)
            assert np.array_equal(pixels(found), pixels(photo))
    assert [read[i] for i in range(8)] == [1] * 5 + [3] * 3
    assert cache.used == cache.limit
    assert not list(tmp_path.iterdir())  # the file has no name


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_threads_share_it(kind: str, tmp_path: Path) -> None:
    cache = built(kind, 40 * 300, tmp_path)

    def right(at: int) -> bool:
        index = at % 50
        found = cache.get(index, lambda: np.full((10, 10, 3), index, np.uint8))
        return isinstance(found, np.ndarray) and bool((found == index).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(right, range(1000)))
    assert cache.used <= cache.limit


@pytest.mark.parametrize("decoder", ["pillow", "turbo"])
@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_training_has_the_bits_of_training_without(kind: str, decoder: str, tmp_path: Path) -> None:
    """JPEGs and PNGs, of which some do not fit."""
    data = samples(8)
    sources = []
    for i, source in enumerate(data.sources):
        path = tmp_path / f"{i}.{'png' if i % 3 else 'jpg'}"
        Image.fromarray(np.asarray(source)).save(path, quality=95)
        sources.append(path)
    photos = Samples(tuple(sources), data.labels)
    cache = built(kind, 5 * 40 * 48 * 3, tmp_path)
    plain = trainer(data=photos, decoder=decoder)
    cached = trainer(data=photos, decoder=decoder, cache=cache)
    for t in (plain, cached):
        t.train_epoch(nothing)
        t.train_epoch(nothing)
    assert cache.used == cache.limit
    assert same_bits(state(plain.network), state(cached.network))


def test_auto_is_memory_where_the_photos_take_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "available_memory", lambda: 4_000_000)
    small, large = (Samples((np.zeros((side, side, 3), np.uint8),), (0,)) for side in (500, 600))
    found = build_cache("auto", small, tmp_path)
    assert isinstance(found, MemoryCache)
    assert found.limit == 1_000_000  # a quarter of what is free
    assert build_cache("auto", large, tmp_path) is None
    assert build_cache("none", small, tmp_path) is None
    kept = build_cache("memory", large, tmp_path)
    assert isinstance(kept, MemoryCache)
    assert kept.limit == 3_000_000
    monkeypatch.setattr(module, "AUTO_BYTES", 700_000)
    assert build_cache("auto", small, tmp_path) is None


def test_size_of_all_is_told_by_the_headers_of_some(tmp_path: Path) -> None:
    paths = []
    for i in range(6):
        paths.append(tmp_path / f"{i}.png")
        paths[-1].write_bytes(encoded(noise(40 + i, 30)))
    paths[5].write_text("no photo")
    found = decoded_bytes(Samples(tuple(paths), (0,) * 6))
    assert found == np.mean([3 * 30 * (40 + i) for i in range(5)]) * 6
    assert decoded_bytes(Samples(tuple(paths[5:]), (0,))) == 0


def test_disk_that_takes_nothing_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(GoogLeNetError, match=r"none: cannot be written"):
        DiskCache(1000, tmp_path / "none")
