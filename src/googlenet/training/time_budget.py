"""--time-limit: how many epochs fit into a time budget, and when to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, floor
from time import perf_counter

from googlenet.runtime.errors import UsageError
from googlenet.training.recipe import RANGES

PLANNED_FRACTION = 0.9  # of the remaining time: the machine may become slower
MIN_PARTIAL_EPOCH_STEPS = 10  # fewer are not worth their evaluation


@dataclass(frozen=True)
class Costs:
    """Measured seconds: a training step, an epoch's validation and files, the end of the run."""

    step: float
    validation: float
    end: float


@dataclass
class TimeBudget:
    """`seconds` from `began` to the end of the command; `spent` of them in earlier sessions.

    clock: seconds from an arbitrary origin.
    """

    seconds: float
    clock: Callable[[], float] = perf_counter
    began: float | None = None
    spent: float = 0.0  # in earlier sessions
    costs: Costs = field(default_factory=lambda: Costs(0, 0, 0))
    slowdown: float = 1.0  # measured validation time / estimate

    def __post_init__(self) -> None:
        if self.began is None:
            self.began = self.clock()

    @property
    def left(self) -> float:
        assert self.began is not None
        return self.seconds - self.spent - (self.clock() - self.began)

    def require_time(self) -> None:
        """Raises UsageError if the budget is used up before training has started."""
        if self.left <= 0:
            raise UsageError(
                f"--time-limit must leave time for training, got {format_duration(self.seconds)}: "
                "loading the data and timing this machine took longer"
            )

    @property
    def reserve(self) -> float:
        """Seconds needed for a last validation and the end after training stops."""
        return self.slowdown * (self.costs.validation + self.costs.end)

    def steps(self) -> Callable[[], bool]:
        """Returns a function to call after every step: whether there is no time for another one."""
        last = self.clock()

        def due() -> bool:
            nonlocal last
            step, last = self.clock() - last, self.clock()
            return self.left < self.reserve + step

        return due

    def stopwatch(self) -> Callable[[], None]:
        """Call before a validation, and the result after it, to measure how long it took."""
        began = self.clock()

        def stop() -> None:
            if self.costs.validation > 0:
                self.slowdown = (self.clock() - began) / self.costs.validation

        return stop


@dataclass(frozen=True)
class RunLength:
    """The length of a run: whole epochs, or one epoch of a fraction of the images."""

    epochs: int
    epoch_fraction: float = 1.0


def fit_epochs(budget: TimeBudget, epoch_steps: int, max_epochs: int | None = None) -> RunLength:
    """The longest run that fits into the rest of the budget, at most `max_epochs`.

    Raises UsageError if not even a few steps fit; the message says what would.
    """
    costs = budget.costs
    planned = PLANNED_FRACTION * (budget.left - costs.end)
    whole = epoch_steps * costs.step + costs.validation
    epochs = min(floor(planned / whole), max_epochs or int(RANGES["epochs"][1]))
    if epochs >= 1:
        return RunLength(epochs)
    steps = floor((planned - costs.validation) / costs.step)
    fewest = min(MIN_PARTIAL_EPOCH_STEPS, epoch_steps)
    if steps < fewest:
        least = budget.seconds - budget.left
        least += costs.end + (costs.validation + fewest * costs.step) / PLANNED_FRACTION
        raise UsageError(
            f"--time-limit must leave time for {fewest} steps of training, validation and report: "
            f"{format_duration(ceil(least))} here, got {format_duration(budget.seconds)}"
        )
    return RunLength(1, steps / epoch_steps)


def format_duration(seconds: float) -> str:
    """A duration as --time-limit takes it: 90s, 30m, 2.5h."""
    if seconds < 120:
        return f"{seconds:.3g}s"
    return f"{seconds / 60:.3g}m" if seconds < 7200 else f"{seconds / 3600:.3g}h"
