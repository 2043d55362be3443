"""Fine-tuning: a new network that begins with another one's weights, and says which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from googlenet.models.registry import Network


@dataclass(frozen=True)
class Transfer:
    """Names of tensors: taken over, left behind (and why), freshly initialised."""

    kept: tuple[str, ...]
    dropped: dict[str, str]
    reinitialised: tuple[str, ...]

    def lines(self) -> list[str]:
        """The account for a reader, in a few lines."""
        lines = [f"kept {len(self.kept)} tensors"]
        if self.dropped:
            lines.append("dropped " + ", ".join(f"{n} ({why})" for n, why in self.dropped.items()))
        if self.reinitialised:
            lines.append("re-initialised " + ", ".join(self.reinitialised))
        return lines


@dataclass(frozen=True)
class Origin:
    """What a run remembers of the model that fine-tuning began with, so that its file may go.

    kept: names of the tensors taken over; provenance and licence: the model's own.
    """

    kept: tuple[str, ...]
    provenance: dict[str, Any]
    licence: str | None

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Origin:
        """What `dataclasses.asdict` made of one."""
        return cls(tuple(values["kept"]), dict(values["provenance"]), values["licence"])


def transfer(source: dict[str, Tensor], network: Network, same_classes: bool) -> Transfer:
    """Copy every tensor that fits by name and shape into `network`.

    The layers that give logits are taken over only where the classes are the same: a class
    list of the same length would fit by shape and mean something else.
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
