"""Fine-tuning: initialize a new network from another one's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from googlenet.models.registry import Network


@dataclass(frozen=True)
class Transfer:
    """Names of tensors: transferred, dropped (and why), newly initialized."""

    transferred: tuple[str, ...]
    dropped: dict[str, str]
    reinitialized: tuple[str, ...]

    def lines(self) -> list[str]:
        """The transfer in words, a few lines."""
        lines = [f"transferred {len(self.transferred)} tensors"]
        if self.dropped:
            lines.append("dropped " + ", ".join(f"{n} ({why})" for n, why in self.dropped.items()))
        if self.reinitialized:
            lines.append("reinitialized " + ", ".join(self.reinitialized))
        return lines


@dataclass(frozen=True)
class PretrainedSource:
    """The model that fine-tuning started from, as a checkpoint records it.

    transferred: names of the tensors taken from it; provenance and licence: its own.
    """

    transferred: tuple[str, ...]
    provenance: dict[str, Any]
    licence: str | None

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> PretrainedSource:
        """What `dataclasses.asdict` made of one."""
        names = (
            values["transferred"] if "transferred" in values else values["kept"]
        )  # before 2026-12
        return cls(tuple(names), dict(values["provenance"]), values["licence"])


def transfer(source: dict[str, Tensor], network: Network, same_classes: bool) -> Transfer:
    """Copy every tensor with matching name and shape into `network`.

    Classification layers are transferred only if the classes are the same: another class list
    of the same length would fit by shape.
    """
    target = network.state_dict()
    kept: dict[str, Tensor] = {}
    dropped: dict[str, str] = {}
    for name, tensor in source.items():
        if name not in target:
            dropped[name] = "the new network has no such layer"
        elif name.split(".")[-2:-1] == ["classifier"] and not same_classes:
            dropped[name] = "other classes"
        elif tensor.shape != target[name].shape:
            dropped[name] = f"shape {tuple(tensor.shape)}, here {tuple(target[name].shape)}"
        else:
            kept[name] = tensor
    network.load_state_dict(kept, strict=False)
    fresh = tuple(name for name in target if name not in kept)
    return Transfer(tuple(kept), dropped, fresh)
