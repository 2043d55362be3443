"""What was tried for the recipe: settings by name, each trained and scored on held-out images.

    python benchmarks/study.py run $GOOGLENET_DATA/imagenette2-160 NAME... [--seeds 0,1,2]
        [--size 128] [--epochs 5] [--threads 2] [--per-class N] [--others] --out FILE
    python benchmarks/study.py table docs/results/study.jsonl
    python benchmarks/study.py beliefs docs/results/beliefs.jsonl

A fifth of the training images is held out, the same for every setting and seed; the validation
images are never read.  With --per-class, only so many images of each class are used, a small
data set, and still all of that fifth are scored.  A line of the output is one run; runs that are
there are not repeated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from study_ideas import Voters
from study_settings import BASE, BELIEFS, SETTINGS, Setting
from torch import Tensor, nn

from googlenet import Classifier
from googlenet.data import loader as loading
from googlenet.data.dataset import DataSet, Samples
from googlenet.data.load_data import load_data
from googlenet.data.split import random_split
from googlenet.evaluation.accuracy import score
from googlenet.evaluation.scores import Scores
from googlenet.images import decode as decoding
from googlenet.images.preprocess import Preprocessing, resize_size
from googlenet.images.view import center_view
from googlenet.inference.backends.torch import TorchBackend
from googlenet.inference.header import ModelHeader
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.device import ComputeDevice
from googlenet.training.averaging import WeightAverage, recompute_bn_stats
from googlenet.training.epochs import nll
from googlenet.training.loop import BN_STATS_IMAGES, Trainer
from googlenet.training.recipes import MODERN
from googlenet.training.setup import set_dropout


@dataclass(frozen=True)
class Task:
    """What every setting is given."""

    data: DataSet
    size: int
    epochs: int
    others: bool = False


MARGINS = (1.0, 1.035, 1.07, 1.1)  # of a center view's side: the image's shorter one; ours is 1.14
SHARES = (0.02, 0.05)  # of the run, over which other averages than the recipe's look back


def run(setting: Setting, task: Task, seed: int) -> dict[str, Any]:
    """Train from scratch; the accuracy of the averaged weights on the held-out images.

    Where the task asks for others, `averages` has that of other averages of the same run by the
    share over which they look back, `margins` and `margin_losses` what other center views find,
    `voters` what the heads say, `squashed` what is found in the whole image made a square.
    """
    recipe = MODERN.with_settings(BASE | setting.recipe | {"epochs": task.epochs})
    preprocessing = Preprocessing(size=task.size, resize_size=resize_size(task.size))
    network = GoogLeNet(
        setting.variant,
        len(task.data.classes),
        with_aux_heads=recipe.aux_loss_weight > 0,
        initialization=recipe.initialization,
        generator=torch.Generator().manual_seed(seed),
    )
    set_dropout(network, recipe)
    torch.manual_seed(seed)
    setting.change(network)
    steps = recipe.augmentation(preprocessing)
    loader = loading.TrainingLoader(task.data.train, preprocessing, setting.augment(steps, seed))
    trainer = Trainer(network, recipe, loader, seed=seed, machine=ComputeDevice.detect(), workers=1)
    if setting.optimizer is not None:
        trainer.optimizer = setting.optimizer(network, recipe)
    averages = {share: average(trainer, share) for share in SHARES if task.others}

    def after_step() -> None:
        setting.during(trainer)
        for kept in averages.values():
            kept.update(network, trainer.step)

    setting.during(trainer)
    wall, cpu = perf_counter(), process_time()
    while not trainer.finished:
        row = trainer.train_epoch(after_step)
        passed = perf_counter() - wall
        print(f"  {trainer.epoch}: {row['loss_main']:.3f} {passed:.0f} s", flush=True)
    seconds, cpu_seconds = perf_counter() - wall, process_time() - cpu
    model = trainer.averaged_model()
    found = scores(trainer, model, task, resize_size(task.size))
    line = {
        "top1_accuracy": 100 - found.error(1),
        "held_out_loss": nll(found),
        "train_loss": row["loss_main"],
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
    }
    if task.others:
        wider = {str(m): scores(trainer, model, task, round(m * task.size)) for m in MARGINS}
        line["margins"] = {m: 100 - found.error(1) for m, found in wider.items()}
        line["margin_losses"] = {m: nll(found) for m, found in wider.items()}
        line["voters"] = voters(trainer, task)
        today = resize_size(task.size, MODERN.resize_ratio)
        squashed = scores(trainer, model, task, today, mode="squash")
        line["squashed"] = {"top1": 100 - squashed.error(1), "loss": nll(squashed)}
        by_views = scores(trainer, refitted(trainer, model), task, resize_size(task.size))
        line["view_statistics"] = {"top1": 100 - by_views.error(1), "loss": nll(by_views)}
        line["averages"] = {}
        for share, kept in averages.items():
            trainer.average = kept
            other = scores(trainer, trainer.averaged_model(), task, resize_size(task.size))
            line["averages"][str(share)] = 100 - other.error(1)
    return line


def average(trainer: Trainer, share: float) -> WeightAverage:
    """An exponential average that looks back over such a share of the run."""
    decay = 1 - 1 / max(1.0, share * trainer.steps)
    return WeightAverage(trainer.network, "ema", decay, 0)


def scores(
    trainer: Trainer, model: nn.Module, task: Task, resize: int, mode: str = "crop"
) -> Scores:
    """What the model says of the held-out images, their shorter side made so long."""
    preprocessing = replace(trainer.loader.preprocessing, resize_size=resize, mode=mode)
    header = ModelHeader(trainer.recipe.variant, task.data.classes, preprocessing)
    classifier = Classifier(header, TorchBackend(model, trainer.machine))  # type: ignore[arg-type]
    return score(classifier, task.data.val, workers=1)


def voters(trainer: Trainer, task: Task) -> dict[str, dict[str, float]]:
    """What each head says of today's center view, and all by the weights they were trained with."""
    if not trainer.network.aux_heads:
        return {}
    network = deepcopy(trainer.network)
    trainer.average.copy_to(network)
    network.eval()
    whole = dict.fromkeys(("main", *network.aux_heads), 1.0)
    trainer.recompute_bn_stats(Voters(network, whole), BN_STATS_IMAGES, lambda: None)
    by_weight = whole | dict.fromkeys(network.aux_heads, trainer.recipe.aux_loss_weight)
    asked = {row: {row: 1.0} for row in whole} | {"all": by_weight}
    resize, found = resize_size(task.size, MODERN.resize_ratio), {}
    for name, weights in asked.items():
        line = scores(trainer, Voters(network, weights), task, resize)
        found[name] = {"top1": 100 - line.error(1), "loss": nll(line)}
    return found


def refitted(trainer: Trainer, model: GoogLeNet) -> GoogLeNet:
    """The model with the batch statistics of center views, in place of training crops."""
    found, samples = deepcopy(model), trainer.loader.samples
    preprocessing = trainer.loader.preprocessing
    chosen = np.random.default_rng(0).permutation(len(samples))[:2048]

    def batches() -> Iterator[Tensor]:
        for indices in np.array_split(chosen, 32):
            views = [
                center_view(decoding.decode(samples.sources[i]), preprocessing) for i in indices
            ]
            yield preprocessing.normalize(torch.from_numpy(np.stack(views)))

    with trainer.machine.autocast():
        recompute_bn_stats(found, batches())
    return found


def keep_decoded() -> None:
    """Decode each image once for all runs of this process: a gigabyte for Imagenette at 160 px."""
    photos: dict[Any, Any] = {}
    original = decoding.decode

    def decode(source: Any) -> Any:
        if not isinstance(source, Path):
            return original(source)
        if source not in photos:
            photos[source] = original(source)
        return photos[source]

    loading.decode = decode  # type: ignore[attr-defined]


def held_out(data: DataSet) -> DataSet:
    """The training images alone, a fifth of each class held out, whatever the seed of the run."""
    parts = DataSet(data.name, data.classes, data.train, Samples())
    return random_split(parts, seed=0)


def cut(data: DataSet, count: int) -> DataSet:
    """The first `count` training images of each class, the same for every setting and seed."""
    labels = np.array(data.train.labels)
    chosen = [i for c in range(len(data.classes)) for i in np.flatnonzero(labels == c)[:count]]
    return DataSet(data.name, data.classes, data.train.take([int(i) for i in chosen]), data.val)


HEADINGS = (
    "setting", "change", "images per class", "epochs", "seeds", "top-1", "spread",
    "held-out loss", "training loss", "CPU s", "predicted", "kept",
)  # fmt: skip


def table(lines: Sequence[dict[str, Any]]) -> str:
    """A row a setting: the mean over seeds of each figure, the spread of the accuracy.

    The training loss is the last epoch's, with label smoothing.
    """
    rows: list[tuple[str, ...]] = [HEADINGS, ("---",) * len(HEADINGS)]
    kinds: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in lines:
        key = (line["setting"], line.get("per_class", "all"), line["epochs"])
        kinds.setdefault(key, []).append(line)
    for (name, photos, epochs), found in kinds.items():
        setting = SETTINGS[name]
        accuracies = [line["top1_accuracy"] for line in found]
        losses = [line["held_out_loss"] for line in found if "held_out_loss" in line]
        cells = (
            name,
            setting.idea,
            photos,
            epochs,
            len(found),
            f"{mean(accuracies):.2f}",
            f"{stdev(accuracies):.2f}" if len(found) > 1 else "–",
            f"{mean(losses):.3f}" if losses else "–",
            f"{mean(line['train_loss'] for line in found):.3f}",
            f"{mean(line['cpu_seconds'] for line in found):.0f}",
            setting.predicted or "–",
            "yes" if setting.kept else "no",
        )
        rows.append(tuple(map(str, cells)))
    return lined(rows)


def beliefs(lines: Sequence[dict[str, Any]]) -> str:
    """A row a belief of the paper and task: both settings' mean over seeds, the difference's."""
    headings = (
        "the paper's claim", "where", "images per class", "epochs", "with", "without", "difference",
        "seeds",
    )  # fmt: skip
    rows: list[tuple[str, ...]] = [headings, ("---",) * len(headings)]
    tasks: dict[tuple[Any, ...], dict[str, dict[int, float]]] = {}
    for line in lines:
        scores = tasks.setdefault((line.get("per_class", "all"), line["epochs"]), {})
        scores.setdefault(line["setting"], {})[line["seed"]] = line["top1_accuracy"]
    for belief, (task, scores) in product(BELIEFS, tasks.items()):
        better, other = scores.get(belief.better, {}), scores.get(belief.other, {})
        seeds = sorted(better.keys() & other.keys())
        if not seeds:
            continue
        gains = [better[seed] - other[seed] for seed in seeds]
        spread = f" ± {stdev(gains):.2f}" if len(gains) > 1 else ""
        means = [f"{mean(kind[seed] for seed in seeds):.2f}" for kind in (better, other)]
        difference = f"{mean(gains):+.2f}{spread}"
        cells = (belief.claim, belief.where, *task, *means, difference, len(seeds))
        rows.append(tuple(map(str, cells)))
    return lined(rows)


def lined(rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def same(key: dict[str, Any], line: dict[str, Any]) -> bool:
    return key.items() <= line.items() and key.get("per_class") == line.get("per_class")


def read(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


TABLES = {"table": table, "beliefs": beliefs}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    train = verbs.add_parser("run")
    train.add_argument("data")
    train.add_argument("names", nargs="+", choices=SETTINGS, metavar="NAME")
    train.add_argument("--seeds", default="0")
    train.add_argument("--size", type=int, default=128)
    train.add_argument("--epochs", type=int, default=5)
    train.add_argument("--threads", type=int, default=torch.get_num_threads())
    train.add_argument("--per-class", type=int, default=0, metavar="N")
    train.add_argument("--others", action="store_true", help="other averages and centre views too")
    train.add_argument("--out", type=Path, required=True)
    for verb in TABLES:
        verbs.add_parser(verb).add_argument("out", type=Path)
    arguments = parser.parse_args()
    if arguments.verb in TABLES:
        print(TABLES[arguments.verb](read(arguments.out)))
        return
    torch.set_num_threads(arguments.threads)
    keep_decoded()
    data = held_out(load_data(arguments.data))
    if arguments.per_class:
        data = cut(data, arguments.per_class)
    task = Task(data, arguments.size, arguments.epochs, arguments.others)
    for name in arguments.names:
        for seed in map(int, arguments.seeds.split(",")):
            key = {"setting": name, "seed": seed, "size": task.size, "epochs": task.epochs}
            if arguments.per_class:
                key["per_class"] = arguments.per_class
            if any(same(key, line) for line in read(arguments.out)):
                continue
            print(name, seed, flush=True)
            np.random.seed(0)
            line = key | run(SETTINGS[name], task, seed) | ComputeDevice.detect().describe()
            with arguments.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
