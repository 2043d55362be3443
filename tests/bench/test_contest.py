"""The contestants do the same work in turn; the numbers printed follow from what was timed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from googlenet.bench import inference, speed, training
from googlenet.bench.contest import Contestant, alternate, ceiling_name, rows
from googlenet.bench.peers import Missing
from googlenet.cost import network_cost
from googlenet.model import GoogLeNet
from tests.cli.conftest import command

F32 = torch.float32


def test_repetitions_alternate_and_the_first_two_do_not_count() -> None:
    ran: list[str] = []
    contestants = {
        name: Contestant(lambda name=name: ran.append(name), F32, 1)  # type: ignore[misc]
        for name in "ab"
    }
    speeds = alternate(contestants, 4, 3, "wall")
    assert ran == ["a", "b"] * 5
    assert all(len(found) == 3 and min(found) > 0 for found in speeds.values())


def test_a_row_is_arithmetic() -> None:
    """8 photos a second of 500 million multiply-adds are 8 GFLOP/s, a tenth of 80."""
    contestants = {
        "peer": Contestant(lambda: None, F32, 250_000_000),
        "googlenet": Contestant(lambda: None, F32, 500_000_000),
    }
    speeds = {"peer": [3.0, 4.0, 5.0], "googlenet": [8.0, 7.0, 12.0]}
    ceiling = {ceiling_name(F32): 80.0}
    peer, ours = rows(contestants, speeds, ceiling, "peer")
    assert peer["ratio"] == 1
    assert ours == {
        "name": "googlenet", "median": 8, "low": 7, "high": 12, "ratio": 2, "of_ceiling": 0.1,
    }  # fmt: skip
    assert rows(contestants, speeds, ceiling, None)[1]["ratio"] is None


def test_multiply_adds_of_a_step() -> None:
    """Thrice the forward pass with heads, less the first layer's gradient at the photo."""
    forward = 1_582_671_872 + 4_169_728 + 4_202_496
    assert training.training_macs("paper", 224) == 3 * forward - 118_013_952
    assert network_cost("paper", 224).rows[0].cost.macs == 118_013_952


def test_a_step_learns() -> None:
    network = GoogLeNet("bn", 1000, width=0.125)
    step = training.steps(network, network.forward_heads, 64, 2, torch.channels_last, F32)
    before = [p.detach().clone() for p in network.parameters()]
    step()
    after = list(network.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("kind", [training, inference])
def test_without_torchvision_the_reason_is_told(
    kind: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_folder: Path | None) -> None:
        raise Missing("torchvision cannot be imported (no module): pip install it")

    monkeypatch.setattr(kind, "torchvision_network", missing)
    monkeypatch.setattr(
        kind, "GoogLeNet", lambda name, classes: GoogLeNet(name, classes, width=0.1)
    )
    found, skipped = kind.contestants(64, 2, False, None)  # type: ignore[attr-defined]
    assert list(found) == [f"googlenet {name}, fp32" for name in ("torchvision", "bn", "paper")]
    assert skipped["torchvision"].endswith("pip install it")
    assert "conversion" in skipped["bf16"]


@pytest.mark.parametrize("kind", ["training", "inference"])
def test_the_command(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = {"ours": Contestant(lambda: sum(range(1000)), F32, 10**6)}
    for module in (training, inference):
        monkeypatch.setattr(module, "contestants", lambda *_, **__: (narrow, {"peer": "absent"}))
    monkeypatch.setattr(speed, "ceilings", lambda *_: {ceiling_name(F32): 1.0})
    options = ("--size", "64", "--batch", "2", "--threads", "1", "--repetitions", "2")
    out = tmp_path / "speed.json"
    answer = command("bench", kind, *options, "--json", "--out", out)
    found = json.loads(answer.out)
    assert json.loads(out.read_text(encoding="utf-8")) == found
    assert found["kind"] == kind
    assert found["unit"] == "images/s"
    assert found["settings"] | {"kernels": None} == {
        "size": 64, "batch": 2, "threads": 1, "repetitions": 2, "clock": "wall",
        "allocator": "stock", "kernels": None,
    }  # fmt: skip
    (row,) = found["results"]
    assert set(row) == {"name", "median", "low", "high", "ratio", "of_ceiling"}
    assert found["skipped"] == {"peer": "absent"}
    shown = command("bench", kind, *options).out
    assert "ours" in shown
    assert "skipped: peer: absent" in shown


@pytest.mark.parametrize(
    "options",
    [
        ("input", "--batch", "3"),
        ("training", "--photos", "3"),
        ("training", "--compile"),
        ("training", "--size", "8"),
    ],
)
def test_what_makes_no_sense_is_refused(options: tuple[str, ...]) -> None:
    answer = command("bench", *options)
    assert answer.code == 2
    assert "must" in answer.err
