"""What turns a network's outputs into honest probabilities, and into the answer "unknown".

These are the numbers that a model file keeps; `evaluation/calibration.py` and
`evaluation/unknown.py` find them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple

import torch
from torch import Tensor

PREFIX = "unknown."  # of the score's tensors in a model file


class Outputs(NamedTuple):
    """What a network says of N photos, float32 on the CPU.

    logits: (N, classes).  summary: the means of the maps of some modules, side by side (N, F),
    None for a network without them.  widths: how many columns of it each module has.
    """

    logits: Tensor
    summary: Tensor | None
    widths: tuple[int, ...] = ()


def energy(outputs: Outputs, numbers: Mapping[str, Tensor]) -> Tensor:
    """log Σ exp of the logits: (N,).  Source: Liu et al. 2020, with the sign turned."""
    return outputs.logits.logsumexp(1)


def angle(means: Tensor, directions: Tensor) -> Tensor:
    """How far means point away from those of known photos: (N, F) -> (N,), from 0 to 1.

    The sine of their angle to the space of the orthonormal directions (F, D), in which known
    photos' means lie but for a little.  It is 1 for means that are 0.
    """
    along = (means @ directions).square().sum(1)
    share: Tensor = along / means.square().sum(1).clamp_min(1e-30)
    return (1 - share).clamp_min(0).sqrt()


def spaces(numbers: Mapping[str, Tensor]) -> list[Tensor]:
    """The directions of each part of a summary, in the parts' order: (width, D) each."""
    return [numbers[f"directions.{i}"] for i in range(len(numbers) - 1)]


def energy_and_angles(outputs: Outputs, numbers: Mapping[str, Tensor]) -> Tensor:
    """The energy, less each part's slope times the angle of the summary's part: (N,).

    The energy tells best what photos of other things look like, but in noise, far from all
    photos, logits can be of any size; there the summary points elsewhere.  Much like Wang et
    al. 2022 (ViM), who subtract the length of what lies outside the space; that modules before
    the last tell more is found by Lee et al. 2018.
    """
    assert outputs.summary is not None
    held = spaces(numbers)
    parts = torch.split(outputs.summary, [len(directions) for directions in held], 1)
    angles = [angle(part, directions) for part, directions in zip(parts, held, strict=True)]
    return energy(outputs, numbers) - torch.stack(angles, 1) @ numbers["slopes"]


# Each says how much a photo is like those that the model knows: (N,), higher is more alike.
SCORES = {"energy": energy, "energy and angles": energy_and_angles}
ENERGY, ENERGY_AND_ANGLES = SCORES


@dataclass(frozen=True)
class Unknown:
    """When a photo is of none of the classes: where its score is below the threshold.

    score: a name of SCORES.  false_alarms: the share of known photos, in percent, for which
    the threshold was chosen.  numbers: the tensors that the score needs.
    """

    score: str
    threshold: float
    false_alarms: float
    numbers: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ValueError(f"unknown.score must be one of {', '.join(SCORES)}, is {self.score!r}")
        if not isfinite(self.threshold):
            raise ValueError(f"unknown.threshold must be a finite number, is {self.threshold}")

    def check(self, widths: tuple[int, ...]) -> None:
        """Raises ValueError where the score cannot be had from a summary of such parts."""
        shapes = {name: tuple(tensor.shape) for name, tensor in self.numbers.items()}
        wanted: dict[str, tuple[int, ...]] = {}
        if self.score == ENERGY_AND_ANGLES:
            wanted = {"slopes": (len(widths),)}
            for i, width in enumerate(widths):
                name = f"directions.{i}"
                wanted[name] = (width, *shapes.get(name, ())[1:2])
        fits = shapes == wanted and (bool(widths) or not wanted)
        if not fits or not all(n.dtype == torch.float32 for n in self.numbers.values()):
            raise ValueError(f"the tensors of unknown do not fit the score {self.score!r}")

    def scores(self, outputs: Outputs) -> Tensor:
        """How known each photo is: (N,) float32."""
        return SCORES[self.score](outputs, self.numbers)


@dataclass(frozen=True)
class Calibration:
    """temperature: by which logits are divided.  unknown: None where there is no threshold.

    facts: what the header says of it besides, for a reader: how it was found, and the
    calibration error before and after.
    """

    temperature: float = 1.0
    unknown: Unknown | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature must be above 0, is {self.temperature}")

    def probabilities(self, logits: Tensor) -> Tensor:
        """(N, classes) logits -> (N, classes) probabilities; their order is the logits'."""
        return (logits / self.temperature).softmax(1)

    def tempered(self, probabilities: Tensor) -> Tensor:
        """The same of probabilities without a temperature, also of their mean over views.

        p^(1/T), made to sum to 1: for one view exactly `probabilities`, and whatever the
        number of views, the order of the classes stays as it is.
        """
        return self.probabilities(probabilities.double().clamp_min(1e-300).log())

    def to_json(self) -> dict[str, Any]:
        """The header's value: everything but the tensors."""
        unknown = self.unknown and {
            "score": self.unknown.score,
            "threshold": self.unknown.threshold,
            "false_alarms": self.unknown.false_alarms,
        }
        return {"temperature": self.temperature, "unknown": unknown, **self.facts}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], numbers: Mapping[str, Tensor]) -> Calibration:
        """What `to_json` wrote, with the tensors.  Raises ValueError and the like for others."""
        facts = dict(value)
        temperature, unknown = float(facts.pop("temperature")), facts.pop("unknown", None)
        if unknown is None:
            return cls(temperature, None, facts)
        found = Unknown(
            unknown["score"],
            float(unknown["threshold"]),
            float(unknown["false_alarms"]),
            numbers,
        )
        return cls(temperature, found, facts)
