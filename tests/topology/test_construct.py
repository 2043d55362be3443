"""A construction from a network: the same bits for any threads, interrupted or not."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from googlenet.data.load_data import load_data
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.table import Variant
from googlenet.runtime.console import Console
from googlenet.topology.construct import Constructed, Parts, construct
from googlenet.topology.gather import features_before, gather
from googlenet.topology.page import render
from tests.fixtures import photo_folder, tiny_classifier

BUDGET = 1_000_000_000


def run(tmp_path: Path, stop_before: str = "") -> Constructed | None:
    data = load_data(str(tmp_path / "data"), 0)
    classifier = tiny_classifier(size=96)
    network = classifier.network
    assert isinstance(network, GoogLeNet)
    console = Console(io.StringIO())

    def source(variant: Variant, row: str) -> Callable[[Tensor], Tensor] | None:
        return None if row == stop_before else features_before(network, row)

    parts = Parts(tmp_path / "parts", {"test": 1})
    return construct(source, data.train, classifier.preprocessing, BUDGET, parts, console)


def test_interrupted_and_resumed_gives_the_same_table(tmp_path: Path) -> None:
    photo_folder(tmp_path / "data", {"red": 16, "blue": 16})
    assert run(tmp_path, stop_before="4c") is None
    assert len([*(tmp_path / "parts").iterdir()]) == 4
    first = run(tmp_path)
    for path in (tmp_path / "parts").iterdir():
        path.unlink()
    again = run(tmp_path)
    assert first is not None
    assert again is not None
    assert first.to_json() == again.to_json()
    value = first.to_json()
    assert [row["name"] for row in value["rows"]] == [
        *("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"),
    ]
    page = render(first, "some images", "a network")
    assert page.count("data:image/png;base64,") == 18
    assert "http" not in page
    json.dumps(value)


def test_statistics_do_not_depend_on_threads(tmp_path: Path) -> None:
    data = load_data(str(photo_folder(tmp_path / "data", {"red": 12, "blue": 12})), 0)
    classifier = tiny_classifier(size=96)
    network = classifier.network
    assert isinstance(network, GoogLeNet)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        one = gather(features_before(network, "4a"), data.train, classifier.preprocessing)
        assert one is not None
        assert torch.get_num_threads() == threads
        found.append(one)
    torch.set_num_threads(before)
    np.testing.assert_array_equal(found[0].first, found[1].first)
    np.testing.assert_array_equal(found[0].residual, found[1].residual)


def test_the_watchdog_hears_of_every_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_data(str(photo_folder(tmp_path / "data", {"red": 10, "blue": 10})), 0)
    classifier = tiny_classifier(size=64)
    network = classifier.network
    assert isinstance(network, GoogLeNet)
    heard: list[int] = []
    monkeypatch.setattr("googlenet.topology.gather.beat", lambda: heard.append(1))
    gather(features_before(network, "3a"), data.train, classifier.preprocessing)
    assert len(heard) == -(-len(data.train) // 4)
