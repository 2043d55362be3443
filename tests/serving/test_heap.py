"""Memory goes back to the system after large images, where the allocator can."""

from __future__ import annotations

import ctypes

import pytest
from PIL import Image

from googlenet.images.preprocess import Preprocessing
from googlenet.serving import heap, input_image
from tests.fixtures import encoded


def test_other_systems_have_nothing_to_give_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(_: None) -> object:
        return object()

    monkeypatch.setattr(ctypes, "CDLL", without)
    heap.malloc_trim.cache_clear()
    assert heap.malloc_trim() is None
    heap.trim_heap()
    heap.malloc_trim.cache_clear()


def test_given_back_after_large_images_only(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(input_image, "trim_heap", lambda: given.append(1))
    p = Preprocessing(size=32, resize_size=37)
    input_image.read_image_bytes(encoded(Image.new("L", (2000, 2000)), "PNG"), p, 10**8)
    assert not given
    input_image.read_image_bytes(encoded(Image.new("L", (2001, 2000)), "PNG"), p, 10**8)
    assert given
