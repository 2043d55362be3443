"""Early stopping: a run ends when its validation metric has stopped improving."""

from __future__ import annotations

from collections.abc import Sequence


def best_epoch(metrics: Sequence[float]) -> int:
    """The first epoch, counted from 0, with the highest metric."""
    return max(range(len(metrics)), key=metrics.__getitem__)


def should_stop_early(metrics: Sequence[float], patience: int) -> bool:
    """Whether the best epoch is at least `patience` epochs ago; never with a patience of 0.

    A function of the history alone, so a resumed run stops where the uninterrupted one does.
    """
    if not patience or not metrics:
        return False
    return len(metrics) - 1 - best_epoch(metrics) >= patience
