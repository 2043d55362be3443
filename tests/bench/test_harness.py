"""Candidates do the same work, interleaved; the printed numbers follow from the timings."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch

from googlenet.bench import harness, inference, peers, speed, training
from googlenet.bench.harness import Candidate, Conditions, interleave, matmul_name, result_rows
from googlenet.bench.peers import Missing
from googlenet.kernels import lrn, norm, pool, tensor_views
from googlenet.kernels.optimize import optimize
from googlenet.models.cost import network_cost
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.errors import GoogLeNetError
from tests.cli.conftest import command
from tests.fixtures import encoded, noise

F32 = torch.float32


def test_repetitions_alternate_and_the_first_two_do_not_count() -> None:
    ran: list[str] = []
    candidates = {
        name: Candidate(lambda name=name: ran.append(name), F32, 1)  # type: ignore[misc]
        for name in "ab"
    }
    speeds = interleave(candidates, 4, 3, "wall", min_seconds=0)
    assert ran == ["a", "b"] * 5
    assert all(len(found) == 3 and min(found) > 0 for found in speeds.values())


def test_a_row_is_arithmetic() -> None:
    """8 images per second of 500 million multiply-adds are 8 GFLOP/s, a tenth of 80."""
    candidates = {
        "peer": Candidate(lambda: None, F32, 250_000_000),
        "googlenet": Candidate(lambda: None, F32, 500_000_000),
    }
    speeds = {"peer": [3.0, 4.0, 5.0], "googlenet": [8.0, 7.0, 12.0]}
    ceiling = {matmul_name(F32): 80.0}
    peer, ours = result_rows(candidates, speeds, ceiling, "peer")
    assert peer["ratio"] == 1
    assert ours == {
        "name": "googlenet", "median": 8, "low": 7, "high": 12, "ratio": 2, "limit": 80,
        "of_ceiling": 0.1,
    }  # fmt: skip
    assert result_rows(candidates, speeds, ceiling, None)[1]["ratio"] is None


def test_a_repetition_is_as_many_runs_as_take_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of a sixteenth of a second: four in a repetition of a quarter, 8 images each."""
    now = [0.0]

    def run() -> None:
        now[0] += 1 / 16

    monkeypatch.setitem(harness.CLOCKS, "wall", lambda: now[0])
    found = interleave({"a": Candidate(run, F32, 1)}, 8, 2, "wall", min_seconds=0.25)
    assert found == {"a": [128.0, 128.0]}
    assert now[0] == (1 + 1 + 2 * 4) / 16


def test_a_device_is_waited_for_before_the_clock_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: order.append("waited"))
    harness.timed(lambda: order.append("ran"), "wall", "cuda", 2)
    assert order == ["waited", "ran", "ran", "waited"]


@pytest.mark.parametrize("dtype", [F32, torch.bfloat16])
def test_ceilings_come_from_the_machine(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(harness.MATMUL_SIZE, "cpu", 256)
    monkeypatch.setattr(harness, "MIN_SECONDS", 0)
    monkeypatch.setattr(harness, "COPY_BYTES", 1 << 16)
    found = harness.roofline((dtype,), "wall", repetitions=1)
    assert list(found) == [matmul_name(dtype), "memory copy, GB/s"]
    assert min(found.values()) > 0
    assert matmul_name(F32, "cuda") == "matrix product tf32, GFLOP/s"


def test_multiply_adds_of_a_step() -> None:
    """Thrice the forward pass with heads, less the first layer's gradient at the image."""
    forward = 1_582_671_872 + 4_169_728 + 4_202_496
    assert training.training_macs("paper", 224) == 3 * forward - 118_013_952
    assert network_cost("paper", 224).rows[0].cost.macs == 118_013_952


LAST = torch.channels_last


@pytest.mark.parametrize("dtype", [F32, torch.bfloat16])
def test_a_step_learns(dtype: torch.dtype) -> None:
    network = GoogLeNet("bn", 1000, width=0.125)
    batches = training.synthetic(Conditions(64, 2), LAST)
    step = training.train_step(network, network.forward_heads, batches, dtype, LAST)
    before = [p.detach().clone() for p in network.parameters()]
    step()
    after = list(network.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network of ours a tenth as wide, and no peer installed."""

    def missing(_folder: Path | None) -> None:
        raise Missing("it cannot be imported (no module): pip install it")

    def build(name: str, classes: int) -> GoogLeNet:
        return GoogLeNet(name, classes, width=0.1)

    for module in (training, inference, peers):
        monkeypatch.setattr(module, "GoogLeNet", build)
    monkeypatch.setattr(peers, "torchvision_network", missing)
    monkeypatch.setattr(inference, "timm_network", missing)


BOTH = ("fp32", "bf16")
OURS = [f"googlenet {name}, {d}" for name in ("torchvision", "bn", "paper") for d in BOTH]
PLAIN = ["plain PyTorch, eager fp32", *(f"plain PyTorch, channels-last {d}" for d in BOTH)]
GIVEN = Conditions(64, 2, (F32, torch.bfloat16))


@pytest.mark.usefixtures("narrow")
def test_who_trains_without_peers(tmp_path: Path) -> None:
    """Everyone's step runs, that with images too; what is not there is named with its command."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(encoded(noise(90, 70, 1), "JPEG"))
    given = replace(GIVEN, data=str(tmp_path))
    found, skipped, base = training.candidates(given)
    with_images = [name for each in OURS for name in (each, f"{each}, cropped on the device")]
    assert list(found) == PLAIN + with_images
    assert base == PLAIN[0]
    assert skipped == {"torchvision": "it cannot be imported (no module): pip install it"}
    for name in (PLAIN[1], with_images[1]):
        found[name].run()


@pytest.mark.usefixtures("narrow")
def test_who_reads_without_peers() -> None:
    found, skipped, base = inference.candidates(GIVEN)
    engines = [f"{name}, torchvision's layers, fp32" for name in ("ONNX Runtime", "OpenVINO")]
    assert list(found) == PLAIN + engines + OURS
    assert base == PLAIN[0]
    assert set(skipped) == {"torchvision", "timm"}
    for name in (PLAIN[0], *engines, OURS[0]):
        found[name].run()
    refused = GoogLeNetError("the package onnx must be installed: pip install onnx")
    skipped.clear()
    with mock.patch.object(inference, "load_engine", side_effect=refused):
        inference.add_engines({}, skipped, GIVEN)
    assert skipped == dict.fromkeys(["ONNX Runtime", "OpenVINO"], str(refused))


def test_compiled_contestants_are_on_both_sides(
    narrow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    found, *_ = training.candidates(replace(GIVEN, dtypes=(F32,), compiled=True))
    assert {"plain PyTorch, compiled fp32", "googlenet bn, compiled fp32"} < set(found)
    found["googlenet bn, compiled fp32"].run()


def test_plain_pytorch_runs_none_of_our_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """And gives what they give."""
    plain = peers.PlainNetwork().eval()
    x = torch.randn(1, 3, 64, 64).contiguous(memory_format=LAST)
    with torch.no_grad():
        expected = optimize(deepcopy(plain.network))(x)
        monkeypatch.setattr(tensor_views, "call", lambda *_, **__: pytest.fail("a kernel ran"))
        for module in (norm, pool, lrn):
            monkeypatch.setattr(module, "call", tensor_views.call)
        assert torch.allclose(plain(x), expected, atol=1e-5)
        assert plain.train()(torch.randn(2, 3, 64, 64)).keys() == {"main", "4a", "4d"}


def test_multiply_adds_are_counted_as_we_count_them() -> None:
    assert (
        peers.counted_macs(GoogLeNet("paper").eval(), 224) == network_cost("paper", 224).total.macs
    )


@pytest.mark.parametrize(
    ("precision", "has", "found"),
    [("auto", True, 2), ("auto", False, 1), ("fp32", True, 1), ("bf16", False, 2)],
)
def test_precisions(precision: str, has: bool, found: int) -> None:
    machine = ComputeDevice("cpu", precision)
    machine.__dict__["bf16"] = has
    assert len(speed.dtypes(precision, machine)) == found


@pytest.mark.parametrize("kind", ["training", "inference"])
def test_the_command(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = {"ours": Candidate(lambda: sum(range(1000)), F32, 10**6)}
    for module in (training, inference):
        monkeypatch.setattr(module, "candidates", lambda *_: (some, {"peer": "absent"}, "ours"))
    monkeypatch.setattr(speed, "roofline", lambda *_: {matmul_name(F32): 1.0})
    options = ["--size", "64", "--batch", "2", "--threads", "1", "--repeats", "2"]
    options += ["--precision", "fp32", "--device", "cpu"]
    out = tmp_path / "speed.json"
    answer = command("bench", kind, *options, "--json", "--out", out)
    found = json.loads(answer.out)
    assert json.loads(out.read_text(encoding="utf-8")) == found
    assert found["kind"] == kind
    assert found["unit"] == "images/s"
    assert found["settings"] | {"kernels": None} == {
        "size": 64, "batch": 2, "threads": 1, "repetitions": 2, "clock": "wall",
        "allocator": "stock", "kernels": None, "data": None,
    }  # fmt: skip
    (row,) = found["results"]
    assert set(row) == {"name", "median", "low", "high", "ratio", "limit", "of_ceiling"}
    assert found["base"] == "ours"
    assert found["skipped"].pop("bf16").startswith("this machine emulates it")
    assert found["skipped"] == {"peer": "absent"}
    shown = command("bench", kind, *options).out
    assert "ours" in shown
    assert "skipped: peer: absent" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("input", "--batch", "3"), "--batch is not valid for bench input"),
        (("training", "--images", "3"), "--images is not valid for bench training"),
        (("inference", "--data", "digits"), "--data is not valid for bench inference"),
        (("input", "--device", "cpu"), "--device is not valid for bench input"),
        *(
            []
            if torch.cuda.is_available()
            else [(("training", "--device", "cuda"), "--device cuda needs a GPU")]
        ),
        (("training", "--size", "8"), "must"),
    ],
)
def test_what_makes_no_sense_is_refused(options: tuple[str, ...], message: str) -> None:
    answer = command("bench", *options)
    assert answer.code == 2
    assert message in answer.err
