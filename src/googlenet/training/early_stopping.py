"""Early stopping: a run ends when its validation has not improved for so many epochs."""

from __future__ import annotations

from collections.abc import Sequence


def best_epoch(measures: Sequence[float]) -> int:
    """The first of the best epochs, counted from 0, where more is better."""
    return max(range(len(measures)), key=measures.__getitem__)


def out_of_patience(measures: Sequence[float], patience: int) -> bool:
    """Whether the best epoch lies `patience` epochs back; never, with a patience of 0.

    A function of the history alone, so that a resumed run stops where the undisturbed one does.
    """
    if not patience or not measures:
        return False
    return len(measures) - 1 - best_epoch(measures) >= patience
