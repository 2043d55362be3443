"""Kernels to test: built once into the user's cache, skipped where no compiler builds them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from googlenet.kernels import build


@pytest.fixture
def kernels() -> None:
    """Skips the test where the kernels cannot be had (a failure in CI)."""
    if build.library() is None:
        pytest.skip("the kernels are switched off or no C++ compiler builds them")


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine without a compiler."""
    monkeypatch.setenv("GOOGLENET_NATIVE", "0")
    build.library.cache_clear()
    yield
    build.library.cache_clear()


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)
