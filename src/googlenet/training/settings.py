"""Everything that decides a run, resolved, so that it can be read, repeated and resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from googlenet.errors import GoogLeNetError, UsageError
from googlenet.images.preprocess import Preprocessing
from googlenet.machine import PRECISIONS
from googlenet.training.recipes import Recipe, recipe_named


@dataclass(frozen=True)
class Settings:
    """data: as the user named it; weights: the model file to begin with, if any.

    time_limit: seconds, if there is one.  The recipe's epochs already fit into it; it is there
    for a run that goes on, and for a machine that has become slower.
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

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise UsageError(f"precision must be one of {known}, got {self.precision!r}")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed must be from 0 to 2^63 − 1, got {self.seed}")

    def to_json(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "recipe": self.recipe.settings(),
            "preprocessing": self.preprocessing.to_json(),
            "width": self.width,
            "seed": self.seed,
            "precision": self.precision,
            "weights": self.weights,
            "workers": self.workers,
            "time_limit": self.time_limit,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Settings:
        """The settings that `to_json` wrote.  Raises GoogLeNetError for others."""
        try:
            plain = {
                k: values[k]
                for k in (
                    "data",
                    "width",
                    "seed",
                    "precision",
                    "weights",
                    "workers",
                    "time_limit",
                )
            }
            recipe = recipe_named(values["recipe"]["name"]).with_settings(dict(values["recipe"]))
            return cls(
                recipe=recipe,
                preprocessing=Preprocessing.from_json(values["preprocessing"]),
                **plain,
            )
        except (KeyError, TypeError, UsageError) as error:
            raise GoogLeNetError(f"settings.json cannot be used ({error})") from error
