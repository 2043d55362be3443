"""What a run determines on its machine before it starts: batch size and number of epochs."""

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
from googlenet.training.time_budget import TimeBudget, fit_epochs, format_duration
from googlenet.training.timing import measure_costs


@dataclass(frozen=True)
class Plan:
    """What is to be determined, and what it depends on.

    scale_epochs: a small dataset gets more epochs; find_batch: the recipe's batch size is a
    maximum, memory decides; overrides: recipe fields that were set by hand and are not scaled.
    time_budget: for the whole run; max_epochs: an upper bound.  views and label_check_images:
    what is evaluated at the end.
    """

    scale_epochs: bool = False
    find_batch: bool = False
    overrides: frozenset[str] = frozenset()
    time_budget: TimeBudget | None = None
    max_epochs: int | None = None
    views: tuple[int, ...] = (1,)
    label_check_images: int = 0


MakeTrainer = Callable[[Settings], Trainer]  # for measurements only


def resolve(
    plan: Plan,
    settings: Settings,
    make: MakeTrainer,
    data: DataSet,
    output_dir: Path,
    console: Console,
) -> Settings:
    """The settings with batch size and epochs as plain numbers, so that they can be repeated."""
    if plan.scale_epochs:
        recipe = with_min_steps(settings.recipe, len(data.train), console)
        settings = replace(settings, recipe=recipe)
    if plan.find_batch:
        processes = parallel.world_size()
        recipe = parallel.on_rank0(
            lambda: with_max_batch(plan, settings.recipe, make(settings), console, processes)
        )
        settings = replace(settings, recipe=recipe)
    if plan.time_budget:
        measure(plan, settings, make, data, output_dir)
        budget, before, steps = plan.time_budget, settings.recipe, make(settings).epoch_steps
        recipe = parallel.on_rank0(lambda: with_time_budget(plan, budget, before, steps, console))
        settings = replace(settings, recipe=recipe)
    return settings


def with_min_steps(recipe: Recipe, images: int, console: Console) -> Recipe:
    """The recipe for this many training images."""
    found = recipe.with_min_steps(images)
    if found != recipe:
        console.say(f"small dataset: {found.epochs} epochs instead of {recipe.epochs}")
    return found


def measure(
    plan: Plan, settings: Settings, make: MakeTrainer, data: DataSet, output_dir: Path
) -> None:
    """Measure the costs of steps and evaluations for the time budget, with the largest crops."""
    assert plan.time_budget
    ratio = max(settings.recipe.progressive_resize)
    recipe = replace(settings.recipe, progressive_resize=(ratio, ratio))
    plan.time_budget.costs = measure_costs(
        make(replace(settings, recipe=recipe)),
        data,
        plan.time_budget,
        views=plan.views,
        label_check_images=plan.label_check_images,
        output_dir=output_dir,
    )


def with_max_batch(
    plan: Plan, recipe: Recipe, trainer: Trainer, console: Console, processes: int
) -> Recipe:
    """The recipe with the largest batch size that fits, sharded over the processes."""
    batch, found = find_batch(trainer, recipe.batch, processes=processes)
    smaller = recipe.with_batch_size(batch, plan.overrides)
    console.say(f"batch {batch} ({found}), learning rate {smaller.learning_rate:.4g}")
    return smaller


def with_time_budget(
    plan: Plan, budget: TimeBudget, recipe: Recipe, epoch_steps: int, console: Console
) -> Recipe:
    """The recipe with as many epochs as fit into the time budget."""
    length = fit_epochs(budget, epoch_steps, plan.max_epochs)
    costs = budget.costs
    what = f"{length.epochs} epoch{'s' * (length.epochs > 1)}"
    if length.epoch_fraction < 1:
        what = f"one epoch of {100 * length.epoch_fraction:.0f} % of the images"
    console.say(
        f"time limit {format_duration(budget.seconds)}: "
        f"{epoch_steps * costs.step:.1f} s per epoch, {costs.validation:.1f} s per validation, "
        f"{costs.end:.1f} s at the end: {what}"
    )
    return recipe.with_epochs(length.epochs, length.epoch_fraction)
