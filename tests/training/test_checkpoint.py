"""A run's whole state: to a file and back to the bit, refused where it does not fit."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.training.checkpoint import (
    KEY,
    Progress,
    machine_differences,
    read_checkpoint,
    restore,
    save_checkpoint,
)
from googlenet.training.loop import Trainer
from googlenet.training.transfer import PretrainedSource
from tests.training.small_runs import QUICK, nothing, same_bits, state, trainer

DATA = "0123456789abcdef"


@pytest.fixture(scope="module")
def trained() -> Trainer:
    """A run after its first epoch and a step of the second."""
    t = trainer()
    t.train_epoch(nothing)
    t.train_step(next(t.batches(1)))
    t.step += 1
    t.unreadable = {"caf\udce9.png": "caf\udce9.png: is no photo"}
    return t


def then() -> Progress:
    """What the checkpoint of these tests holds."""
    return Progress(
        DATA,
        "order",
        {"seed": 1, "recipe": {"epochs": 2, "crop_scale": (0.35, 1.0)}},
        {"device": "a processor", "precision": "fp32", "threads": "1", "torch": "2.9"},
        PretrainedSource(("conv1.conv.weight",), {"recipe": "modern"}, "CC0-1.0"),
        [{"epoch": 1, "loss": 1 / 3}],
        62.5,
        7.25,
    )


def load_checkpoint(path: Path, t: Trainer, data: str = DATA) -> Progress:
    before = then()
    return restore(
        read_checkpoint(path), t, Progress(data, "order", before.settings, before.machine)
    )


@pytest.fixture
def path(tmp_path: Path, trained: Trainer) -> Path:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, trained, then())
    return path


def momenta(t: Trainer) -> dict[str, Tensor]:
    names = {id(p): name for name, p in t.network.named_parameters()}
    return {names[id(p)]: s["momentum_buffer"] for p, s in t.optimizer.state.items()}


def test_everything_comes_back_to_the_bit(path: Path, trained: Trainer) -> None:
    fresh = trainer(seed=5)
    progress = load_checkpoint(path, fresh, DATA)
    assert progress == then()
    assert same_bits(state(fresh.network), state(trained.network))
    assert same_bits(fresh.average.values, trained.average.values)
    assert len(momenta(fresh)) == len(list(fresh.network.parameters()))
    assert same_bits(momenta(fresh), momenta(trained))
    assert (fresh.step, fresh.sums, fresh.unreadable) == (
        trained.step,
        trained.sums,
        trained.unreadable,
    )
    assert fresh.epoch == 1


def test_saving_what_was_loaded_gives_the_same_file(path: Path) -> None:
    fresh = trainer(seed=5)
    progress = load_checkpoint(path, fresh, DATA)
    again = path.with_name("again.safetensors")
    save_checkpoint(again, fresh, progress)
    assert again.read_bytes() == path.read_bytes()


def test_other_data_are_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="the run started with different images or classes"):
        load_checkpoint(path, trainer(), "other")
    with pytest.raises(UsageError, match="a different order or split of these images"):
        restore(read_checkpoint(path), trainer(), replace(then(), order="another"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": 2}, r"seed was 1, got 2"),
        ({"recipe": {"epochs": 3, "crop_scale": [0.35, 1.0]}}, r"recipe\.epochs was 2, got 3"),
        ({"recipe": {"epochs": 2}}, r"recipe\.crop_scale was \[0\.35, 1\.0\], got None"),
        ({"recipe": "modern"}, r"recipe was \{.*\}, got 'modern'"),
    ],
)
def test_other_settings_are_refused(path: Path, settings: dict[str, Any], message: str) -> None:
    """Somebody has changed settings.json, to make the run longer, say."""
    before = then()
    with pytest.raises(
        UsageError, match=rf"settings\.json: must not change during a run: .*{message}"
    ):
        restore(
            read_checkpoint(path), trainer(), replace(before, settings=before.settings | settings)
        )


def test_settings_with_the_old_names_are_the_same(path: Path) -> None:
    trained, progress = trainer(), then()
    old = {"epochs": 2, "area": [0.35, 1.0], "balance": "weights", "decay_biases": False}
    new = {"epochs": 2, "crop_scale": [0.35, 1.0], "balance": "class_weights"}
    progress.settings = {"seed": 1, "recipe": old}
    save_checkpoint(path.with_name("old.safetensors"), trained, progress)
    now = replace(then(), settings={"seed": 1, "recipe": new})
    assert restore(read_checkpoint(path.with_name("old.safetensors")), trainer(), now).best == 62.5


def test_settings_that_there_were_not_before_are_no_difference(path: Path) -> None:
    more = then().settings | {"patience": 0}
    assert restore(read_checkpoint(path), trainer(), replace(then(), settings=more)).best == 62.5


def test_checkpoint_of_before_says_less(path: Path) -> None:
    """Data and tensors alone were there from the beginning."""
    with safe_open(path, framework="pt") as file:
        values = json.loads(file.metadata()[KEY])
    for key in ("order", "settings", "machine", "origin"):
        del values[key]
    save_file(load_file(path), path, {KEY: json.dumps(values)})
    assert load_checkpoint(path, trainer()).origin is None


def test_other_machine() -> None:
    here = then().machine
    assert machine_differences(here, here) == []
    assert machine_differences({}, here) == []
    assert machine_differences(here | {"python": "3.9"}, here) == []
    assert machine_differences(here, here | {"threads": "8"}) == ["threads 1, now 8"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_truncated_checkpoint(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(GoogLeNetError, match=r"checkpoint\.safetensors: is not a complete safe"):
        load_checkpoint(path, trainer(), DATA)


def rewrite(
    path: Path, drop: str = "", add: dict[str, Tensor] | None = None, **values: Any
) -> None:
    """The checkpoint without a tensor, with others, or with other values."""
    with safe_open(path, framework="pt") as file:
        old = json.loads(file.metadata()[KEY])
    tensors = {name: t for name, t in load_file(path).items() if name != drop} | (add or {})
    save_file(tensors, path, {KEY: json.dumps(old | values)})


def test_model_file_is_no_checkpoint(path: Path) -> None:
    save_file({"w": torch.zeros(1)}, path, {"googlenet": '{"format": 1}'})
    with pytest.raises(GoogLeNetError, match="has no 'googlenet-checkpoint' metadata"):
        load_checkpoint(path, trainer(), DATA)


def test_format_of_another_version(path: Path) -> None:
    rewrite(path, format=2)
    with pytest.raises(GoogLeNetError, match="is of format 2, this version reads format 1"):
        load_checkpoint(path, trainer(), DATA)


@pytest.mark.parametrize(
    ("drop", "add", "message"),
    [
        ("network/conv1.conv.weight", {}, r"1 missing tensor \(conv1.conv.weight\)"),
        ("", {"network/conv9.weight": torch.zeros(1)}, r"1 unexpected tensor \(conv9.weight\)"),
        ("", {"network/conv1.conv.weight": torch.zeros(2)}, r"conv1.conv.weight must have shape"),
        ("average/conv1.conv.weight", {}, "holds the weight average of another network"),
        ("", {"average/classifier.bias": torch.zeros(9)}, "is a damaged checkpoint"),
        ("", {"optimizer/momentum_buffer/conv9": torch.zeros(9)}, "holds the momentum of another"),
        (
            "optimizer/momentum_buffer/conv1.conv.weight",
            {},
            "holds the momentum of another network",
        ),
        ("", {"optimizer/momentum_buffer/classifier.bias": torch.zeros(9)}, "is a damaged check"),
    ],
)
def test_tensors_that_do_not_fit(
    path: Path, drop: str, add: dict[str, Tensor], message: str
) -> None:
    rewrite(path, drop, add)
    with pytest.raises(GoogLeNetError, match=f"checkpoint.safetensors: .*{message}") as caught:
        load_checkpoint(path, trainer(), DATA)
    assert "\n" not in str(caught.value)


def test_checkpoint_of_another_network(path: Path) -> None:
    with pytest.raises(
        GoogLeNetError, match=r"misshapen tensors \(conv1.conv.weight must have shape .*, has"
    ):
        load_checkpoint(path, trainer(width=0.1), DATA)
    with pytest.raises(GoogLeNetError, match=r"20 unexpected tensors \(aux_4a\."):
        load_checkpoint(path, trainer(QUICK.with_settings({"aux_loss_weight": 0})), DATA)


@pytest.mark.parametrize("key", ["step", "sums", "bad", "history", "best", "seconds"])
@pytest.mark.parametrize("value", [None, "x", [1]])
def test_values_that_cannot_be_used(path: Path, key: str, value: Any) -> None:
    rewrite(path, **{key: value})
    with pytest.raises(GoogLeNetError, match="is a damaged checkpoint"):
        load_checkpoint(path, trainer(), DATA)


@pytest.mark.parametrize("origin", ["x", 5, {}, {"kept": 1, "provenance": {}, "licence": None}])
def test_origin_that_cannot_be_used(path: Path, origin: Any) -> None:
    rewrite(path, origin=origin)
    with pytest.raises(GoogLeNetError, match="is a damaged checkpoint"):
        load_checkpoint(path, trainer())


def test_changed_number_is_noticed(path: Path) -> None:
    """Bit rot: one bit of one weight, which is a weight as good as any."""
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(GoogLeNetError, match=r"checkpoint\.safetensors: is damaged or was changed"):
        read_checkpoint(path)


def test_failing_disk_leaves_the_old_checkpoint(
    path: Path, trained: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GoogLeNetError, match=r"cannot be written .*No space left"):
        save_checkpoint(path, trained, Progress(DATA))
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1
