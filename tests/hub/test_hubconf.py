"""torch.hub with a folder: what it loads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fixtures import encoded, noise, tiny_classifier

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def same_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("hubconf.py", None)


def load(entry: str, *arguments: object, **options: object) -> Any:
    return torch.hub.load(  # type: ignore[no-untyped-call]
        str(ROOT), entry, *arguments, source="local", **options
    )


def test_network() -> None:
    network = load("googlenet", classes=7, width=0.05)
    assert network.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 7)


def test_classifier(tmp_path: Path) -> None:
    tiny_classifier().save_pretrained(tmp_path)
    found = load("classifier", str(tmp_path))
    photo = encoded(noise(50, 40, 3))
    assert list(found.predict([photo])) == list(tiny_classifier().predict([photo]))
