"""Fit the out-of-distribution (OOD) detector, and measure it.

Only in-distribution images are needed: what comes later is not known at this point.
"""

from __future__ import annotations

from math import floor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from googlenet.evaluation.calibration_error import two_folds
from googlenet.inference.calibration import (
    ENERGY,
    ENERGY_AND_ANGLES,
    SCORES,
    Outputs,
    Unknown,
    angle,
    energy,
)
from googlenet.runtime.errors import UsageError

DEFAULT_TARGET_FPR = 5.0  # percent of in-distribution images
# What a deviation of a part's angle takes from the score, in deviations of the energy.
SLOPES = (0.5, 1.0)
WIDTH_PER_DIRECTION = 4  # of a part's dimensions at most one in so many is a known direction
MIN_IMAGES_PER_DIRECTION = 4  # or more, to find it by

Folds = tuple[NDArray[np.intp], NDArray[np.intp]]


def fit_ood_detector(
    outputs: Outputs, false_alarms: float = DEFAULT_TARGET_FPR, seed: int = 0
) -> Unknown | None:
    """Score and threshold from the outputs for N photos of known classes.

    One half of the photos finds the directions, the other the threshold, to which all photos
    to come are then as new as that half was.  Where a half is too small for the directions, or
    there is no summary, the score is the energy and all photos find its threshold.  None
    where they are too few for that: 5 % of them must be one or more.  Raises UsageError for
    false alarms that are no share.
    """
    if not 0 < false_alarms < 100:
        raise UsageError(f"false alarms must be above 0 and below 100 percent, got {false_alarms}")
    one, other = two_folds(len(outputs.logits), seed)
    most = max(direction_counts(outputs), default=0)
    too_few = len(one) < MIN_IMAGES_PER_DIRECTION * most or not rank(len(other), false_alarms)
    if outputs.summary is None or too_few:
        score, numbers, judged = ENERGY, dict[str, Tensor](), outputs
    else:
        judged = take(outputs, other)
        score, numbers = ENERGY_AND_ANGLES, fit_angles(take(outputs, one), judged)
    threshold = threshold_of(SCORES[score](judged, numbers).numpy(), false_alarms)
    return None if threshold is None else Unknown(score, threshold, false_alarms, numbers)


def fit_angles(one: Outputs, other: Outputs) -> dict[str, Tensor]:
    """The numbers of the score: each part's directions from `one`, its slope from `other`."""
    assert one.summary is not None
    assert other.summary is not None
    numbers, slopes = {}, []
    parts = zip(
        torch.split(one.summary, [*one.widths], 1), torch.split(other.summary, [*one.widths], 1),
        direction_counts(one), SLOPES, strict=True,
    )  # fmt: skip
    for i, (known, judged, count, slope) in enumerate(parts):
        space = directions(known, count)
        numbers[f"directions.{i}"] = space
        slopes.append(slope / angle(judged, space).std().clamp_min(1e-6))
    return numbers | {"slopes": energy(other, {}).std() * torch.stack(slopes)}


def direction_counts(outputs: Outputs) -> list[int]:
    """How many directions known photos take up in each part: one a class, and one more.

    As a classifier learns, its features gather around as many points as there are classes
    (Papyan et al. 2020).
    """
    return [
        min(outputs.logits.shape[1] + 1, width // WIDTH_PER_DIRECTION) for width in outputs.widths
    ]


def directions(means: Tensor, count: int) -> Tensor:
    """The orthonormal directions in which (N, F) means are largest: (F, count)."""
    x = means.double()
    _, vectors = torch.linalg.eigh(x.T @ x)
    largest: Tensor = vectors[:, -count:].float()
    return largest.contiguous()


def rank(photos: int, false_alarms: float) -> int:
    """Which of the lowest scores is the threshold; 0 where the photos are too few for one."""
    return floor(false_alarms / 100 * (photos + 1))


def threshold_of(scores: NDArray[np.floating], false_alarms: float) -> float | None:
    """The score below which a further photo, drawn as these (N,) were, lies that seldom.

    That is the k-th lowest, k = ⌊share · (N + 1)⌋ (Vovk et al. 2005, conformal prediction);
    None where k is 0.
    """
    k = rank(len(scores), false_alarms)
    return float(np.sort(scores)[k - 1]) if k else None


def rejected(outputs: Outputs, false_alarms: float, parts: Folds) -> NDArray[np.bool_] | None:
    """Which of the photos are called unknown, each half by what was fitted on the other: (N,)."""
    found = np.zeros(len(outputs.logits), bool)
    for own, other in (parts, parts[::-1]):
        unknown = fit_ood_detector(take(outputs, other), false_alarms) if len(other) else None
        if unknown is None:
            return None
        found[own] = unknown.scores(take(outputs, own)).numpy() < unknown.threshold
    return found


def take(outputs: Outputs, photos: NDArray[np.intp]) -> Outputs:
    summary = None if outputs.summary is None else outputs.summary[photos]
    return Outputs(outputs.logits[photos], summary, outputs.widths)


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
