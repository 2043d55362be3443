"""How good a model is at every class, however many photos the class has."""

from __future__ import annotations

import torch

from googlenet.evaluation.accuracy import Scores


def balanced_accuracy(scores: Scores) -> float:
    """Mean over the classes that are there of the share of right answers, in percent."""
    right = scores.predicted() == scores.labels
    classes = sorted(set(scores.labels.tolist()))
    recalls = torch.stack([right[scores.labels == c].double().mean() for c in classes])
    return 100 * float(recalls.mean())
