"""The released 2014 weights, converted once for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest

from googlenet import Classifier


@pytest.fixture(scope="session")
def bvlc_data(shared_data: Path) -> Path:
    return shared_data / "bvlc-googlenet"


@pytest.fixture(scope="session")
def bvlc(bvlc_data: Path) -> Classifier:
    """BVLC GoogLeNet as the library loads it.  Tests must not change it."""
    return Classifier.load(bvlc_data / "weights.safetensors")
