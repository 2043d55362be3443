"""A training run from its settings to a model, its accuracy and a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from shlex import quote
from time import perf_counter
from typing import Any

import torch

from googlenet.classifier import Classifier
from googlenet.console import Console
from googlenet.data.cache import build_cache
from googlenet.data.dataset import DataError, DataSet
from googlenet.data.load import load_data
from googlenet.data.loader import TrainingLoader
from googlenet.errors import GoogLeNetError
from googlenet.evaluation.accuracy import Scores, score
from googlenet.files import WriteError
from googlenet.images.augment import Augmentation
from googlenet.machine import Machine
from googlenet.networks import Network, build_network
from googlenet.training.board import Board
from googlenet.training.checkpoint import (
    Checkpoint,
    Progress,
    other_machine,
    read_checkpoint,
    restore,
    save_checkpoint,
)
from googlenet.training.loop import Trainer, stuck_heads
from googlenet.training.runfolder import RunFolder
from googlenet.training.settings import Settings
from googlenet.training.transfer import Origin, transfer

CHECKPOINT_SECONDS = 300.0  # between checkpoints within an epoch (docs/runs.md says why)


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
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    saved: int = 0  # the step of the last checkpoint
    warned: set[str] = field(default_factory=set)  # heads of which it was said that they are stuck
    named: set[str] = field(default_factory=set)  # photos of which it was said that they are bad


@dataclass(frozen=True)
class Trained:
    """The finished run: its model, the scores of its validation photos by number of views."""

    classifier: Classifier
    scores: dict[int, Scores]
    seconds: float


def prepare(settings: Settings, folder: RunFolder, console: Console, resume: bool) -> Run:
    """Load the data, build the network, and go back to the checkpoint where there is one.

    The folder is then locked, and holds a checkpoint, so that the disk is known to take one.
    """
    try:
        return locked(settings, folder, console, resume)
    except BaseException:
        folder.release()
        raise


def locked(settings: Settings, folder: RunFolder, console: Console, resume: bool) -> Run:
    """`prepare`, which leaves no lock behind where this fails."""
    if resume:
        folder.open()
    machine = Machine.here(settings.precision)
    data = load_data(settings.data, settings.seed)
    if not len(data.train) or not len(data.val):
        raise DataError(f"{data.name}: training needs photos to train and to validate on")
    console.say(data.describe())
    checkpoint = earlier(folder) if resume else None
    network = build(settings, len(data.classes))
    if checkpoint:
        origin = checkpoint.origin
    else:
        origin = carry_over(network, settings, data, console) if settings.weights else None
    steps = settings.recipe.augmentation(settings.preprocessing)
    loader = TrainingLoader(
        data.train,
        settings.preprocessing,
        Augmentation(steps, settings.seed),
        settings.decoder,
    )
    trainer = Trainer(
        network,
        settings.recipe,
        loader,
        seed=settings.seed,
        machine=machine,
        workers=settings.workers,
        shuffle=settings.shuffle,
        carried=origin.kept if origin else (),
    )
    progress = Progress(
        data.fingerprint(), data.order(), settings.deciding(), machine.describe(), origin
    )
    if checkpoint:
        progress = restore(checkpoint, trainer, progress)
        note_other_machine(checkpoint, progress, console)
    if resume:
        console.say(f"going on at step {trainer.step} of epoch {trainer.epoch + 1}")
    else:
        folder.require_room(room(network))
        folder.create(settings.to_json())
    cache = build_cache(settings.cache, data.train, folder.path)
    trainer.loader = replace(loader, cache=cache)
    board = Board(folder.path / "tensorboard")
    run = Run(settings, folder, data, trainer, machine, progress, console, board)
    begin_files(run)
    return run


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
    run.saved = run.trainer.step
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
    account = transfer(source.network.state_dict(), network, source.classes == data.classes)
    for line in account.lines():
        console.say(f"{settings.weights}: {line}")
    return Origin(account.kept, source.provenance, source.licence)


def train(run: Run, views: Sequence[int] = (1,)) -> Trained:
    """Train to the end, evaluate, and leave the models in the run's folder.

    The last epoch's averaged weights become `last.safetensors`.  Ctrl-C and SIGTERM save a
    checkpoint and raise Interrupted; so does a second Ctrl-C, at once and without saving.
    PyTorch's global random state is left as it was.
    """
    try:
        with torch.random.fork_rng(), run.console.interruptible():
            return work(run, views)
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped at once; the last checkpoint is of step {run.saved}; {how_to_go_on(run)}"
        ) from None
    except WriteError as error:
        raise WriteError(
            f"{error}; the last checkpoint is of step {run.saved}; {how_to_go_on(run)}"
        ) from error
    finally:
        run.folder.release()


def work(run: Run, views: Sequence[int]) -> Trained:
    """The epochs that are left, and the evaluation."""
    began = perf_counter() - run.progress.seconds
    while not run.trainer.finished:
        train_epoch(run, began)
    watch = watcher(run, began)
    network = run.trainer.model(watch)
    # The final figures are in fp32, whatever the precision of training.
    classifier = classifier_of(run, network, Machine(run.machine.device, "fp32"))
    scores = {}
    for count in views:
        run.console.say(f"evaluating with {count} view{'s' * (count > 1)} a photo")
        with run.console.bar(len(run.data.val), "evaluate") as bar:
            scores[count] = score(
                classifier, run.data.val, count, run.settings.workers, both(bar.update, watch)
            )
        name_left_out(run, scores[count].bad)
    classifier.metrics = {
        str(count): {"top1_error": s.error(1), "top5_error": s.error(5), "images": len(s)}
        for count, s in scores.items()
    }
    run.folder.require()
    classifier.save(run.folder.last)
    return Trained(classifier, scores, perf_counter() - began)


def train_epoch(run: Run, began: float) -> None:
    """One epoch, its validation, its log and its checkpoint."""
    trainer, folder, progress, console = run.trainer, run.folder, run.progress, run.console
    epoch = trainer.epoch + 1
    begin = trainer.epoch * trainer.epoch_steps
    rate = trainer.learning_rate(begin)
    with console.bar(trainer.epoch_steps, f"epoch {epoch}", done=trainer.step - begin) as bar:
        row = trainer.train_epoch(after_step(run, began, bar.update))
    watch = watcher(run, began, trainer.reopen_epoch)
    classifier = classifier_of(run, trainer.model(watch), run.machine)
    found = score(classifier, run.data.val, workers=run.settings.workers, progress=watch)
    name_left_out(run, found.bad)
    accuracy = 100 - found.error(1)
    progress.seconds = perf_counter() - began
    progress.history.append(
        {"epoch": epoch, "learning_rate": rate}
        | row
        | {
            "val_loss": nll(found),
            "top1_accuracy": accuracy,
            "top5_accuracy": 100 - found.error(5),
            "seconds": progress.seconds,
        }
    )
    classifier.metrics = {
        "1": {"top1_error": found.error(1), "top5_error": found.error(5), "images": len(found)}
    }
    # The models come before the checkpoint, which makes the epoch done: a run that is killed
    # between them makes the same models again.  The logs are written from the checkpoint.
    folder.require()
    classifier.save(folder.last)
    if accuracy > progress.best:
        progress.best = accuracy
        classifier.save(folder.best)
    save(run, began)
    folder.write_log(progress.history)
    run.board.write(progress.history[-1])
    console.epoch(progress.history[-1], trainer.recipe.epochs)
    warn_of_stuck_heads(run, row)


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
    for head in set(stuck_heads(row, len(run.data.classes))) - run.warned:
        run.warned.add(head)
        run.console.say(
            f"warning: head {head} has learnt nothing, its loss is still ln(classes): "
            "try a lower rate (--set learning_rate=…) or batch normalisation (--variant bn)"
        )


def after_step(run: Run, began: float, update: Callable[[], object]) -> Callable[[], None]:
    """What happens between steps: the progress bar, Ctrl-C, and a checkpoint now and then."""
    saved = perf_counter()
    watch = watcher(run, began)

    def act() -> None:
        nonlocal saved
        update()
        name_left_out(run, run.trainer.bad)
        watch()
        if perf_counter() - saved >= run.checkpoint_seconds:
            save(run, began)
            saved = perf_counter()

    return act


def watcher(
    run: Run, began: float, before: Callable[[], None] = lambda: None
) -> Callable[[], None]:
    """What ends the run after Ctrl-C: `before`, a checkpoint, and a word on how to go on."""

    def watch() -> None:
        if not run.console.interrupted:
            return
        before()
        save(run, began)
        trainer = run.trainer
        raise Interrupted(
            f"stopped at step {trainer.step} of {trainer.recipe.epochs * trainer.epoch_steps}, "
            f"all saved; {how_to_go_on(run)}"
        )

    return watch


def both(*actions: Callable[[], object]) -> Callable[[], None]:
    """One action that is several, in order."""

    def act() -> None:
        for action in actions:
            action()

    return act


def save(run: Run, began: float) -> None:
    """Write the checkpoint.  Raises GoogLeNetError where that fails; the old one is then whole."""
    run.folder.require()
    run.progress.seconds = perf_counter() - began
    save_checkpoint(run.folder.checkpoint, run.trainer, run.progress)
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


def nll(found: Scores) -> float:
    """Mean negative log-likelihood of the true classes."""
    true = found.probabilities.gather(1, found.labels[:, None]).clamp_min(1e-12)
    return float(-true.log().mean())
