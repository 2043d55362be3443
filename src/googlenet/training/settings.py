"""Everything that decides a run, resolved, so that it can be read, repeated and resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from googlenet.data.cache import CACHES
from googlenet.data.loader import AUGMENTS, DECODERS
from googlenet.data.shuffle import SHUFFLES
from googlenet.images.preprocess import Preprocessing
from googlenet.runtime.device import PRECISIONS
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.training.recipe import Recipe


@dataclass(frozen=True)
class Settings:
    """data: as the user named it; weights: the model file to begin with, if any.

    time_limit: seconds, if there is one.  The recipe's epochs already fit into it; it is there
    for a run that goes on, and for a machine that has become slower.  multi_label: photos can
    have several labels, though the data do not say so.

    decoder: what reads JPEGs, "pillow" or "turbo", whose pixels differ; shuffle: "full", or
    "blocks" of shards; cache: of decoded photos, "auto", "memory" or "none"; augment: where
    crops are resized and mirrored, on the "host" or the "device", whose pixels differ.
    """

    data: str
    recipe: Recipe
    preprocessing: Preprocessing
    width: float = 1.0
    seed: int = 0
    precision: str = "auto"
    weights: str | None = None
    workers: int = 2
    time_limit: float | None = None
    multi_label: bool = False
    decoder: str = "pillow"
    shuffle: str = "full"
    cache: str = "auto"
    augment: str = "host"

    def __post_init__(self) -> None:
        choose("precision", self.precision, PRECISIONS)
        choose("decoder", self.decoder, DECODERS)
        choose("shuffle", self.shuffle, SHUFFLES)
        choose("cache", self.cache, CACHES)
        choose("augment", self.augment, AUGMENTS)
        if self.shuffle == "blocks" and self.recipe.balance == "balanced_sampler":
            raise UsageError("shuffle must be full with balance balanced_sampler, got blocks")
        if self.augment == "device":
            require_device_can(self.recipe)
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed must be from 0 to 2^63 − 1, got {self.seed}")

    def to_json(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "recipe": self.recipe.to_json(),
            "preprocessing": self.preprocessing.to_json(),
            "width": self.width,
            "seed": self.seed,
            "precision": self.precision,
            "weights": self.weights,
            "workers": self.workers,
            "time_limit": self.time_limit,
            "multi_label": self.multi_label,
            "decoder": self.decoder,
            "shuffle": self.shuffle,
            "cache": self.cache,
            "augment": self.augment,
        }

    def deciding(self) -> dict[str, Any]:
        """What must be the same when the run is resumed, as `to_json` has it.

        Where the photos lie, how many threads read them and what is kept of them changes no bit,
        and the weights that fine-tuning began with are in the checkpoint.
        """
        free = ("data", "weights", "workers", "cache")
        return {k: v for k, v in self.to_json().items() if k not in free}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: Path | str = "settings.json") -> Settings:
        """The settings that `to_json` wrote.  Raises GoogLeNetError, which says where, for others.

        They need nothing but themselves: the recipe of that name may have changed, or gone.
        """
        try:
            values = LATER | dict(values)
            if values["cache"] == "disk":  # of earlier versions; a cache changes no bit
                values["cache"] = "auto"
            plain = {name: of_kind(name, values[name], kind) for name, kind in KINDS.items()}
            return cls(
                recipe=Recipe.from_json(dict(values["recipe"])),
                preprocessing=Preprocessing.from_json(values["preprocessing"]),
                **plain,
            )
        except (KeyError, TypeError, ValueError, UsageError) as error:
            raise GoogLeNetError(f"{where}: cannot be used ({error})") from error


KINDS: dict[str, Any] = {
    "data": str,
    "width": (int, float),
    "seed": int,
    "precision": str,
    "weights": (str, NoneType),
    "workers": int,
    "time_limit": (int, float, NoneType),
    "multi_label": bool,
    "decoder": str,
    "shuffle": str,
    "cache": str,
    "augment": str,
}
# What runs did before there was a choice.
LATER: dict[str, Any] = {
    "time_limit": None,
    "multi_label": False,
    "decoder": "pillow",
    "shuffle": "full",
    "cache": "none",
    "augment": "host",
}
# What a recipe does to photos where the device does it.
ON_DEVICE: dict[str, Any] = {
    "crop": "random_resized",
    "interpolations": ("bilinear",),
    "color_jitter": False,
    "pca_noise": 0.0,
}


def require_device_can(recipe: Recipe) -> None:
    """Raises UsageError for a recipe that does to photos what only the host can."""
    for name, able in ON_DEVICE.items():
        value = getattr(recipe, name)
        if value != able:
            shown = ",".join(value) if isinstance(value, tuple) else str(value).lower()
            raise UsageError(f"augment must be host with {name} {shown}, got device")


def choose(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def of_kind(name: str, value: Any, kind: Any) -> Any:
    """The value, if it is of that kind; JSON's true and false are no numbers."""
    if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
        raise TypeError(f"{name} must not be {value!r}")
    return value
