"""A time limit that is kept: how many epochs fit into it, and when it is time to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, floor
from time import perf_counter

from googlenet.runtime.errors import UsageError
from googlenet.training.recipe import RANGES

MARGIN = 0.9  # share of the time that is planned with: the machine may become slower
FEWEST_STEPS = 10  # with fewer, part of an epoch is not worth its evaluation


@dataclass(frozen=True)
class Costs:
    """Seconds that things take here: a step, an epoch's validation with its files, the end."""

    step: float
    validation: float
    end: float


@dataclass
class TimeLimit:
    """So many seconds from `began` to the end of the command; `spent` of them earlier.

    clock gives seconds from any beginning.
    """

    seconds: float
    clock: Callable[[], float] = perf_counter
    began: float | None = None
    spent: float = 0.0  # in the sessions before this one
    costs: Costs = field(default_factory=lambda: Costs(0, 0, 0))
    slower: float = 1.0  # by what factor validation turned out to take longer than measured

    def __post_init__(self) -> None:
        if self.began is None:
            self.began = self.clock()

    @property
    def left(self) -> float:
        assert self.began is not None
        return self.seconds - self.spent - (self.clock() - self.began)

    def require_time(self) -> None:
        """Raises UsageError where the limit is over before training has begun."""
        if self.left <= 0:
            raise UsageError(
                f"--time-limit must leave time for training, got {shown(self.seconds)}: to load "
                "the data and to measure how fast this machine is took longer"
            )

    @property
    def reserve(self) -> float:
        """What must be left for a last validation and the end when training stops."""
        return self.slower * (self.costs.validation + self.costs.end)

    def steps(self) -> Callable[[], bool]:
        """To be called after every step of an epoch: whether there is no time for another."""
        last = self.clock()

        def due() -> bool:
            nonlocal last
            step, last = self.clock() - last, self.clock()
            return self.left < self.reserve + step

        return due

    def stopwatch(self) -> Callable[[], None]:
        """Begins with a validation; what it returns takes note of how long it really took."""
        began = self.clock()

        def stop() -> None:
            if self.costs.validation > 0:
                self.slower = (self.clock() - began) / self.costs.validation

        return stop


@dataclass(frozen=True)
class Length:
    """How long a run is to be: whole epochs, or a single one of `share` of the photos."""

    epochs: int
    share: float = 1.0


def length(limit: TimeLimit, epoch_steps: int, most: int | None = None) -> Length:
    """The longest run that fits into what is left of the limit, of `most` epochs at most.

    Raises UsageError where not even a few steps fit, and says what would.
    """
    costs = limit.costs
    planned = MARGIN * (limit.left - costs.end)
    whole = epoch_steps * costs.step + costs.validation
    epochs = min(floor(planned / whole), most or int(RANGES["epochs"][1]))
    if epochs >= 1:
        return Length(epochs)
    steps = floor((planned - costs.validation) / costs.step)
    fewest = min(FEWEST_STEPS, epoch_steps)
    if steps < fewest:
        least = limit.seconds - limit.left
        least += costs.end + (costs.validation + fewest * costs.step) / MARGIN
        raise UsageError(
            f"--time-limit must leave time for {fewest} steps of training, validation and report: "
            f"{shown(ceil(least))} here, got {shown(limit.seconds)}"
        )
    return Length(1, steps / epoch_steps)


def shown(seconds: float) -> str:
    """Seconds as --time-limit takes them: 90s, 30m, 2.5h."""
    if seconds < 120:
        return f"{seconds:.3g}s"
    return f"{seconds / 60:.3g}m" if seconds < 7200 else f"{seconds / 3600:.3g}h"
