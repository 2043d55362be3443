"""Decoded images kept: the same pixels, no more than there is room for, each decoded once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from googlenet.data import cache as module
from googlenet.data.cache import (
    MemoryCache,
    build_cache,
    decoded_bytes,
)
from googlenet.data.dataset import Samples
from googlenet.images.turbo_jpeg import DecodedImage
from tests.fixtures import encoded, noise, pixels
from tests.training.small_runs import nothing, same_bits, samples, state, trainer


def test_images_come_back_as_they_were_until_there_is_no_room() -> None:
    """Eight images of either kind, of 30 × 20 pixels, in room for five."""
    photos: list[DecodedImage] = [
        noise(30, 20, i) if i % 2 else pixels(noise(30, 20, i)) for i in range(8)
    ]
    read: Counter[int] = Counter()
    cache = MemoryCache(5 * 30 * 20 * 3)

    def get(index: int) -> DecodedImage:
        def decode() -> DecodedImage:
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


def test_threads_share_it() -> None:
    cache = MemoryCache(40 * 300)

    def right(at: int) -> bool:
        index = at % 50
        found = cache.get(index, lambda: np.full((10, 10, 3), index, np.uint8))
        return isinstance(found, np.ndarray) and bool((found == index).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(right, range(1000)))
    assert cache.used <= cache.limit


@pytest.mark.parametrize("decoder", ["pillow", "turbo"])
def test_training_has_the_bits_of_training_without(decoder: str, tmp_path: Path) -> None:
    """JPEGs and PNGs, of which some do not fit."""
    data = samples(8)
    sources = []
    for i, source in enumerate(data.sources):
        path = tmp_path / f"{i}.{'png' if i % 3 else 'jpg'}"
        Image.fromarray(np.asarray(source)).save(path, quality=95)
        sources.append(path)
    photos = Samples(tuple(sources), data.labels)
    cache = MemoryCache(5 * 40 * 48 * 3)
    plain = trainer(data=photos, decoder=decoder)
    cached = trainer(data=photos, decoder=decoder, cache=cache)
    for t in (plain, cached):
        t.train_epoch(nothing)
        t.train_epoch(nothing)
    assert cache.used == cache.limit
    assert same_bits(state(plain.network), state(cached.network))


def test_auto_is_memory_where_the_images_take_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_memory", lambda: 4_000_000)
    small, large = (Samples((np.zeros((side, side, 3), np.uint8),), (0,)) for side in (500, 600))
    found = build_cache("auto", small)
    assert isinstance(found, MemoryCache)
    assert found.limit == 1_000_000  # a quarter of what is free
    assert build_cache("auto", large) is None
    assert build_cache("none", small) is None
    kept = build_cache("memory", large)
    assert isinstance(kept, MemoryCache)
    assert kept.limit == 3_000_000
    monkeypatch.setattr(module, "AUTO_BYTES", 700_000)
    assert build_cache("auto", small) is None


def test_size_of_all_is_told_by_the_headers_of_some(tmp_path: Path) -> None:
    paths = []
    for i in range(6):
        paths.append(tmp_path / f"{i}.png")
        paths[-1].write_bytes(encoded(noise(40 + i, 30)))
    paths[5].write_text("no photo")
    found = decoded_bytes(Samples(tuple(paths), (0,) * 6))
    assert found == np.mean([3 * 30 * (40 + i) for i in range(5)]) * 6
    assert decoded_bytes(Samples(tuple(paths[5:]), (0,))) == 0
