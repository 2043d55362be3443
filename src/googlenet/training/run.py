"""A training run from its beginning to a model, its accuracy and its calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from googlenet import parallel
from googlenet.evaluation.accuracy import Scores, score
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
from googlenet.inference.classifier import Classifier
from googlenet.runtime.device import ComputeDevice, fork_rng
from googlenet.runtime.files import WriteError
from googlenet.training.epochs import (
    Interrupted,
    classifier_of,
    ended,
    how_to_go_on,
    keep,
    metrics,
    name_left_out,
    stoppable,
    train_epoch,
    watcher,
)
from googlenet.training.setup import Run


@dataclass(frozen=True)
class Trained:
    """The finished run: its model, the scores of its validation photos by number of views.

    figures: those of the scores, with intervals.  calibrated: how its calibration does on them.
    """

    classifier: Classifier
    scores: dict[int, Scores]
    seconds: float
    metrics: dict[int, dict[str, MetricCI]]
    calibrated: Calibrated | None  # None where photos can have several labels
    doubts: tuple[LabelIssue, ...] = ()  # validation and training, strongest first


def train(run: Run, views: Sequence[int] = (1,), look_through: int = 0) -> Trained:
    """Train to the end, evaluate, calibrate, and leave the models in the run's folder.

    `look_through` training photos, chosen by the seed if there are more, are searched for labels
    that the model doubts.

    The last epoch's averaged weights become `last.safetensors`.  Ctrl-C and SIGTERM save a
    checkpoint and raise Interrupted; so does a second Ctrl-C, at once and without saving.
    PyTorch's global random state is left as it was.
    """
    try:
        with fork_rng(), run.console.interruptible():
            return work(run, views, look_through)
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped at once; the last checkpoint is of step {run.saved}; {how_to_go_on(run)}"
        ) from None
    except (WriteError, parallel.PeerLostError) as error:
        raise type(error)(
            f"{error}; the last checkpoint is of step {run.saved}; {how_to_go_on(run)}"
        ) from error
    finally:
        run.folder.release()


def work(run: Run, views: Sequence[int], look_through: int) -> Trained:
    """The epochs that are left, and the evaluation."""
    began = perf_counter() - run.progress.seconds
    while not ended(run):
        train_epoch(run, began)
    with stoppable(run, began):
        return finished(run, views, look_through, began)


def finished(run: Run, views: Sequence[int], look_through: int, began: float) -> Trained:
    """The model of a run that has been trained, evaluated and calibrated."""
    watch = watcher(run)
    classifier = final_classifier(run, watch)
    scores = {count: evaluate(run, classifier, count, watch) for count in views}
    found = {
        count: multilabel_metrics(s, classifier.threshold) if s.multilabel else compute_metrics(s)
        for count, s in scores.items()
    }
    calibrated = None if run.data.multilabel else calibrated_by(run, classifier, scores, watch)
    classifier.metrics = {
        str(count): to_json(found[count] if s.multilabel else as_errors(found[count])) | metrics(s)
        for count, s in scores.items()
    }
    parallel.on_rank0(lambda: keep(run, classifier, run.folder.last))
    doubted = doubtful(run, classifier, scores[min(scores)], look_through, watch)
    return Trained(classifier, scores, perf_counter() - began, found, calibrated, doubted)


def evaluate(run: Run, classifier: Classifier, views: int, watch: Callable[[], object]) -> Scores:
    """The scores of the validation photos; of a single view with what calibration needs."""
    run.console.say(f"evaluating with {views} view{'s' * (views > 1)} a photo")
    workers, val = run.settings.workers, run.data.val
    with run.console.bar(len(val), "evaluate") as bar:
        found = score(classifier, val, views, workers, both(bar.update, watch), views == 1)
    name_left_out(run, found.unreadable)
    return found


def calibrated_by(
    run: Run, classifier: Classifier, scores: dict[int, Scores], watch: Callable[[], object]
) -> Calibrated:
    """Fit and say the classifier's calibration, by one view of the validation photos."""
    one = scores.get(1) or evaluate(run, classifier, 1, watch)
    calibrated = fit_calibration(one, seed=run.settings.seed)
    for line in calibrated.lines():
        run.console.say(line)
    classifier.calibration = calibrated.calibration
    return calibrated


def doubtful(
    run: Run, classifier: Classifier, scores: Scores, most: int, watch: Callable[[], object]
) -> tuple[LabelIssue, ...]:
    """The labels that the model doubts, also in `doubts.csv`."""
    found = label_issues(scores, run.data.val, run.data.classes, "val")
    chosen = sample_of(run.data.train, most, run.settings.seed)
    if chosen:
        run.console.say(f"looking for doubtful labels in {len(chosen)} training photos")
        with run.console.bar(len(chosen), "doubts") as bar:
            progress = both(bar.update, watch)
            found += find_label_issues(
                classifier, run.data.train, "train", chosen, run.settings.workers, progress
            )
    found = strongest_first(found)
    parallel.on_rank0(lambda: write_label_issues(run.folder.doubts, found))
    return tuple(found)


def final_classifier(run: Run, watch: Callable[[], None]) -> Classifier:
    """The model of the run: the last epoch's, or with patience the best one's.

    Its figures are in fp32, whatever the precision of training.
    """
    machine = ComputeDevice(run.machine.device, "fp32")
    if not run.trainer.recipe.patience:
        return classifier_of(run, run.trainer.averaged_model(watch), machine)
    best = parallel.on_rank0(lambda: Classifier.load(run.folder.best)).to(machine)
    run.console.say(f"the model is that of epoch {best.provenance['epochs']}, the best")
    return best


def both(*actions: Callable[[], object]) -> Callable[[], None]:
    """One action that is several, in order."""

    def act() -> None:
        for action in actions:
            action()

    return act
