"""A training run from its settings to a model, its accuracy and a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from time import perf_counter
from typing import Any

import numpy as np
import torch

from googlenet import distributed
from googlenet.classifier import Classifier
from googlenet.console import Console
from googlenet.data.cache import build_cache
from googlenet.data.dataset import DataError, DataSet
from googlenet.data.load import load_data
from googlenet.data.loader import TrainingLoader
from googlenet.errors import GoogLeNetError
from googlenet.evaluation.accuracy import Scores, score
from googlenet.evaluation.calibrate import Calibrated, calibrate
from googlenet.evaluation.details import class_metrics
from googlenet.evaluation.doubts import (
    Doubt,
    doubts,
    look_for_doubts,
    sample_of,
    strongest_first,
    write_doubts,
)
from googlenet.evaluation.figures import Figure, as_errors, figures, to_json
from googlenet.evaluation.multilabel import FIGURES as SEVERAL
from googlenet.evaluation.multilabel import SeveralLabels, several_figures
from googlenet.files import WriteError
from googlenet.images.augment import Augmentation
from googlenet.machine import Machine, random_state_kept
from googlenet.networks import Network, build_network
from googlenet.training.board import Board
from googlenet.training.checkpoint import (
    Checkpoint,
    Progress,
    other_machine,
    read_checkpoint,
    restore,
    save_checkpoint,
    spread,
)
from googlenet.training.limits import TimeLimit
from googlenet.training.loop import Trainer
from googlenet.training.objective import stuck_heads
from googlenet.training.patience import best_epoch, out_of_patience
from googlenet.training.plan import Plan, decide, measure
from googlenet.training.recipes import Recipe
from googlenet.training.runfolder import RunFolder
from googlenet.training.settings import Settings
from googlenet.training.transfer import Origin, transfer

CHECKPOINT_SECONDS = 300.0  # between checkpoints within an epoch (docs/runs.md says why)
BALANCED = "balanced_accuracy"
OUT_OF_TIME = "out_of_time"  # the column of the log that says that its last epoch is not whole


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after everything has been saved."""


@dataclass
class Run:
    """What a run works with: built by `prepare`, carried on by `train`."""

    settings: Settings
    folder: RunFolder
    data: DataSet
    trainer: Trainer
    machine: Machine
    progress: Progress
    console: Console
    board: Board
    limit: TimeLimit | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    saved: int = 0  # the step of the last checkpoint
    warned: set[str] = field(default_factory=set)  # heads of which it was said that they are stuck
    named: set[str] = field(default_factory=set)  # photos of which it was said that they are bad


@dataclass(frozen=True)
class Trained:
    """The finished run: its model, the scores of its validation photos by number of views.

    figures: those of the scores, with intervals.  calibrated: how its calibration does on them.
    """

    classifier: Classifier
    scores: dict[int, Scores]
    seconds: float
    figures: dict[int, dict[str, Figure]]
    calibrated: Calibrated | None  # None where photos can have several labels
    doubts: tuple[Doubt, ...] = ()  # of labels, in validation and training, the strongest first


class StopError(Exception):
    """What ends the work at hand after Ctrl-C, in this process or, where they agree, in all."""


class OutOfTime(Exception):  # noqa: N818 - no error: the run goes on with its evaluation
    """What ends an epoch when the time limit is near."""


def prepare(
    settings: Settings,
    folder: RunFolder,
    console: Console,
    resume: bool,
    plan: Plan | None = None,
) -> Run:
    """Load the data, build the network, and go back to the checkpoint where there is one.

    `plan` says what is to be decided before; a run that goes on has decided already.  The folder
    is then locked, and holds a checkpoint, so that the disk is known to take one.
    """
    try:
        return locked(settings, folder, console, resume, plan or Plan())
    except BaseException:
        folder.release()
        raise


def locked(
    settings: Settings, folder: RunFolder, console: Console, resume: bool, plan: Plan
) -> Run:
    """`prepare`, which leaves no lock behind where this fails."""
    if resume:
        distributed.first(folder.open)
    machine = Machine.here(settings.precision)
    data = load(settings)
    console.say(data.describe())
    if not resume and (plan.find_batch or plan.limit):
        distributed.first(folder.require_empty)
        settings = decide(plan, settings, scratch(data, machine), data, folder.path, console)
    trainer, progress = begun(settings, folder, data, machine, resume, console)
    if resume:
        console.say(where(trainer))
        if plan.limit:
            plan.limit.spent = progress.seconds
            measure(plan, settings, scratch(data, machine), data, folder.path)
    else:
        folder.place(distributed.first(lambda: create(folder, settings, trainer.network)))
    cache = distributed.together(lambda: build_cache(settings.cache, data.train, folder.path))
    trainer.loader = replace(trainer.loader, cache=cache)
    board = Board(folder.path / "tensorboard")
    run = Run(settings, folder, data, trainer, machine, progress, console, board, plan.limit)
    distributed.first(lambda: begin_files(run))
    run.saved = run.trainer.step
    return run


def load(settings: Settings) -> DataSet:
    """The data, which every process reads for itself.

    Raises DataError where there is nothing to learn from, or not the same in all processes.
    """

    def read() -> DataSet:
        data = load_data(settings.data, settings.seed, multi=settings.multi_label or None)
        if not len(data.train) or not len(data.val):
            raise DataError(f"{data.name}: training needs photos to train and to validate on")
        return data

    data = distributed.together(read)
    if distributed.count() > 1:
        distributed.require_same((data.fingerprint(), data.order()), f"photos of {settings.data}")
    return data


def begun(
    settings: Settings,
    folder: RunFolder,
    data: DataSet,
    machine: Machine,
    resume: bool,
    console: Console,
) -> tuple[Trainer, Progress]:
    """The trainer at the run's beginning, or with `resume` where its checkpoint left it.

    Files are read by the first process; the others get the trainer's state from it.
    """
    checkpoint = distributed.kept(lambda: earlier(folder)) if resume else None
    network = build(settings, len(data.classes))

    def begin() -> Origin | None:
        if checkpoint:
            return checkpoint.origin
        return carry_over(network, settings, data, console) if settings.weights else None

    origin = distributed.first(begin)
    trainer = trainer_of(settings, data, machine, network, origin.kept if origin else ())
    here = machine.describe() | {"processes": str(distributed.count())}
    now = Progress(data.fingerprint(), data.order(), settings.deciding(), here, origin)
    progress = distributed.first(lambda: restore(checkpoint, trainer, now) if checkpoint else now)
    spread(trainer)
    if checkpoint:
        note_other_machine(checkpoint, progress, console)
    return trainer, progress


def create(folder: RunFolder, settings: Settings, network: Network) -> Path:
    """Make the run's folder; returns its path."""
    folder.require_room(room(network))
    folder.create(settings.to_json())
    distributed.made_folder(folder.path)
    return folder.path


def where(trainer: Trainer) -> str:
    """The place in which a resumed run goes on, in words."""
    if trainer.finished:
        return f"all {trainer.epoch} epochs are done: what follows them is done again"
    return f"going on at step {trainer.step} of epoch {trainer.epoch + 1}"


def trainer_of(
    settings: Settings, data: DataSet, machine: Machine, network: Network, carried: tuple[str, ...]
) -> Trainer:
    """The settings' trainer of a network, at its beginning."""
    steps = settings.recipe.augmentation(settings.preprocessing)
    loader = TrainingLoader(
        data.train,
        settings.preprocessing,
        Augmentation(steps, settings.seed),
        settings.decoder,
    )
    return Trainer(
        network,
        settings.recipe,
        loader,
        seed=settings.seed,
        machine=machine,
        workers=settings.workers,
        shuffle=settings.shuffle,
        carried=carried,
    )


def scratch(data: DataSet, machine: Machine) -> Callable[[Settings], Trainer]:
    """Makes trainers to measure with; the run's own begins after them, untouched."""
    return lambda settings: trainer_of(
        settings, data, machine, build(settings, len(data.classes)), ()
    )


def earlier(folder: RunFolder) -> Checkpoint | None:
    """The checkpoint of a run to go on with; None where it was stopped before its first one.

    Raises GoogLeNetError where it is damaged or gone, and says what there is instead.
    """
    instead = ""
    if folder.last.exists():
        instead = (
            f"; {folder.last}, the model of its last whole epoch, is not affected: use it as it "
            "is, or begin a new run with it as --weights"
        )
    if not folder.checkpoint.exists():
        if instead:
            raise GoogLeNetError(f"{folder.checkpoint}: is not there to go on from{instead}")
        return None
    try:
        return read_checkpoint(folder.checkpoint)
    except GoogLeNetError as error:
        raise type(error)(f"{error}{instead}") from error


def note_other_machine(checkpoint: Checkpoint, progress: Progress, console: Console) -> None:
    """Say it where this machine may go on to other bits than the one of before would have."""
    then = checkpoint.values.get("machine")
    differing = other_machine(then, progress.machine) if isinstance(then, dict) else []
    if differing:
        console.say(
            f"note: the run was on another machine before ({'; '.join(differing)}): "
            "its results may differ in their last digits from those of an undisturbed run"
        )


def room(network: Network) -> int:
    """Bytes that a run's files take at most: two checkpoints for a moment, and the models."""
    size: int = sum(tensor.nbytes for tensor in network.state_dict().values())
    return 2 * 3 * size + 3 * size + (1 << 20)


def begin_files(run: Run) -> None:
    """Bring the folder in line with the run's state, whatever an earlier session left there."""
    if not run.folder.checkpoint.exists():
        save_checkpoint(run.folder.checkpoint, run.trainer, run.progress)
    if run.progress.history:
        run.folder.write_log(run.progress.history)
    run.board.begin(run.progress.history)


def build(settings: Settings, classes: int) -> Network:
    """The network to train, its weights drawn from the seed."""
    network = build_network(
        settings.recipe.variant,
        classes,
        size=settings.preprocessing.size,
        in_channels=settings.preprocessing.channels,
        width=settings.width,
        heads=settings.recipe.heads > 0,
        initialisation=settings.recipe.initialisation,
        generator=torch.Generator().manual_seed(settings.seed),
    )
    if settings.recipe.dropout >= 0:
        network.dropout.p = settings.recipe.dropout
    return network


def carry_over(network: Network, settings: Settings, data: DataSet, console: Console) -> Origin:
    """Fine-tuning: put a trained model's tensors into the network, and remember where from."""
    source = Classifier.load(str(settings.weights))
    same = source.classes == data.classes and source.multi == data.multi
    account = transfer(source.network.state_dict(), network, same)
    for line in account.lines():
        console.say(f"{settings.weights}: {line}")
    return Origin(account.kept, source.provenance, source.licence)


def train(run: Run, views: Sequence[int] = (1,), look_through: int = 0) -> Trained:
    """Train to the end, evaluate, calibrate, and leave the models in the run's folder.

    `look_through` training photos, chosen by the seed if there are more, are searched for labels
    that the model doubts.

    The last epoch's averaged weights become `last.safetensors`.  Ctrl-C and SIGTERM save a
    checkpoint and raise Interrupted; so does a second Ctrl-C, at once and without saving.
    PyTorch's global random state is left as it was.
    """
    try:
        with random_state_kept(), run.console.interruptible():
            return work(run, views, look_through)
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped at once; the last checkpoint is of step {run.saved}; {how_to_go_on(run)}"
        ) from None
    except (WriteError, distributed.LostError) as error:
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
        count: several_figures(s, classifier.threshold) if s.multi else figures(s)
        for count, s in scores.items()
    }
    calibrated = None if run.data.multi else calibrated_by(run, classifier, scores, watch)
    classifier.metrics = {
        str(count): to_json(found[count] if s.multi else as_errors(found[count])) | metrics(s)
        for count, s in scores.items()
    }
    distributed.first(lambda: keep(run, classifier, run.folder.last))
    doubted = doubtful(run, classifier, scores[min(scores)], look_through, watch)
    return Trained(classifier, scores, perf_counter() - began, found, calibrated, doubted)


def keep(run: Run, classifier: Classifier, *paths: Path) -> None:
    """Write a model into the run's folder, under these names."""
    run.folder.require()
    for path in paths:
        classifier.save(path)


def evaluate(run: Run, classifier: Classifier, views: int, watch: Callable[[], object]) -> Scores:
    """The scores of the validation photos; of a single view with what calibration needs."""
    run.console.say(f"evaluating with {views} view{'s' * (views > 1)} a photo")
    workers, val = run.settings.workers, run.data.val
    with run.console.bar(len(val), "evaluate") as bar:
        found = score(classifier, val, views, workers, both(bar.update, watch), views == 1)
    name_left_out(run, found.bad)
    return found


def calibrated_by(
    run: Run, classifier: Classifier, scores: dict[int, Scores], watch: Callable[[], object]
) -> Calibrated:
    """Fit and say the classifier's calibration, by one view of the validation photos."""
    one = scores.get(1) or evaluate(run, classifier, 1, watch)
    calibrated = calibrate(one, seed=run.settings.seed)
    for line in calibrated.lines():
        run.console.say(line)
    classifier.calibration = calibrated.calibration
    return calibrated


def metrics(scores: Scores) -> dict[str, float]:
    """What a model file says of its errors, besides the figures with their intervals."""
    if scores.multi:
        return {"images": len(scores)}
    return {
        "top1_error": scores.error(1),
        "top5_error": scores.error(5),
        "images": len(scores),
    }


def doubtful(
    run: Run, classifier: Classifier, scores: Scores, most: int, watch: Callable[[], object]
) -> tuple[Doubt, ...]:
    """The labels that the model doubts, also in `doubts.csv`."""
    found = doubts(scores, run.data.val, run.data.classes, "val")
    chosen = sample_of(run.data.train, most, run.settings.seed)
    if chosen:
        run.console.say(f"looking for doubtful labels in {len(chosen)} training photos")
        with run.console.bar(len(chosen), "doubts") as bar:
            progress = both(bar.update, watch)
            found += look_for_doubts(
                classifier, run.data.train, "train", chosen, run.settings.workers, progress
            )
    found = strongest_first(found)
    distributed.first(lambda: write_doubts(run.folder.doubts, found))
    return tuple(found)


def ended(run: Run) -> bool:
    """Whether training is over: by its length, its patience or its time limit."""
    history, recipe = run.progress.history, run.trainer.recipe
    if run.trainer.finished or (history and OUT_OF_TIME in history[-1]):
        return True
    measures = [row[measured(run)] for row in history]
    if not out_of_patience(measures, recipe.patience):
        return False
    run.console.say(
        f"no better than epoch {best_epoch(measures) + 1} for {recipe.patience} epochs: "
        "training ends here"
    )
    return True


def final_classifier(run: Run, watch: Callable[[], None]) -> Classifier:
    """The model of the run: the last epoch's, or with patience the best one's.

    Its figures are in fp32, whatever the precision of training.
    """
    machine = Machine(run.machine.device, "fp32")
    if not run.trainer.recipe.patience:
        return classifier_of(run, run.trainer.model(watch), machine)
    best = distributed.first(lambda: Classifier.load(run.folder.best)).to(machine)
    run.console.say(f"the model is that of epoch {best.provenance['epochs']}, the best")
    return best


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
            row = trainer.means() | {OUT_OF_TIME: 1.0}
            console.say(str(stop))
    validated = run.limit.stopwatch() if run.limit else None
    with stoppable(run, began, trainer.reopen_epoch):
        classifier = classifier_of(run, trainer.model(watcher(run)), run.machine)
        found = score(classifier, run.data.val, workers=run.settings.workers, progress=watcher(run))
    name_left_out(run, found.bad)
    progress.seconds = perf_counter() - began
    row = (
        {"epoch": epoch, "learning_rate": rate}
        | row
        | validation(found, classifier.threshold, trainer.recipe)
        | {"seconds": progress.seconds}
    )
    row = distributed.first(lambda: row)  # of whose clock it is
    progress.history.append(row)
    classifier.metrics = {"1": {k: row[k] for k in SEVERAL if k in row} | metrics(found)}
    better = row[measured(run)] > progress.best
    progress.best = max(progress.best, row[measured(run)])
    # The models come before the checkpoint, which makes the epoch done: a run that is killed
    # between them makes the same models again.  The logs are written from the checkpoint.
    models = (folder.last, folder.best) if better else (folder.last,)
    distributed.first(lambda: keep(run, classifier, *models))
    save(run, began)
    distributed.first(lambda: write_logs(run))
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
    if epoch < 3 or epoch - 1 < recipe.warmup * recipe.epochs:
        return
    for head in stuck_heads(row, run.trainer.objective.plateaus):
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
        name_left_out(run, run.trainer.bad)
        interrupted, due, over = distributed.any_of(
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


def both(*actions: Callable[[], object]) -> Callable[[], None]:
    """One action that is several, in order."""

    def act() -> None:
        for action in actions:
            action()

    return act


def save(run: Run, began: float) -> None:
    """Write the checkpoint.  Raises GoogLeNetError where that fails; the old one is then whole."""
    run.progress.seconds = perf_counter() - began

    def write() -> None:
        run.folder.require()
        save_checkpoint(run.folder.checkpoint, run.trainer, run.progress)

    distributed.first(write)
    run.saved = run.trainer.step


def how_to_go_on(run: Run) -> str:
    return (
        f"go on with: googlenet train {quote(run.settings.data)} "
        f"--out {quote(str(run.folder.path))} --resume"
    )


def classifier_of(run: Run, network: Network, machine: Machine) -> Classifier:
    return Classifier(
        network,
        run.data.classes,
        run.settings.preprocessing,
        run.settings.recipe.variant,
        provenance=provenance(run),
        licence=run.progress.origin.licence if run.progress.origin else None,
        machine=machine,
        multi=run.data.multi,
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
    if found.multi:
        means = SeveralLabels.of(found, threshold).means()
        # Where there is nothing to tell, in a validation part without any label, nothing is right.
        return loss | {k: 100 * float(np.nan_to_num(v[0])) for k, v in means.items()}
    loss |= {"top1_accuracy": 100 - found.error(1), "top5_accuracy": 100 - found.error(5)}
    if recipe.balance != "none":
        loss[BALANCED] = 100 * class_metrics(found).balanced_accuracy
    return loss


def measured(run: Run) -> str:
    """The column of the log that tells the best epoch: who balances classes means all of them."""
    if run.data.multi:
        return "mean_average_precision"
    return "top1_accuracy" if run.trainer.recipe.balance == "none" else BALANCED


def nll(found: Scores) -> float:
    """Mean negative log-likelihood of the true classes, of all yes and no if there are several."""
    if found.multi:
        right = torch.where(found.labels, found.probabilities, 1 - found.probabilities)
        return float(-right.clamp_min(1e-12).log().sum(1).mean())
    true = found.probabilities.gather(1, found.labels[:, None]).clamp_min(1e-12)
    return float(-true.log().mean())
