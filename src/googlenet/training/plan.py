"""What a run finds out on its machine before it begins: its batch and its length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from googlenet import parallel
from googlenet.data.dataset import DataSet
from googlenet.runtime.console import Console
from googlenet.training.batch_size import find_batch
from googlenet.training.loop import Trainer
from googlenet.training.recipe import Recipe
from googlenet.training.settings import Settings
from googlenet.training.time_budget import TimeLimit, length, shown
from googlenet.training.timing import calibrate


@dataclass(frozen=True)
class Plan:
    """What is to be found out, and what it depends on.

    suit: the epochs follow the number of photos; find_batch: the recipe's batch is the most,
    memory decides; given: fields of the recipe that were set by hand and do not follow it.
    limit: the time for the whole run; most_epochs: not more than these.  views and doubts: what
    the run's end evaluates.
    """

    suit: bool = False
    find_batch: bool = False
    given: frozenset[str] = frozenset()
    limit: TimeLimit | None = None
    most_epochs: int | None = None
    views: tuple[int, ...] = (1,)
    doubts: int = 0


Make = Callable[[Settings], Trainer]  # a trainer to measure with


def decide(
    plan: Plan, settings: Settings, make: Make, data: DataSet, beside: Path, console: Console
) -> Settings:
    """The settings with batch and epochs as plain numbers, so that they can be given again."""
    if plan.suit:
        recipe = suited(settings.recipe, len(data.train), console)
        settings = replace(settings, recipe=recipe)
    if plan.find_batch:
        processes = parallel.world_size()
        recipe = parallel.on_rank0(
            lambda: fitting(plan, settings.recipe, make(settings), console, processes)
        )
        settings = replace(settings, recipe=recipe)
    if plan.limit:
        measure(plan, settings, make, data, beside)
        limit, before, steps = plan.limit, settings.recipe, make(settings).epoch_steps
        recipe = parallel.on_rank0(lambda: timed(plan, limit, before, steps, console))
        settings = replace(settings, recipe=recipe)
    return settings


def suited(recipe: Recipe, photos: int, console: Console) -> Recipe:
    """The recipe for so many photos."""
    found = recipe.with_min_steps(photos)
    if found != recipe:
        console.say(f"few photos, so {found.epochs} epochs in place of {recipe.epochs}")
    return found


def measure(plan: Plan, settings: Settings, make: Make, data: DataSet, beside: Path) -> None:
    """Find out what steps and evaluations cost, with the largest crops, for the limit to go by."""
    assert plan.limit
    side = max(settings.recipe.progressive_resize)
    trainer = make(
        replace(settings, recipe=replace(settings.recipe, progressive_resize=(side, side)))
    )
    plan.limit.costs = calibrate(
        trainer, data, plan.limit, views=plan.views, doubts=plan.doubts, beside=beside
    )


def fitting(
    plan: Plan, recipe: Recipe, trainer: Trainer, console: Console, processes: int
) -> Recipe:
    """The recipe with the largest batch that fits, shared by so many processes."""
    batch, found = find_batch(trainer, recipe.batch, processes=processes)
    smaller = recipe.with_batch_size(batch, plan.given)
    console.say(f"batch {batch} ({found}), learning rate {smaller.learning_rate:.4g}")
    return smaller


def timed(
    plan: Plan, limit: TimeLimit, recipe: Recipe, epoch_steps: int, console: Console
) -> Recipe:
    """The recipe for as many epochs as fit into the time limit."""
    fits = length(limit, epoch_steps, plan.most_epochs)
    costs = limit.costs
    epoch = epoch_steps * costs.step
    what = f"{fits.epochs} epoch{'s' * (fits.epochs > 1)}"
    if fits.share < 1:
        what = f"one epoch of {100 * fits.share:.0f} % of the photos"
    console.say(
        f"time limit {shown(limit.seconds)}: an epoch takes {epoch:.1f} s, its validation "
        f"{costs.validation:.1f} s, the end {costs.end:.1f} s: {what}"
    )
    return recipe.with_epochs(fits.epochs, fits.share)
