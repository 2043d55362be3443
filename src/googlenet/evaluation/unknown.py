"""The threshold below which a photo is of none of the classes, and how well that works.

Only known photos are needed: what is unknown later cannot be asked now.
"""

from __future__ import annotations

from math import floor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from googlenet.calibration import ENERGY, ENERGY_AND_ANGLE, Outputs, Unknown, angle, energy
from googlenet.errors import UsageError
from googlenet.evaluation.calibration import halves

FALSE_ALARMS = 5.0  # percent of known photos that may be called unknown
SLOPE = 0.5  # what a deviation of the angle takes from the score, in deviations of the energy
LARGEST_SHARE = 4  # of the features' dimensions at most one in so many is a known direction

Halves = tuple[NDArray[np.intp], NDArray[np.intp]]


def fit_unknown(outputs: Outputs, false_alarms: float = FALSE_ALARMS) -> Unknown | None:
    """Score and threshold from the outputs for N photos of known classes.

    None where the photos are too few: 5 % of them must be one or more.  Raises UsageError for
    false alarms that are no share.
    """
    if not 0 < false_alarms < 100:
        raise UsageError(f"false alarms must be above 0 and below 100 percent, got {false_alarms}")
    scores, angles = energy(outputs, {}), cross_angles(outputs)
    name, numbers = ENERGY, dict[str, Tensor]()
    if outputs.features is not None and angles is not None:
        slope = SLOPE * scores.std() / angles.std().clamp_min(1e-6)
        scores = scores - slope * angles
        count = outputs.logits.shape[1]
        name = ENERGY_AND_ANGLE
        numbers = {"directions": directions(outputs.features, count), "slope": slope[None]}
    threshold = threshold_of(scores.numpy(), false_alarms)
    return None if threshold is None else Unknown(name, threshold, false_alarms, numbers)


def directions(features: Tensor, classes: int) -> Tensor:
    """The directions in which (N, F) features are largest, a direction a class: (F, D).

    As a classifier learns, its features gather around as many points as there are classes
    (Papyan et al. 2020), so known photos take up hardly more directions than that.
    """
    x = features.double()
    _, vectors = torch.linalg.eigh(x.T @ x)
    count = min(classes, features.shape[1] // LARGEST_SHARE)
    largest: Tensor = vectors[:, -count:].float()
    return largest.contiguous()


def cross_angles(outputs: Outputs) -> Tensor | None:
    """Each photo's angle to the directions of the half that it is not in: (N,).

    To those of its own half it is nearer than a new photo's.  None without features, or where
    the photos of a half are fewer than four a direction.
    """
    classes, parts = outputs.logits.shape[1], halves(len(outputs.logits))
    if outputs.features is None or len(parts[0]) < 4 * classes:
        return None
    found = torch.empty(len(outputs.logits))
    for own, other in (parts, parts[::-1]):
        found[own] = angle(outputs.features[own], directions(outputs.features[other], classes))
    return found


def threshold_of(scores: NDArray[np.floating], false_alarms: float) -> float | None:
    """The score below which a further photo, drawn as these (N,) were, lies that seldom.

    That is the k-th lowest, k = ⌊share · (N + 1)⌋ (Vovk et al. 2005, conformal prediction);
    None where k is 0.
    """
    k = floor(false_alarms / 100 * (len(scores) + 1))
    return float(np.sort(scores)[k - 1]) if k else None


def rejected(outputs: Outputs, false_alarms: float, parts: Halves) -> NDArray[np.bool_] | None:
    """Which of the photos are called unknown, each half by what was fitted on the other: (N,)."""
    found = np.zeros(len(outputs.logits), bool)
    for own, other in (parts, parts[::-1]):
        unknown = fit_unknown(take(outputs, other), false_alarms) if len(other) else None
        if unknown is None:
            return None
        found[own] = unknown.scores(take(outputs, own)).numpy() < unknown.threshold
    return found


def take(outputs: Outputs, photos: NDArray[np.intp]) -> Outputs:
    features = None if outputs.features is None else outputs.features[photos]
    return Outputs(outputs.logits[photos], features)


def area_under_roc(known: NDArray[np.floating], unknown: NDArray[np.floating]) -> float:
    """The chance that a known photo has the higher score of the two; a tie counts half."""
    both = np.concatenate([known, unknown])
    _, place, count = np.unique(both, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # the mean rank of equal scores
    above = rank[place[: len(known)]].sum() - len(known) * (len(known) + 1) / 2
    return float(above / (len(known) * len(unknown)))


def detection_rate(threshold: float, unknown: NDArray[np.floating]) -> float:
    """The share of unknown photos that are called so."""
    return float((unknown < threshold).mean())
