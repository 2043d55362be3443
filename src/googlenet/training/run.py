"""A training run: epochs, final evaluation, calibration and label check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from googlenet import parallel
from googlenet.evaluation.accuracy import score
from googlenet.evaluation.fit_calibration import Calibrated, fit_calibration
from googlenet.evaluation.label_issues import (
    LabelIssue,
    find_label_issues,
    label_issues,
    sample_of,
    strongest_first,
    write_label_issues,
)
from googlenet.evaluation.metric_ci import MetricCI, as_errors, compute_metrics, to_json
from googlenet.evaluation.multilabel import multilabel_metrics
from googlenet.evaluation.scores import Scores
from googlenet.inference.classifier import Classifier
from googlenet.load import load_classifier
from googlenet.runtime.device import ComputeDevice, fork_rng
from googlenet.runtime.files import WriteError
from googlenet.training.epochs import (
    Interrupted,
    classifier_of,
    header_metrics,
    report_unreadable,
    resume_hint,
    save_models,
    should_stop,
    stop_check,
    stoppable,
    train_epoch,
)
from googlenet.training.head_only import train_head
from googlenet.training.setup import Run


@dataclass(frozen=True)
class Trained:
    """The finished run: its model and its scores on the validation images by number of views.

    metrics: of the scores, with intervals.  calibrated: the calibration and its metrics.
    """

    classifier: Classifier
    scores: dict[int, Scores]
    seconds: float
    metrics: dict[int, dict[str, MetricCI]]
    calibrated: Calibrated | None  # None for multi-label data
    label_issues: tuple[LabelIssue, ...] = ()  # validation and training, strongest first


def train(run: Run, views: Sequence[int] = (1,), label_check_images: int = 0) -> Trained:
    """Train to the end, evaluate, calibrate, and leave the models in the run's folder.

    `label_check_images`: how many training images, a random sample, are checked for label errors.

    The last epoch's averaged weights become `last.safetensors`.  Ctrl-C and SIGTERM save a
    checkpoint and raise Interrupted; a second Ctrl-C does so immediately, without saving.
    PyTorch's global random state is restored.
    """
    try:
        with fork_rng(), run.console.interruptible():
            return run_epochs(run, views, label_check_images)
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped immediately; the last checkpoint is of step {run.saved}; {resume_hint(run)}"
        ) from None
    except (WriteError, parallel.PeerLostError) as error:
        raise type(error)(
            f"{error}; the last checkpoint is of step {run.saved}; {resume_hint(run)}"
        ) from error
    finally:
        run.folder.release()


def run_epochs(run: Run, views: Sequence[int], label_check_images: int) -> Trained:
    """The remaining epochs and the final evaluation."""
    began = perf_counter() - run.progress.seconds
    while not should_stop(run):
        (train_head if run.settings.head_only else train_epoch)(run, began)
    with stoppable(run, began):
        return finalize(run, views, label_check_images, began)


def finalize(run: Run, views: Sequence[int], label_check_images: int, began: float) -> Trained:
    """Evaluate, calibrate and save the trained model, and check labels with it."""
    watch = stop_check(run)
    classifier = final_classifier(run, watch)
    scores = {count: evaluate(run, classifier, count, watch) for count in views}
    found = {
        count: multilabel_metrics(s, classifier.threshold) if s.multilabel else compute_metrics(s)
        for count, s in scores.items()
    }
    calibrated = None if run.data.multilabel else calibrate_model(run, classifier, scores, watch)
    by_views = {
        str(count): to_json(found[count] if s.multilabel else as_errors(found[count]))
        | header_metrics(s)
        for count, s in scores.items()
    }
    classifier.header = replace(classifier.header, metrics=by_views)
    parallel.on_rank0(lambda: save_models(run, classifier, run.folder.last))
    doubted = find_run_label_issues(run, classifier, scores[min(scores)], label_check_images, watch)
    return Trained(classifier, scores, perf_counter() - began, found, calibrated, doubted)


def evaluate(run: Run, classifier: Classifier, views: int, watch: Callable[[], object]) -> Scores:
    """The scores of the validation images; with one view, also what calibration needs."""
    run.console.say(f"evaluating ({views} view{'s' * (views > 1)} per image)")
    workers, val = run.settings.workers, run.data.val
    with run.console.bar(len(val), "evaluate") as bar:
        found = score(classifier, val, views, workers, chain(bar.update, watch), views == 1)
    report_unreadable(run, found.unreadable)
    return found


def calibrate_model(
    run: Run, classifier: Classifier, scores: dict[int, Scores], watch: Callable[[], object]
) -> Calibrated:
    """Fit and report the classifier's calibration, on one view per validation image."""
    one = scores.get(1) or evaluate(run, classifier, 1, watch)
    calibrated = fit_calibration(one, seed=run.settings.seed)
    for line in calibrated.lines():
        run.console.say(line)
    classifier.header = replace(classifier.header, calibration=calibrated.calibration)
    return calibrated


def find_run_label_issues(
    run: Run, classifier: Classifier, scores: Scores, most: int, watch: Callable[[], object]
) -> tuple[LabelIssue, ...]:
    """The label issues of both splits; also written to doubts.csv."""
    found = label_issues(scores, run.data.val, run.data.classes, "val")
    chosen = sample_of(run.data.train, most, run.settings.seed)
    if chosen:
        run.console.say(f"checking {len(chosen):,} training images for label errors")
        with run.console.bar(len(chosen), "label check") as bar:
            progress = chain(bar.update, watch)
            found += find_label_issues(
                classifier, run.data.train, "train", chosen, run.settings.workers, progress
            )
    found = strongest_first(found)
    parallel.on_rank0(lambda: write_label_issues(run.folder.label_issues, found))
    return tuple(found)


def final_classifier(run: Run, watch: Callable[[], None]) -> Classifier:
    """The model of the last epoch, or of the best one with early stopping.

    It is evaluated in fp32, whatever the precision of training.
    """
    machine = ComputeDevice(run.machine.device, "fp32")
    if not run.trainer.recipe.patience:
        return classifier_of(run, run.trainer.averaged_model(watch), machine)
    best = parallel.on_rank0(lambda: load_classifier(run.folder.best)).to(machine)
    run.console.say(f"using the best model, epoch {best.provenance['epochs']}")
    return best


def chain(*actions: Callable[[], object]) -> Callable[[], None]:
    """Call several functions in order."""

    def act() -> None:
        for action in actions:
            action()

    return act
