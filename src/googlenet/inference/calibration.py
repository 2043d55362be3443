"""What turns a network's outputs into calibrated probabilities and out-of-distribution scores.

A model file holds these values; `evaluation.fit_calibration` and `evaluation.ood` fit them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.inference.outputs import Outputs, logsumexp, softmax

PREFIX = "unknown."  # of the score's tensors in a model file

Floats = NDArray[np.float32]


def energy(outputs: Outputs, tensors: Mapping[str, Floats]) -> Floats:
    """log Σ exp of the logits: (N,).  Source: Liu et al. 2020, with the opposite sign."""
    return np.asarray(logsumexp(outputs.logits), np.float32)


def residual_angle(means: Floats, basis: Floats) -> Floats:
    """The sine of the angle between means and a subspace: (N, F) -> (N,), from 0 to 1.

    basis: (F, D), orthonormal, of the subspace that holds almost all of the means of images of
    known classes.  1 for means that are 0.
    """
    inside = np.square(means @ basis).sum(1)
    fraction = inside / np.maximum(np.square(means).sum(1), np.float32(1e-30))
    return np.asarray(np.sqrt(np.maximum(1 - fraction, 0)), np.float32)


def subspaces(tensors: Mapping[str, Floats]) -> list[Floats]:
    """The basis of each layer's subspace, in the layers' order: (width, D) each."""
    return [tensors[f"directions.{i}"] for i in range(len(tensors) - 1)]


def energy_and_angles(outputs: Outputs, tensors: Mapping[str, Floats]) -> Floats:
    """The energy minus the weighted sum of each layer's residual angle: (N,).

    The energy separates images of other things best, but for noise, far from all images, logits
    can have any size; there the features point elsewhere.  Close to Wang et al. 2022 (ViM), who
    subtract the norm of the residual; that earlier layers tell more was found by Lee et al. 2018.
    """
    assert outputs.ood_features is not None
    bases = subspaces(tensors)
    ends = np.cumsum([len(basis) for basis in bases])[:-1]
    layers = np.split(outputs.ood_features, ends, axis=1)
    angles = [residual_angle(layer, basis) for layer, basis in zip(layers, bases, strict=True)]
    return np.asarray(energy(outputs, tensors) - np.stack(angles, 1) @ tensors["slopes"])


# Each says how much an image is like those of the known classes: (N,), higher is more alike.
SCORES = {"energy": energy, "energy and angles": energy_and_angles}
ENERGY, ENERGY_AND_ANGLES = SCORES


@dataclass(frozen=True)
class OODDetector:
    """Calls an image out of distribution (of none of the classes) if its score is below a limit.

    score: a name of SCORES.  target_fpr: the percentage of images of known classes for which
    the threshold was chosen.  tensors: those of the score, `directions.0` … and `slopes`.
    Raises ValueError for values that do not fit each other.
    """

    score: str
    threshold: float
    target_fpr: float
    tensors: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ValueError(f"unknown.score must be one of {', '.join(SCORES)}, is {self.score!r}")
        if not isfinite(self.threshold):
            raise ValueError(f"unknown.threshold must be a finite number, is {self.threshold}")
        dimensions = {name: tensor.ndim for name, tensor in self.tensors.items()}
        expected: dict[str, int] = {}
        if self.score == ENERGY_AND_ANGLES:
            layers = max(1, len(self.tensors) - 1)
            expected = {f"directions.{i}": 2 for i in range(layers)} | {"slopes": 1}
        fits = dimensions == expected and all(t.dtype == np.float32 for t in self.tensors.values())
        if not fits or (expected and len(self.tensors["slopes"]) != len(self.tensors) - 1):
            raise ValueError(f"the tensors of unknown do not fit the score {self.score!r}")

    def fits(self, widths: tuple[int, ...]) -> bool:
        """Whether a network with OOD layers of these widths gives what the score needs."""
        return not self.tensors or tuple(map(len, subspaces(self.tensors))) == widths

    def fits_outputs(self, outputs: Outputs) -> bool:
        """The same, by the total width of the features."""
        if not self.tensors:
            return True
        width = sum(map(len, subspaces(self.tensors)))
        return outputs.ood_features is not None and outputs.ood_features.shape[1] == width

    def id_scores(self, outputs: Outputs) -> Floats:
        """How much each image is like those of the known classes: (N,) float32."""
        return SCORES[self.score](outputs, self.tensors)


@dataclass(frozen=True)
class Calibration:
    """temperature: divides the logits.  ood: None without an out-of-distribution threshold.

    facts: the header's other values, for a reader: how it was fitted, and the calibration error
    before and after.
    """

    temperature: float = 1.0
    ood: OODDetector | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature must be above 0, is {self.temperature}")

    def probabilities(self, logits: NDArray[Any]) -> NDArray[Any]:
        """(N, classes) logits -> (N, classes) probabilities, in the same order."""
        return softmax(logits / logits.dtype.type(self.temperature))

    def temperature_scaled(self, probabilities: NDArray[Any]) -> NDArray[np.float64]:
        """The same from probabilities without a temperature, also from their mean over views.

        p^(1/T), normalized to sum to 1: for one view exactly `probabilities`; for any number of
        views the order of the classes stays.
        """
        return self.probabilities(np.log(np.maximum(probabilities.astype(np.float64), 1e-300)))

    def to_json(self) -> dict[str, Any]:
        """The header's value: everything except the tensors."""
        ood = self.ood and {
            "score": self.ood.score,
            "threshold": self.ood.threshold,
            "false_alarms": self.ood.target_fpr,
        }
        return {"temperature": self.temperature, "unknown": ood, **self.facts}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], tensors: Mapping[str, Floats]) -> Calibration:
        """What `to_json` wrote, with the tensors.  Raises ValueError and the like otherwise."""
        facts = dict(value)
        temperature, unknown = float(facts.pop("temperature")), facts.pop("unknown", None)
        if unknown is None:
            return cls(temperature, None, facts)
        threshold, target_fpr = float(unknown["threshold"]), float(unknown["false_alarms"])
        return cls(
            temperature, OODDetector(unknown["score"], threshold, target_fpr, tensors), facts
        )
