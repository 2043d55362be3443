"""The whole state of a run in one file, written at one stroke; nothing in it is ever executed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from googlenet.errors import GoogLeNetError
from googlenet.files import write_atomically
from googlenet.training.loop import Trainer

FORMAT = 1
KEY = "googlenet-checkpoint"


@dataclass
class Progress:
    """What a run has to show so far, beside its tensors."""

    history: list[dict[str, float]] = field(default_factory=list)  # a row an epoch
    best: float = -1.0  # the best top-1 accuracy so far, percent
    seconds: float = 0.0  # spent in earlier sessions of this run


def save_checkpoint(path: Path, trainer: Trainer, progress: Progress) -> None:
    """Write network, momentum, average and progress.  Raises GoogLeNetError if that fails."""
    names = {id(p): name for name, p in trainer.network.named_parameters()}
    tensors: dict[str, Tensor] = {}
    for name, tensor in trainer.network.state_dict().items():
        tensors[f"network/{name}"] = tensor
    for parameter, state in trainer.optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{key}/{names[id(parameter)]}"] = value
    for name, tensor in trainer.average.values.items():
        tensors[f"average/{name}"] = tensor
    values = {
        "format": FORMAT,
        "step": trainer.step,
        "sums": trainer.sums,
        "bad": trainer.bad,
        "history": progress.history,
        "best": progress.best,
        "seconds": progress.seconds,
    }
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {KEY: json.dumps(values)}
    write_atomically(path, lambda target: save_file(plain, target, metadata))


def load_checkpoint(path: Path, trainer: Trainer) -> Progress:
    """Put a run back where the checkpoint left it.

    Raises GoogLeNetError in a sentence for a file that is damaged or of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            values: dict[str, Any] = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if values["format"] != FORMAT:
            raise GoogLeNetError(f"is of format {values['format']!r}, this version reads {FORMAT}")
        restore(trainer, tensors)
        trainer.step = int(values["step"])
        trainer.sums = {str(k): float(v) for k, v in values["sums"].items()}
        trainer.bad = dict(values["bad"])
        return Progress(list(values["history"]), float(values["best"]), float(values["seconds"]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise GoogLeNetError(f"{path}: is not a usable checkpoint ({error})") from error
    except GoogLeNetError as error:
        raise GoogLeNetError(f"{path}: {error}") from error


def restore(trainer: Trainer, tensors: dict[str, Tensor]) -> None:
    """Copy every tensor of a checkpoint to where it was taken from."""

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    trainer.network.load_state_dict(part("network/"))
    average = part("average/")
    if average.keys() != trainer.average.values.keys():
        raise GoogLeNetError("holds the average of another network")
    for name, tensor in trainer.average.values.items():
        tensor.copy_(average[name])
    parameters = dict(trainer.network.named_parameters())
    for path, tensor in part("optimizer/").items():
        key, _, name = path.partition("/")
        parameter = parameters[name]
        like = torch.empty_like(parameter) if tensor.shape == parameter.shape else tensor
        trainer.optimizer.state[parameter][key] = like.detach().copy_(tensor)
