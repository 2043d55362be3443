"""The epochs of a training run: validation, logs, checkpoints, and what Ctrl-C leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from time import perf_counter
from typing import Any

import numpy as np
import torch

from googlenet import parallel
from googlenet.evaluation.accuracy import Scores, score
from googlenet.evaluation.details import class_metrics
from googlenet.evaluation.multilabel import MULTILABEL_METRICS as SEVERAL
from googlenet.evaluation.multilabel import MultilabelMetrics
from googlenet.inference.classifier import Classifier
from googlenet.models.registry import Network
from googlenet.runtime.device import ComputeDevice
from googlenet.training.checkpoint import save_checkpoint
from googlenet.training.early_stopping import best_epoch, should_stop_early
from googlenet.training.objective import heads_at_chance
from googlenet.training.recipe import Recipe
from googlenet.training.setup import Run

BALANCED = "balanced_accuracy"
OUT_OF_TIME = "out_of_time"  # the column of the log that says that its last epoch is not whole


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after everything has been saved."""


class StopError(Exception):
    """What ends the work at hand after Ctrl-C, in this process or, where they agree, in all."""


class OutOfTime(Exception):  # noqa: N818 - no error: the run goes on with its evaluation
    """What ends an epoch when the time limit is near."""


def ended(run: Run) -> bool:
    """Whether training is over: by its length, its patience or its time limit."""
    history, recipe = run.progress.history, run.trainer.recipe
    if run.trainer.finished or (history and OUT_OF_TIME in history[-1]):
        return True
    measures = [row[measured(run)] for row in history]
    if not should_stop_early(measures, recipe.patience):
        return False
    run.console.say(
        f"no better than epoch {best_epoch(measures) + 1} for {recipe.patience} epochs: "
        "training ends here"
    )
    return True


def train_epoch(run: Run, began: float) -> None:
    """One epoch, its validation, its log and its checkpoint."""
    trainer, folder, progress, console = run.trainer, run.folder, run.progress, run.console
    epoch = trainer.epoch + 1
    begin = trainer.epoch * trainer.epoch_steps
    rate = trainer.learning_rate(begin)
    bar = console.bar(trainer.epoch_steps, f"epoch {epoch}", done=trainer.step - begin)
    with bar, stoppable(run, began):
        try:
            row = trainer.train_epoch(after_step(run, began, bar.update))
        except OutOfTime as stop:
            row = trainer.epoch_means() | {OUT_OF_TIME: 1.0}
            console.say(str(stop))
    validated = run.limit.stopwatch() if run.limit else None
    with stoppable(run, began, trainer.undo_epoch_end):
        classifier = classifier_of(run, trainer.averaged_model(watcher(run)), run.machine)
        found = score(classifier, run.data.val, workers=run.settings.workers, progress=watcher(run))
    name_left_out(run, found.unreadable)
    progress.seconds = perf_counter() - began
    row = (
        {"epoch": epoch, "learning_rate": rate}
        | row
        | validation(found, classifier.threshold, trainer.recipe)
        | {"seconds": progress.seconds}
    )
    row = parallel.on_rank0(lambda: row)  # of whose clock it is
    progress.history.append(row)
    classifier.metrics = {"1": {k: row[k] for k in SEVERAL if k in row} | metrics(found)}
    better = row[measured(run)] > progress.best
    progress.best = max(progress.best, row[measured(run)])
    # The models come before the checkpoint, which makes the epoch done: a run that is killed
    # between them makes the same models again.  The logs are written from the checkpoint.
    models = (folder.last, folder.best) if better else (folder.last,)
    parallel.on_rank0(lambda: keep(run, classifier, *models))
    save(run, began)
    parallel.on_rank0(lambda: write_logs(run))
    if validated:
        validated()
    console.epoch(row, trainer.recipe.epochs)
    warn_of_stuck_heads(run, row)


def write_logs(run: Run) -> None:
    run.folder.write_log(run.progress.history)
    run.board.write(run.progress.history[-1])


def name_left_out(run: Run, bad: Mapping[str, str]) -> None:
    """Say once of each photo that it cannot be read; a resumed run begins with the earlier ones."""
    for name, reason in bad.items():
        if name not in run.named:
            run.console.say(f"left out: {reason}")
    run.named.update(bad)


def warn_of_stuck_heads(run: Run, row: dict[str, float]) -> None:
    """Say it once of a head that should have learnt something by now and has not."""
    recipe, epoch = run.trainer.recipe, run.trainer.epoch
    if epoch < 3 or epoch - 1 < recipe.warmup_fraction * recipe.epochs:
        return
    for head in heads_at_chance(row, run.trainer.objective.chance_losses):
        if head not in run.warned:
            run.warned.add(head)
            run.console.say(
                f"warning: head {head} has learnt nothing: its loss, {row[f'loss_{head}']:.3f}, is "
                "still that of the same answer for every photo: try a lower rate "
                "(--set learning_rate=…) or batch normalisation (--variant bn)"
            )


def after_step(run: Run, began: float, update: Callable[[], object]) -> Callable[[], None]:
    """What happens between steps: the progress bar, Ctrl-C, and a checkpoint now and then."""
    saved = perf_counter()
    late = run.limit.steps() if run.limit else bool

    def act() -> None:
        nonlocal saved
        update()
        name_left_out(run, run.trainer.unreadable)
        interrupted, due, over = parallel.any_rank(
            run.console.interrupted, perf_counter() - saved >= run.checkpoint_seconds, late()
        )
        if interrupted:
            raise StopError
        if due:
            save(run, began)
            saved = perf_counter()
        if over and run.trainer.step < run.trainer.steps:
            done = run.trainer.step / run.trainer.epoch_steps
            raise OutOfTime(
                f"the time limit is near: training ends after {done:.2f} of "
                f"{run.trainer.recipe.epochs} epochs"
            )

    return act


def watcher(run: Run) -> Callable[[], None]:
    """What ends, after Ctrl-C, work that `stoppable` surrounds."""

    def watch() -> None:
        if run.console.interrupted:
            raise StopError

    return watch


@contextmanager
def stoppable(run: Run, began: float, before: Callable[[], None] = lambda: None) -> Iterator[None]:
    """What follows a StopError: `before`, a checkpoint, and a word on how to go on."""
    try:
        yield
    except StopError:
        before()
        save(run, began)
        trainer = run.trainer
        raise Interrupted(
            f"stopped at step {trainer.step} of {trainer.steps}, all saved; {how_to_go_on(run)}"
        ) from None


def save(run: Run, began: float) -> None:
    """Write the checkpoint.  Raises GoogLeNetError where that fails; the old one is then whole."""
    run.progress.seconds = perf_counter() - began

    def write() -> None:
        run.folder.require()
        save_checkpoint(run.folder.checkpoint, run.trainer, run.progress)

    parallel.on_rank0(write)
    run.saved = run.trainer.step


def keep(run: Run, classifier: Classifier, *paths: Path) -> None:
    """Write a model into the run's folder, under these names."""
    run.folder.require()
    for path in paths:
        classifier.save(path)


def how_to_go_on(run: Run) -> str:
    return (
        f"go on with: googlenet train {quote(run.settings.data)} "
        f"--out {quote(str(run.folder.path))} --resume"
    )


def classifier_of(run: Run, network: Network, machine: ComputeDevice) -> Classifier:
    return Classifier(
        network,
        run.data.classes,
        run.settings.preprocessing,
        run.settings.recipe.variant,
        provenance=provenance(run),
        licence=run.progress.origin.licence if run.progress.origin else None,
        machine=machine,
        multi=run.data.multilabel,
    )


def provenance(run: Run) -> dict[str, Any]:
    """Where a model comes from, for its header: no path of the machine that made it."""
    from googlenet import __version__

    return {
        "made_by": f"googlenet {__version__}",
        "data": run.data.name,
        "data_fingerprint": run.progress.data,
        "recipe": run.settings.recipe.name,
        "seed": run.settings.seed,
        "epochs": run.trainer.epoch,
        "weights": run.progress.origin.provenance if run.progress.origin else None,
    }


def validation(found: Scores, threshold: float, recipe: Recipe) -> dict[str, float]:
    """What the log says of an epoch's validation: the loss, and accuracies in percent."""
    loss = {"val_loss": nll(found)}
    if found.multilabel:
        means = MultilabelMetrics.of(found, threshold).means()
        # Where there is nothing to tell, in a validation part without any label, nothing is right.
        return loss | {k: 100 * float(np.nan_to_num(v[0])) for k, v in means.items()}
    loss |= {"top1_accuracy": 100 - found.error(1), "top5_accuracy": 100 - found.error(5)}
    if recipe.balance != "none":
        loss[BALANCED] = 100 * class_metrics(found).balanced_accuracy
    return loss


def measured(run: Run) -> str:
    """The column of the log that tells the best epoch: who balances classes means all of them."""
    if run.data.multilabel:
        return "mean_average_precision"
    return "top1_accuracy" if run.trainer.recipe.balance == "none" else BALANCED


def metrics(scores: Scores) -> dict[str, float]:
    """What a model file says of its errors, besides the figures with their intervals."""
    if scores.multilabel:
        return {"images": len(scores)}
    return {
        "top1_error": scores.error(1),
        "top5_error": scores.error(5),
        "images": len(scores),
    }


def nll(found: Scores) -> float:
    """Mean negative log-likelihood of the true classes, of all yes and no if there are several."""
    if found.multilabel:
        right = torch.where(found.labels, found.probabilities, 1 - found.probabilities)
        return float(-right.clamp_min(1e-12).log().sum(1).mean())
    true = found.probabilities.gather(1, found.labels[:, None]).clamp_min(1e-12)
    return float(-true.log().mean())
