"""The whole state of a run in one file, written at one stroke; nothing in it is ever executed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from googlenet.classifier import load_tensors
from googlenet.errors import UsageError
from googlenet.modelfile import (
    FORMAT,
    ModelFileError,
    read_metadata,
    read_tensors,
    write_tensors,
)
from googlenet.training.loop import Trainer

KEY = "googlenet-checkpoint"
MOMENTUM = "optimizer/momentum_buffer"  # of SGD, the only optimizer: all the state that it has


@dataclass
class Progress:
    """What a run has to show so far, beside its tensors."""

    data: str  # fingerprint of the data that it learns from
    history: list[dict[str, float]] = field(default_factory=list)  # a row an epoch
    best: float = -1.0  # the best epoch's accuracy in validation so far, percent
    seconds: float = 0.0  # spent in earlier sessions of this run


def save_checkpoint(path: Path, trainer: Trainer, progress: Progress) -> None:
    """Write network, momentum, average and progress.  Raises GoogLeNetError if that fails."""
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
        "data": progress.data,
        "step": trainer.step,
        "sums": trainer.sums,
        "bad": trainer.bad,
        "history": progress.history,
        "best": progress.best,
        "seconds": progress.seconds,
    }
    write_tensors(path, tensors, {KEY: json.dumps(values)})


def load_checkpoint(path: Path, trainer: Trainer, data: str) -> Progress:
    """Put a run back where the checkpoint left it, to go on with the data of that fingerprint.

    Raises GoogLeNetError in a sentence for a file that is damaged or of another network,
    UsageError for other data: the order of the photos would not be the run's.
    """
    values = read_metadata(path, KEY, "checkpoint")
    if values.get("data", data) != data:
        raise UsageError(f"{path}: the run began with other photos than these, or other classes")
    tensors = read_tensors(path)
    try:
        restore(trainer, tensors, path)
        trainer.step = int(values["step"])
        trainer.sums = {str(k): float(v) for k, v in values["sums"].items()}
        trainer.bad = dict(values["bad"])
        history = list(values["history"])
        return Progress(data, history, float(values["best"]), float(values["seconds"]))
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: is a damaged checkpoint ({error!r})") from error


def restore(trainer: Trainer, tensors: dict[str, Tensor], path: Path) -> None:
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
