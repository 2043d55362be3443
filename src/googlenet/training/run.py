"""A training run from its settings to a model, its accuracy and a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote
from time import perf_counter
from typing import Any

import torch

from googlenet.classifier import Classifier
from googlenet.console import Console
from googlenet.data.dataset import DataError, DataSet
from googlenet.data.load import load_data
from googlenet.data.loader import TrainingLoader
from googlenet.evaluation.accuracy import Scores, score
from googlenet.images.augment import Augmentation
from googlenet.machine import Machine
from googlenet.networks import Network, build_network
from googlenet.training.board import Board
from googlenet.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from googlenet.training.loop import Trainer, stuck_heads
from googlenet.training.runfolder import RunFolder
from googlenet.training.settings import Settings
from googlenet.training.transfer import transfer

CHECKPOINT_SECONDS = 300  # between checkpoints within an epoch


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
    source: Classifier | None = None  # the model that fine-tuning begins with
    warned: set[str] = field(default_factory=set)  # heads of which it was said that they are stuck
    named: set[str] = field(default_factory=set)  # photos of which it was said that they are bad


@dataclass(frozen=True)
class Trained:
    """The finished run: its model, the scores of its validation photos by number of views."""

    classifier: Classifier
    scores: dict[int, Scores]
    seconds: float


def prepare(settings: Settings, folder: RunFolder, console: Console, resume: bool) -> Run:
    """Load the data, build the network, and go back to the checkpoint where there is one."""
    machine = Machine.here(settings.precision)
    data = load_data(settings.data, settings.seed)
    if not len(data.train) or not len(data.val):
        raise DataError(f"{data.name}: training needs photos to train and to validate on")
    console.say(data.describe())
    source = Classifier.load(settings.weights) if settings.weights else None
    network = build(settings, len(data.classes))
    carried = carry_over(source, network, settings, data, console) if source else ()
    steps = settings.recipe.augmentation(settings.preprocessing)
    loader = TrainingLoader(data.train, settings.preprocessing, Augmentation(steps, settings.seed))
    trainer = Trainer(
        network,
        settings.recipe,
        loader,
        seed=settings.seed,
        machine=machine,
        workers=settings.workers,
        carried=carried,
    )
    progress = Progress(data.fingerprint())
    if resume:
        if folder.checkpoint.exists():
            progress = load_checkpoint(folder.checkpoint, trainer, progress.data)
        console.say(f"going on at step {trainer.step} of epoch {trainer.epoch + 1}")
    else:
        folder.create(settings.to_json())
    board = Board(folder.path / "tensorboard")
    return Run(settings, folder, data, trainer, machine, progress, console, board, source)


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


def carry_over(
    source: Classifier, network: Network, settings: Settings, data: DataSet, console: Console
) -> tuple[str, ...]:
    """Fine-tuning: put a trained model's tensors into the network; returns their names."""
    account = transfer(source.network.state_dict(), network, source.classes == data.classes)
    for line in account.lines():
        console.say(f"{settings.weights}: {line}")
    return account.kept


def train(run: Run, views: Sequence[int] = (1,)) -> Trained:
    """Train to the end, evaluate, and leave the models in the run's folder.

    The last epoch's averaged weights become `last.safetensors`.  Ctrl-C saves a checkpoint and
    raises Interrupted.  PyTorch's global random state is left as it was.
    """
    with torch.random.fork_rng(), run.console.interruptible():
        began = perf_counter() - run.progress.seconds
        while not run.trainer.finished:
            train_epoch(run, began)
        network = run.trainer.model()
    run.board.close()
    # The final figures are in fp32, whatever the precision of training.
    classifier = classifier_of(run, network, Machine(run.machine.device, "fp32"))
    scores = {}
    for count in views:
        run.console.say(f"evaluating with {count} view{'s' * (count > 1)} a photo")
        with run.console.bar(len(run.data.val), "evaluate") as bar:
            scores[count] = score(classifier, run.data.val, count, run.settings.workers, bar.update)
        name_left_out(run, scores[count].bad)
    classifier.metrics = {
        str(count): {"top1_error": s.error(1), "top5_error": s.error(5), "images": len(s)}
        for count, s in scores.items()
    }
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
    classifier = classifier_of(run, trainer.model(), run.machine)
    found = score(classifier, run.data.val, workers=run.settings.workers)
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
    classifier.save(folder.last)
    if accuracy > progress.best:
        progress.best = accuracy
        classifier.save(folder.best)
    folder.write_log(progress.history)
    run.board.write(progress.history[-1])
    save_checkpoint(folder.checkpoint, trainer, progress)
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

    def act() -> None:
        nonlocal saved
        update()
        name_left_out(run, run.trainer.bad)
        due = perf_counter() - saved > CHECKPOINT_SECONDS
        if due or run.console.interrupted:
            run.progress.seconds = perf_counter() - began
            save_checkpoint(run.folder.checkpoint, run.trainer, run.progress)
            saved = perf_counter()
        if run.console.interrupted:
            trainer = run.trainer
            raise Interrupted(
                f"stopped at step {trainer.step} of {trainer.recipe.epochs * trainer.epoch_steps}, "
                f"all saved; go on with: googlenet train {quote(run.settings.data)} "
                f"--out {quote(str(run.folder.path))} --resume"
            )

    return act


def classifier_of(run: Run, network: Network, machine: Machine) -> Classifier:
    return Classifier(
        network,
        run.data.classes,
        run.settings.preprocessing,
        run.settings.recipe.variant,
        provenance=provenance(run),
        licence=run.source.licence if run.source else None,
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
        "weights": run.source.provenance if run.source else None,
    }


def nll(found: Scores) -> float:
    """Mean negative log-likelihood of the true classes."""
    true = found.probabilities.gather(1, found.labels[:, None]).clamp_min(1e-12)
    return float(-true.log().mean())
