"""Fit the out-of-distribution (OOD) detector, and measure it.

Only in-distribution images are needed: what comes later is not known at this point.
"""

from __future__ import annotations

from math import floor

import numpy as np
from numpy.typing import NDArray

from googlenet.evaluation.calibration_error import two_folds
from googlenet.inference.calibration import (
    ENERGY,
    ENERGY_AND_ANGLES,
    SCORES,
    OODDetector,
    energy,
    residual_angle,
)
from googlenet.inference.outputs import Outputs
from googlenet.runtime.errors import UsageError

DEFAULT_TARGET_FPR = 5.0  # percent of in-distribution images
# Weight of each feature group's angle in the score, in standard deviations of the energy.
SLOPES = (0.5, 1.0)
WIDTH_PER_DIRECTION = 4  # of a part's dimensions at most one in so many is a known direction
MIN_IMAGES_PER_DIRECTION = 4  # or more, to find it by

Floats = NDArray[np.float32]
Folds = tuple[NDArray[np.intp], NDArray[np.intp]]


def fit_ood_detector(
    outputs: Outputs, target_fpr: float = DEFAULT_TARGET_FPR, seed: int = 0
) -> OODDetector | None:
    """Score and threshold from the outputs for N images of known classes.

    One half of the images finds the directions, the other the threshold, to which all images
    to come are then as new as that half was.  Where a half is too small for the directions, or
    there is no summary, the score is the energy and all images find its threshold.  None
    where they are too few for that: 5 % of them must be one or more.  Raises UsageError for
    a target FPR that is not a percentage.
    """
    if not 0 < target_fpr < 100:
        raise UsageError(f"target FPR must be above 0 and below 100 percent, got {target_fpr}")
    one, other = two_folds(len(outputs.logits), seed)
    most = max(direction_counts(outputs), default=0)
    too_few = len(one) < MIN_IMAGES_PER_DIRECTION * most or not rank(len(other), target_fpr)
    if outputs.ood_features is None or too_few:
        score, tensors, judged = ENERGY, dict[str, Floats](), outputs
    else:
        judged = outputs.take(other)
        score, tensors = ENERGY_AND_ANGLES, fit_angles(outputs.take(one), judged)
    threshold = threshold_of(SCORES[score](judged, tensors), target_fpr)
    return None if threshold is None else OODDetector(score, threshold, target_fpr, tensors)


def fit_angles(one: Outputs, other: Outputs) -> dict[str, Floats]:
    """The tensors of the score: each layer's basis from `one`, its slope from `other`."""
    assert one.ood_features is not None
    assert other.ood_features is not None
    ends = np.cumsum(one.widths)[:-1]
    tensors: dict[str, Floats] = {}
    slopes = []
    layers = zip(
        np.split(one.ood_features, ends, 1), np.split(other.ood_features, ends, 1),
        direction_counts(one), SLOPES, strict=True,
    )  # fmt: skip
    for i, (known, judged, count, slope) in enumerate(layers):
        basis = tensors[f"directions.{i}"] = fit_basis(known, count)
        slopes.append(slope / max(1e-6, float(residual_angle(judged, basis).std(ddof=1))))
    scale = float(energy(other, {}).std(ddof=1))
    return tensors | {"slopes": np.array([scale * slope for slope in slopes], np.float32)}


def direction_counts(outputs: Outputs) -> list[int]:
    """How many directions known images take up in each part: one a class, and one more.

    As a classifier learns, its features gather around as many points as there are classes
    (Papyan et al. 2020).
    """
    return [
        min(outputs.logits.shape[1] + 1, width // WIDTH_PER_DIRECTION) for width in outputs.widths
    ]


def fit_basis(means: Floats, count: int) -> Floats:
    """The orthonormal directions in which (N, F) means are largest: (F, count)."""
    x = means.astype(np.float64)
    _, vectors = np.linalg.eigh(x.T @ x)
    return np.ascontiguousarray(vectors[:, -count:], np.float32)


def rank(images: int, target_fpr: float) -> int:
    """Which of the lowest scores is the threshold; 0 where the images are too few for one."""
    return floor(target_fpr / 100 * (images + 1))


def threshold_of(scores: NDArray[np.floating], target_fpr: float) -> float | None:
    """The score below which a new image from the same distribution as these (N,) rarely falls.

    That is the k-th lowest, k = ⌊target FPR · (N + 1)⌋ (Vovk et al. 2005, conformal prediction);
    None where k is 0.
    """
    k = rank(len(scores), target_fpr)
    return float(np.sort(scores)[k - 1]) if k else None


def rejected(outputs: Outputs, target_fpr: float, parts: Folds) -> NDArray[np.bool_] | None:
    """Which of the images are called unknown, each half by what was fitted on the other: (N,)."""
    found = np.zeros(len(outputs.logits), bool)
    for own, other in (parts, parts[::-1]):
        ood = fit_ood_detector(outputs.take(other), target_fpr) if len(other) else None
        if ood is None:
            return None
        found[own] = ood.id_scores(outputs.take(own)) < ood.threshold
    return found


def area_under_roc(known: NDArray[np.floating], unknown: NDArray[np.floating]) -> float:
    """AUROC: the probability that an in-distribution image scores higher; ties count half."""
    both = np.concatenate([known, unknown])
    _, place, count = np.unique(both, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # the mean rank of equal scores
    above = rank[place[: len(known)]].sum() - len(known) * (len(known) + 1) / 2
    return float(above / (len(known) * len(unknown)))


def detection_rate(threshold: float, unknown: NDArray[np.floating]) -> float:
    """The proportion of unknown images that are rejected."""
    return float((unknown < threshold).mean())
