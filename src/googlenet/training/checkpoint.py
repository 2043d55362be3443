"""A run's complete state in one file, written atomically; nothing in it is executed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from torch import Tensor

from googlenet import parallel
from googlenet.inference.header import FORMAT, parse_metadata
from googlenet.inference.model_file import model_text, read_safetensors, write_tensors
from googlenet.inference.network import load_tensors
from googlenet.runtime.errors import GoogLeNetError, ModelFileError, UsageError
from googlenet.training.loop import Trainer
from googlenet.training.settings import current_settings
from googlenet.training.transfer import PretrainedSource

KEY = "googlenet-checkpoint"
MOMENTUM = "optimizer/momentum_buffer"  # the optimizers' only state


@dataclass
class Progress:
    """A run's identity and progress, besides its tensors."""

    data: str  # fingerprint of the data
    order: str = ""  # hash of the sample order
    settings: dict[str, Any] = field(default_factory=dict)  # those that affect results
    machine: dict[str, str] = field(default_factory=dict)  # of this session
    origin: PretrainedSource | None = None  # of fine-tuning
    history: list[dict[str, float]] = field(default_factory=list)  # a row per epoch
    best: float = -1.0  # best validation metric so far, percent
    seconds: float = 0.0  # including earlier sessions


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's contents: JSON values and tensors, not yet validated against a run."""

    path: Path
    values: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def origin(self) -> PretrainedSource | None:
        """Raises ModelFileError if it is damaged."""
        with damage(self.path):
            found = self.values.get("origin")
            return None if found is None else PretrainedSource.from_json(found)


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Turn the exceptions of invalid values into ModelFileError."""
    try:
        yield
    except GoogLeNetError:
        raise
    except (AttributeError, KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: is a damaged checkpoint ({error!r})") from error


def save_checkpoint(path: Path, trainer: Trainer, progress: Progress) -> None:
    """Write network, momentum, weight average and progress.  Raises WriteError if that fails."""
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
    """A checkpoint's contents.  Raises ModelFileError if it is damaged."""
    tensors, metadata = read_safetensors(path)
    text = model_text(path, metadata, KEY, "checkpoint")
    return Checkpoint(path, parse_metadata(path, text, KEY), tensors)


def restore(checkpoint: Checkpoint, trainer: Trainer, now: Progress) -> Progress:
    """Restore a run's state from a checkpoint; returns `now` with the checkpoint's progress.

    Raises ModelFileError for a checkpoint that is damaged or of another network, UsageError if
    data or settings differ from those that the run started with.
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
    """Raises UsageError if data or settings differ from those the run started with."""
    # Older checkpoints lack some of this.
    if values.get("data", now.data) != now.data:
        raise UsageError(f"{path}: the run started with different images or classes")
    if values.get("order", now.order) != now.order:
        raise UsageError(f"{path}: the run started with a different order or split of these images")
    here = json.loads(json.dumps(now.settings))
    then = current_settings(values.get("settings", here))
    for name, (old, new) in differences(then, here):
        raise UsageError(
            f"{path.with_name('settings.json')}: must not change during a run: "
            f"{name} was {old!r}, got {new!r}; to train with other settings or for more epochs, "
            f"start a new run from its model: --weights {quote(str(path.parent))}"
        )


def differences(
    then: Mapping[str, Any], now: Mapping[str, Any], within: str = ""
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The values that differ between two JSON objects, by path.

    A value that only the newer one has is a new setting's default.
    """
    for name, old in then.items():
        new = now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{within}{name}.")
        elif old != new:
            yield f"{within}{name}", (old, new)


def machine_differences(then: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
    """How the machine differs from the previous one, as far as results may depend on it."""
    names = ("device", "precision", "threads", "torch", "processes")
    return [
        f"{name} {then[name]}, now {now[name]}"
        for name in names
        if then.get(name, now.get(name)) != now.get(name)
    ]


def restore_tensors(trainer: Trainer, tensors: dict[str, Tensor], path: Path) -> None:
    """Copy a checkpoint's tensors into the trainer."""

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    load_tensors(trainer.network, part("network/"), path)
    average = part("average/")
    if average.keys() != trainer.average.values.keys():
        raise ModelFileError(f"{path}: holds the weight average of another network")
    for name, tensor in trainer.average.values.items():
        tensor.copy_(average[name])
    trained = {n: p for n, p in trainer.network.named_parameters() if p.requires_grad}
    momenta = part(f"{MOMENTUM}/")
    if momenta and momenta.keys() != trained.keys():
        raise ModelFileError(f"{path}: holds the momentum of another network")
    for name, momentum in momenta.items():
        buffer = torch.empty_like(trained[name]).copy_(momentum)
        trainer.optimizer.state[trained[name]]["momentum_buffer"] = buffer


def broadcast_state(trainer: Trainer) -> None:
    """Broadcast rank 0's state: weights, momentum, weight average, step and sums."""
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
