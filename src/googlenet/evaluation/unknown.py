"""The threshold below which a photo is of none of the classes, and how well that works.

Only known photos are needed: what is unknown later cannot be asked now.
"""

from __future__ import annotations

from math import floor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from googlenet.calibration import GUARDED, LOGITS, Outputs, Unknown, distance, logit_score
from googlenet.errors import UsageError
from googlenet.evaluation.calibration import halves

FALSE_ALARMS = 5.0  # percent of known photos that may be called unknown
DIRECTIONS = 32  # in which known photos' features vary most: what is left is the distance
EDGE = 0.99  # share of known photos whose distance takes nothing from their score
SLOPE = 3.0  # what a deviation of the distance beyond the edge takes, in deviations of the score
ENOUGH = 4 * DIRECTIONS  # photos in either half for the directions to mean something

Floats = NDArray[np.floating]
Halves = tuple[NDArray[np.intp], NDArray[np.intp]]


def fit_unknown(outputs: Outputs, false_alarms: float = FALSE_ALARMS) -> Unknown | None:
    """Score and threshold from the outputs for N photos of known classes.

    None where the photos are too few: 5 % of them must be one or more.  Raises UsageError for
    false alarms that are no share.
    """
    if not 0 < false_alarms < 100:
        raise UsageError(f"false alarms must be above 0 and below 100 percent, got {false_alarms}")
    base = logit_score(outputs, {})
    distances = cross_distances(outputs.features)
    if outputs.features is None or distances is None:
        name, numbers, scores = LOGITS, {}, base
    else:
        edge = distances.double().quantile(EDGE)
        slope = SLOPE * base.std() / distances.std().clamp_min(1e-12)
        hinge = torch.stack([edge.float(), slope])
        name, numbers = GUARDED, directions(outputs.features) | {"hinge": hinge}
        scores = base - slope * (distances - edge.float()).clamp_min(0)
    threshold = threshold_of(scores.numpy(), false_alarms)
    return None if threshold is None else Unknown(name, threshold, false_alarms, numbers)


def directions(features: Tensor) -> dict[str, Tensor]:
    """The mean of (N, F) features and the directions (F, DIRECTIONS) of their largest variance."""
    x = features.double()
    mean = x.mean(0)
    _, vectors = torch.linalg.eigh((x - mean).T @ (x - mean))
    return {"mean": mean.float(), "directions": vectors[:, -DIRECTIONS:].float().contiguous()}


def cross_distances(features: Tensor | None) -> Tensor | None:
    """Each photo's distance by the directions of the half that it is not in: (N,).

    Its own half would call it nearer than a new photo is.  None for too few photos.
    """
    if features is None or len(features) < 2 * ENOUGH:
        return None
    found = torch.empty(len(features))
    parts = halves(len(features))
    for own, other in (parts, parts[::-1]):
        found[own] = distance(features[own], directions(features[other]))
    return found


def threshold_of(scores: Floats, false_alarms: float) -> float | None:
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


def area_under_roc(known: Floats, unknown: Floats) -> float:
    """The chance that a known photo has the higher score of the two; a tie counts half."""
    both = np.concatenate([known, unknown])
    _, place, count = np.unique(both, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # the mean rank of equal scores
    above = rank[place[: len(known)]].sum() - len(known) * (len(known) + 1) / 2
    return float(above / (len(known) * len(unknown)))


def detection_rate(threshold: float, unknown: Floats) -> float:
    """The share of unknown photos that are called so."""
    return float((unknown < threshold).mean())
