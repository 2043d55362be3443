"""The whole state of a run in one file, written at one stroke; nothing in it is ever executed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from googlenet import parallel
from googlenet.inference.classifier import load_tensors
from googlenet.inference.model_file import (
    FORMAT,
    ModelFileError,
    read_metadata,
    read_tensors,
    write_tensors,
)
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.training.loop import Trainer
from googlenet.training.recipe import current_names
from googlenet.training.transfer import Origin

KEY = "googlenet-checkpoint"
MOMENTUM = "optimizer/momentum_buffer"  # all the state that the optimizers have


@dataclass
class Progress:
    """What a run is, and what it has to show so far, beside its tensors."""

    data: str  # fingerprint of the data that it learns from
    order: str = ""  # which photo is where in it
    settings: dict[str, Any] = field(default_factory=dict)  # those that decide the run
    machine: dict[str, str] = field(default_factory=dict)  # where this session computes
    origin: Origin | None = None  # of fine-tuning
    history: list[dict[str, float]] = field(default_factory=list)  # a row an epoch
    best: float = -1.0  # the best epoch's accuracy in validation so far, percent
    seconds: float = 0.0  # spent in earlier sessions of this run


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's contents: JSON values and tensors, found whole but not yet held to a run."""

    path: Path
    values: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def origin(self) -> Origin | None:
        """Raises ModelFileError for what cannot be used."""
        with damage(self.path):
            found = self.values.get("origin")
            return None if found is None else Origin.from_json(found)


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Whatever unusable values raise, as one kind of error."""
    try:
        yield
    except GoogLeNetError:
        raise
    except (AttributeError, KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: is a damaged checkpoint ({error!r})") from error


def save_checkpoint(path: Path, trainer: Trainer, progress: Progress) -> None:
    """Write network, momentum, average and progress.  Raises WriteError if that fails."""
    trainer.read_metrics()  # a loss that is not finite is not saved
    names = {id(p): name for name, p in trainer.network.named_parameters()}
    tensors: dict[str, Tensor] = {}
    for name, tensor in trainer.network.state_dict().items():
        tensors[f"network/{name}"] = tensor
    for parameter, state in trainer.optimizer.state.items():
        if state.get("momentum_buffer") is not None:  # None where the recipe has no momentum
            tensors[f"{MOMENTUM}/{names[id(parameter)]}"] = state["momentum_buffer"]
    for name, tensor in trainer.average.values.items():
        tensors[f"average/{name}"] = tensor
    values = {
        "format": FORMAT,
        "step": trainer.step,
        "sums": trainer.sums,
        "bad": trainer.unreadable,
        **asdict(progress),
    }
    write_tensors(path, tensors, {KEY: json.dumps(values)})


def read_checkpoint(path: Path) -> Checkpoint:
    """A checkpoint's contents.  Raises ModelFileError in a sentence for a file that is damaged."""
    return Checkpoint(path, read_metadata(path, KEY, "checkpoint"), read_tensors(path))


def restore(checkpoint: Checkpoint, trainer: Trainer, now: Progress) -> Progress:
    """Put a run back where the checkpoint left it, to go on as `now` says that it would.

    Raises ModelFileError in a sentence for a checkpoint that is damaged or of another network,
    UsageError for other data or settings: the run would not be the one that was begun.
    """
    values, path = checkpoint.values, checkpoint.path
    with damage(path):
        require_same(values, now, path)
        restore_tensors(trainer, checkpoint.tensors, path)
        trainer.step = int(values["step"])
        trainer.sums = {str(k): float(v) for k, v in values["sums"].items()}
        trainer.unreadable = dict(values["bad"])
        now.origin = checkpoint.origin
        now.history = [dict(row) for row in values["history"]]
        now.best, now.seconds = float(values["best"]), float(values["seconds"])
    return now


def require_same(values: Mapping[str, Any], now: Progress, path: Path) -> None:
    """Raises UsageError where data or settings are not those with which the run began."""
    # Checkpoints of before did not hold all of this.
    if values.get("data", now.data) != now.data:
        raise UsageError(f"{path}: the run began with other photos than these, or other classes")
    if values.get("order", now.order) != now.order:
        raise UsageError(
            f"{path}: the run began with these photos in another order or another split"
        )
    here = json.loads(json.dumps(now.settings))
    then = dict(values.get("settings", here))
    if "recipe" in then:
        then["recipe"] = current_names(then["recipe"])
    for name, (old, new) in differences(then, here):
        raise UsageError(
            f"{path.with_name('settings.json')}: must say what the run began with: "
            f"{name} was {old!r}, got {new!r}"
        )


def differences(
    then: Mapping[str, Any], now: Mapping[str, Any], within: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The values that are not the same in two JSON objects, each by its path.

    One that only the newer has is a default that was not there before.
    """
    for name, old in then.items():
        new = now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{within}{name}.")
        elif old != new:
            yield f"{within}{name}", (old, new)


def other_machine(then: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
    """In what the machine differs from the one of before, as far as results may depend on it."""
    names = ("device", "precision", "threads", "torch", "processes")
    return [
        f"{name} {then[name]}, now {now[name]}"
        for name in names
        if then.get(name, now.get(name)) != now.get(name)
    ]


def restore_tensors(trainer: Trainer, tensors: dict[str, Tensor], path: Path) -> None:
    """Copy every tensor of a checkpoint to where it was taken from."""

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    load_tensors(trainer.network, part("network/"), path)
    average = part("average/")
    if average.keys() != trainer.average.values.keys():
        raise ModelFileError(f"{path}: holds the average of another network")
    for name, tensor in trainer.average.values.items():
        tensor.copy_(average[name])
    trained = {n: p for n, p in trainer.network.named_parameters() if p.requires_grad}
    momenta = part(f"{MOMENTUM}/")
    if momenta and momenta.keys() != trained.keys():
        raise ModelFileError(f"{path}: holds the momentum of another network")
    for name, momentum in momenta.items():
        buffer = torch.empty_like(trained[name]).copy_(momentum)
        trainer.optimizer.state[trained[name]]["momentum_buffer"] = buffer


def spread(trainer: Trainer) -> None:
    """Put every process where the first one's run is: weights, momentum, average and place."""
    if parallel.world_size() == 1:
        return
    has_momentum = parallel.on_rank0(
        lambda: any(s.get("momentum_buffer") is not None for s in trainer.optimizer.state.values())
    )
    momenta = []
    for group in trainer.optimizer.param_groups if has_momentum else ():
        for parameter in group["params"]:
            state = trainer.optimizer.state[parameter]
            momenta.append(state.setdefault("momentum_buffer", torch.empty_like(parameter)))
    weights = trainer.network.state_dict().values()
    parallel.broadcast_([*weights, *trainer.average.values.values(), *momenta])
    trainer.step, trainer.sums, trainer.unreadable = parallel.on_rank0(
        lambda: (trainer.step, trainer.sums, trainer.unreadable)
    )
