"""The epochs of a training run: validation, logs, checkpoints, and interruption."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shlex import quote
from time import perf_counter
from typing import Any

import numpy as np
import torch

from googlenet import parallel
from googlenet.data.learned import LearnedImages, hashes_of
from googlenet.evaluation.accuracy import score
from googlenet.evaluation.details import class_metrics
from googlenet.evaluation.multilabel import MULTILABEL_METRICS, MultilabelMetrics
from googlenet.evaluation.scores import Scores
from googlenet.images.decode import name_of
from googlenet.inference.classifier import Classifier
from googlenet.models.registry import Network
from googlenet.runtime.device import ComputeDevice
from googlenet.training.checkpoint import save_checkpoint
from googlenet.training.early_stopping import best_epoch, should_stop_early
from googlenet.training.objective import heads_at_chance
from googlenet.training.recipe import Recipe
from googlenet.training.setup import Run

BALANCED_ACCURACY = "balanced_accuracy"
OUT_OF_TIME_COLUMN = "out_of_time"  # of the log: the last epoch is incomplete


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, after everything has been saved."""


class StopRequestedError(Exception):
    """Ends the current work after Ctrl-C, in all processes where they synchronize."""


class TimeBudgetUsedError(Exception):
    """Ends an epoch when the time limit is reached; evaluation follows."""


def should_stop(run: Run) -> bool:
    """Whether training is over: by epochs, early stopping or time limit."""
    history, recipe = run.progress.history, run.trainer.recipe
    if run.trainer.finished or (history and OUT_OF_TIME_COLUMN in history[-1]):
        return True
    measures = [row[selection_metric(run)] for row in history]
    if not should_stop_early(measures, recipe.patience):
        return False
    run.console.say(f"early stopping: no improvement since epoch {best_epoch(measures) + 1}")
    return True


def train_epoch(run: Run, began: float) -> None:
    """One epoch: training, validation, models, checkpoint and logs."""
    trainer = run.trainer
    row = {
        "epoch": trainer.epoch + 1,
        "learning_rate": trainer.learning_rate(trainer.epoch * trainer.epoch_steps),
    }
    end_epoch(run, began, row | train_steps(run, began))


def end_epoch(run: Run, began: float, row: dict[str, float]) -> None:
    """Validation, models, checkpoint and logs; row: the training's columns of the log."""
    trainer, progress = run.trainer, run.progress
    stop_timing = run.time_budget.stopwatch() if run.time_budget else None
    classifier, found = validate(run, began)
    progress.seconds = perf_counter() - began
    row |= validation_metrics(found, classifier.threshold, trainer.recipe)
    row |= {"seconds": progress.seconds}
    row = parallel.on_rank0(lambda: row)  # times are rank 0's
    progress.history.append(row)
    one_view = {k: row[k] for k in MULTILABEL_METRICS if k in row} | header_metrics(found)
    classifier.header = replace(classifier.header, metrics={"1": one_view})
    save_epoch(run, began, classifier, row[selection_metric(run)])
    if stop_timing:
        stop_timing()
    run.console.epoch(row, trainer.recipe.epochs)
    warn_about_heads_at_chance(run, row)


def train_steps(run: Run, began: float) -> dict[str, float]:
    """The epoch's remaining steps; returns its means."""
    trainer, console = run.trainer, run.console
    done = trainer.step - trainer.epoch * trainer.epoch_steps
    bar = console.bar(trainer.epoch_steps, f"epoch {trainer.epoch + 1}", done=done)
    with bar, stoppable(run, began):
        try:
            return trainer.train_epoch(after_step(run, began, bar.update))
        except TimeBudgetUsedError as stop:
            console.say(str(stop))
            return trainer.epoch_means() | {OUT_OF_TIME_COLUMN: 1.0}


def validate(run: Run, began: float) -> tuple[Classifier, Scores]:
    """The averaged model and its scores on the validation images."""
    watch = stop_check(run)
    with stoppable(run, began, run.trainer.undo_epoch_end):
        classifier = classifier_of(run, run.trainer.averaged_model(watch), run.machine)
        found = score(classifier, run.data.val, workers=run.settings.workers, progress=watch)
    report_unreadable(run, found.unreadable)
    return classifier, found


def save_epoch(run: Run, began: float, classifier: Classifier, metric: float) -> None:
    """Write the epoch's models, checkpoint and logs.

    The models are written before the checkpoint, which completes the epoch: a run killed in
    between writes the same models again.  The logs are written from the checkpoint.
    """
    folder, progress = run.folder, run.progress
    models = (folder.last, folder.best) if metric > progress.best else (folder.last,)
    progress.best = max(progress.best, metric)
    parallel.on_rank0(lambda: save_models(run, classifier, *models))
    save(run, began)
    parallel.on_rank0(lambda: write_logs(run))


def write_logs(run: Run) -> None:
    run.folder.write_log(run.progress.history)
    run.tensorboard.write(run.progress.history[-1])


def report_unreadable(run: Run, bad: Mapping[str, str]) -> None:
    """Report each unreadable image once; a resumed run starts with the earlier ones."""
    for name, reason in bad.items():
        if name not in run.reported_unreadable:
            run.console.say(f"skipped: {reason}")
    run.reported_unreadable.update(bad)


def warn_about_heads_at_chance(run: Run, row: dict[str, float]) -> None:
    """Warn once about a head that is still at chance level after the warm-up."""
    recipe, epoch = run.trainer.recipe, run.trainer.epoch
    if epoch < 3 or epoch - 1 < recipe.warmup_fraction * recipe.epochs:
        return
    for head in heads_at_chance(row, run.trainer.objective.chance_losses):
        if head not in run.warned_heads:
            run.warned_heads.add(head)
            run.console.say(
                f"warning: head {head} is at chance level: its loss, {row[f'loss_{head}']:.3f}, is "
                "that of the same prediction for every image: try a lower learning rate "
                "(--set learning_rate=…) or batch normalization (--variant bn)"
            )


def after_step(run: Run, began: float, update: Callable[[], object]) -> Callable[[], None]:
    """What happens between steps: progress bar, Ctrl-C, periodic checkpoints, time limit."""
    saved = perf_counter()
    late = run.time_budget.steps() if run.time_budget else bool

    def act() -> None:
        nonlocal saved
        update()
        report_unreadable(run, run.trainer.unreadable)
        interrupted, due, over = parallel.any_rank(
            run.console.interrupted, perf_counter() - saved >= run.checkpoint_seconds, late()
        )
        if interrupted:
            raise StopRequestedError
        if due:
            save(run, began)
            saved = perf_counter()
        if over and run.trainer.step < run.trainer.steps:
            done = run.trainer.step / run.trainer.epoch_steps
            raise TimeBudgetUsedError(
                f"time limit reached: training ends after {done:.2f} of "
                f"{run.trainer.recipe.epochs} epochs"
            )

    return act


def stop_check(run: Run) -> Callable[[], None]:
    """A function that raises StopRequestedError after Ctrl-C."""

    def watch() -> None:
        if run.console.interrupted:
            raise StopRequestedError

    return watch


@contextmanager
def stoppable(run: Run, began: float, before: Callable[[], None] = lambda: None) -> Iterator[None]:
    """On StopRequestedError: call `before`, save a checkpoint, and raise Interrupted."""
    try:
        yield
    except StopRequestedError:
        before()
        save(run, began)
        trainer = run.trainer
        raise Interrupted(
            f"stopped at step {trainer.step} of {trainer.steps}, saved; {resume_hint(run)}"
        ) from None


def save(run: Run, began: float) -> None:
    """Write the checkpoint.  Raises GoogLeNetError if that fails; the old one is then intact."""
    run.progress.seconds = perf_counter() - began

    def write() -> None:
        run.folder.check_exists()
        save_checkpoint(run.folder.checkpoint, run.trainer, run.progress)

    parallel.on_rank0(write)
    run.saved = run.trainer.step


def save_models(run: Run, classifier: Classifier, *paths: Path) -> None:
    """Write a model to these paths of the run's folder."""
    run.folder.check_exists()
    for path in paths:
        classifier.save(path)


def resume_hint(run: Run) -> str:
    return (
        f"resume with: googlenet train {quote(run.settings.data)} "
        f"--out {quote(str(run.folder.path))} --resume"
    )


def classifier_of(run: Run, network: Network, machine: ComputeDevice) -> Classifier:
    return Classifier.from_network(
        network,
        run.data.classes,
        run.settings.preprocessing,
        provenance=provenance(run),
        licence=run.progress.origin.licence if run.progress.origin else None,
        device=machine,
        multilabel=run.data.multilabel,
    )


def provenance(run: Run) -> dict[str, Any]:
    """Where a model comes from, for its header; contains no local paths."""
    from googlenet import __version__

    return {
        "made_by": f"googlenet {__version__}",
        "data": run.data.name,
        "data_fingerprint": run.progress.data,
        "recipe": run.settings.recipe.name,
        "seed": run.settings.seed,
        "epochs": run.trainer.epoch,
        "split_rule": run.settings.split_rule,
        "learned": learned_images(run).to_json(),
        "weights": run.progress.origin and without_learned(run.progress.origin.provenance),
    }


def learned_images(run: Run) -> LearnedImages:
    """The run's training images but for those that could not be read."""
    train, unreadable = run.data.train, run.reported_unreadable
    bad = [i for i, source in enumerate(train.sources) if name_of(source) in unreadable]
    return run.learned.without(hashes_of(train.take(bad))) if bad else run.learned


def without_learned(provenance: dict[str, Any]) -> dict[str, Any]:
    """The provenance of a model to begin with, whose images are among those of the new one."""
    return {key: value for key, value in provenance.items() if key != "learned"}


def validation_metrics(found: Scores, threshold: float, recipe: Recipe) -> dict[str, float]:
    """The log's validation columns: the loss, and accuracies in percent."""
    loss = {"val_loss": nll(found)}
    if found.multilabel:
        means = MultilabelMetrics.of(found, threshold).means()
        # Undefined metrics, of a validation split without labels, count as 0.
        return loss | {k: 100 * float(np.nan_to_num(v[0])) for k, v in means.items()}
    loss |= {"top1_accuracy": 100 - found.error(1), "top5_accuracy": 100 - found.error(5)}
    if recipe.balance != "none":
        loss[BALANCED_ACCURACY] = 100 * class_metrics(found).balanced_accuracy
    return loss


def selection_metric(run: Run) -> str:
    """The log column that selects the best epoch: balanced accuracy for a balanced recipe."""
    if run.data.multilabel:
        return "mean_average_precision"
    return "top1_accuracy" if run.trainer.recipe.balance == "none" else BALANCED_ACCURACY


def header_metrics(scores: Scores) -> dict[str, float]:
    """The errors in a model's header, besides the metrics with intervals."""
    if scores.multilabel:
        return {"images": len(scores)}
    return {
        "top1_error": scores.error(1),
        "top5_error": scores.error(5),
        "images": len(scores),
    }


def nll(found: Scores) -> float:
    """Mean negative log-likelihood; for multi-label data, of every class's presence or absence."""
    if found.multilabel:
        right = torch.where(found.labels, found.probabilities, 1 - found.probabilities)
        return float(-right.clamp_min(1e-12).log().sum(1).mean())
    return float(-found.label_probability().clamp_min(1e-12).log().mean())
