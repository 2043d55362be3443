"""What was tried for the recipe: settings by name, each trained and scored on held-out photos.

    python benchmarks/study.py run ../shared/data/imagenette2-160 NAME... [--seeds 0,1,2]
        [--size 128] [--epochs 5] [--threads 2] [--per-class N] --out docs/results/study.jsonl
    python benchmarks/study.py table docs/results/study.jsonl

A fifth of the training photos is held out, the same for every setting and seed; the validation
photos are never read.  With --per-class, only so many photos of each class are learnt from, a small
data set, and still all of that fifth are scored.  A line of the output is one run; runs that are
there are not repeated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter, process_time
from typing import Any

import numpy as np
import study_ideas as ideas
import torch
from torch import nn

from googlenet.classifier import Classifier
from googlenet.data import loader as loading
from googlenet.data.dataset import DataSet, Samples, split
from googlenet.data.load import load_data
from googlenet.evaluation.accuracy import score
from googlenet.images import decode as decoding
from googlenet.images.augment import Augmentation
from googlenet.images.preprocess import Preprocessing, margin
from googlenet.machine import Machine
from googlenet.networks import Network, build_network
from googlenet.training.loop import Trainer
from googlenet.training.recipes import MODERN, Recipe


@dataclass(frozen=True)
class Setting:
    """A change to `base`: fields of the recipe, the optimizer, the network."""

    idea: str
    recipe: dict[str, Any] = field(default_factory=dict)
    optimizer: Callable[[Network, Recipe], torch.optim.Optimizer] | None = None
    change: Callable[[Network], None] = lambda network: None


BASE: dict[str, Any] = {
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "batch": 64,
    "nesterov": True,
    "weight_decay": 5e-4,
    "warmup": 0.2,
    "label_smoothing": 0.1,
    "dropout": 0.0,
    "area": (0.35, 1.0),
    "heads": 0.3,
    "average": "ema",
    "average_decay": 0.998,
    "schedule": "cosine",
}
HALF = {"batch": 32, "learning_rate": 0.05, "average_decay": 0.999}
DOUBLE = {"batch": 128, "learning_rate": 0.2, "average_decay": 0.996}
QUARTER = {"batch": 16, "learning_rate": 0.025}
MUON: dict[str, Any] = {"optimizer": "muon", "turn": 0.025}

SETTINGS = {
    "base": Setting("SGD with Nesterov momentum, batch 64, cosine, both heads"),
    "batch-32": Setting("more steps, rate in proportion", HALF),
    "batch-32-rate": Setting("more steps, the same rate", HALF | {"learning_rate": 0.1}),
    "batch-16": Setting("a quarter of the batch, rate in proportion", QUARTER),
    "batch-8": Setting("an eighth", QUARTER | {"batch": 8, "learning_rate": 0.0125}),
    "heads-off": Setting("no auxiliary heads", {"heads": 0.0}),
    "muon-0.05": Setting("Muon: filters turn by 0.05 rad a step", MUON | {"turn": 0.05}),
    "muon": Setting("by 0.025", MUON),
    "muon-0.0125": Setting("by 0.0125", MUON | {"turn": 0.0125}),
    "muon-0.1": Setting("by 0.1", MUON | {"turn": 0.1}),
    "muon-3": Setting("three steps of its iteration for five", MUON, ideas.newton_schulz(3)),
    "muon-32": Setting("batch 32, by 0.018", MUON | HALF | {"turn": 0.018}),
    "muon-128": Setting("batch 128, by 0.035", MUON | DOUBLE | {"turn": 0.035}),
    "muon-rate": Setting("half the rate for all but filters", MUON | {"learning_rate": 0.05}),
    "muon-heads-off": Setting("no auxiliary heads", MUON | {"heads": 0.0}),
    "muon-silu": Setting("SiLU for ReLU", MUON, change=ideas.activation(nn.SiLU)),
    "muon-blur": Setting("smoothed pooling", MUON, change=ideas.blurred),
    "muon-fine-5": Setting("no pool before 5a", MUON, change=ideas.without_pool("pool4")),
    "muon-fine-4": Setting("no pool before 4a", MUON, change=ideas.without_pool("pool3")),
    "muon-crop-20": Setting("crops of 20–100 %", MUON | {"area": (0.2, 1.0)}),
    "muon-warmup": Setting("a warm-up of 5 %", MUON | {"warmup": 0.05}),
    "muon-linear": Setting("falling linearly", MUON | {"schedule": "linear"}),
    "silu": Setting("SiLU for ReLU", change=ideas.activation(nn.SiLU)),
    "mish": Setting("Mish for ReLU", change=ideas.activation(nn.Mish)),
    "blur": Setting("smoothed pooling", change=ideas.blurred),
    "fine-5": Setting("no pool before 5a", change=ideas.without_pool("pool4")),
    "fine-4": Setting("no pool before 4a", change=ideas.without_pool("pool3")),
    "fine-3": Setting("no pool before 3a", change=ideas.without_pool("pool2")),
    "fine-2": Setting("no pool after conv1", change=ideas.without_pool("pool1")),
    "crop-20": Setting("crops of 20–100 %", {"area": (0.2, 1.0)}),
    "crop-50": Setting("crops of 50–100 %", {"area": (0.5, 1.0)}),
    "decay-2": Setting("twice the weight decay", {"weight_decay": 1e-3}),
}


@dataclass(frozen=True)
class Task:
    """What every setting is given."""

    data: DataSet
    size: int
    epochs: int


def run(setting: Setting, task: Task, seed: int) -> dict[str, float]:
    """Train from scratch; the accuracy of the averaged weights on the held-out photos."""
    recipe = MODERN.with_settings(BASE | setting.recipe | {"epochs": task.epochs})
    preprocessing = Preprocessing(size=task.size, resize=margin(task.size))
    network = build_network(
        recipe.variant,
        len(task.data.classes),
        size=task.size,
        heads=recipe.heads > 0,
        initialisation=recipe.initialisation,
        generator=torch.Generator().manual_seed(seed),
    )
    network.dropout.p = recipe.dropout
    setting.change(network)
    steps = recipe.augmentation(preprocessing)
    loader = loading.TrainingLoader(task.data.train, preprocessing, Augmentation(steps, seed))
    machine = Machine.here()
    trainer = Trainer(network, recipe, loader, seed=seed, machine=machine, workers=1)
    if setting.optimizer is not None:
        trainer.optimizer = setting.optimizer(network, recipe)
    wall, cpu = perf_counter(), process_time()
    while not trainer.finished:
        row = trainer.train_epoch(lambda: None)
        passed = perf_counter() - wall
        print(f"  {trainer.epoch}: {row['loss_main']:.3f} {passed:.0f} s", flush=True)
    seconds, cpu_seconds = perf_counter() - wall, process_time() - cpu
    classifier = Classifier(
        trainer.model(), task.data.classes, preprocessing, recipe.variant, machine=machine
    )
    found = score(classifier, task.data.val, workers=1)
    return {
        "top1_accuracy": 100 - found.error(1),
        "train_loss": row["loss_main"],
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
    }


def keep_decoded() -> None:
    """Decode each photo once for all runs of this process: a gigabyte for Imagenette at 160 px."""
    photos: dict[Any, Any] = {}
    original = decoding.decode

    def decode(source: Any) -> Any:
        if not isinstance(source, Path):
            return original(source)
        if source not in photos:
            photos[source] = original(source)
        return photos[source]

    loading.decode = decode


def held_out(data: DataSet) -> DataSet:
    """The training photos alone, a fifth of each class held out, whatever the seed of the run."""
    parts = DataSet(data.name, data.classes, data.train, Samples())
    return split(parts, seed=0)


def cut(data: DataSet, count: int) -> DataSet:
    """The first `count` training photos of each class, the same for every setting and seed."""
    labels = np.array(data.train.labels)
    chosen = [i for c in range(len(data.classes)) for i in np.flatnonzero(labels == c)[:count]]
    return DataSet(data.name, data.classes, data.train.take([int(i) for i in chosen]), data.val)


def table(lines: Sequence[dict[str, Any]]) -> str:
    """A row a setting: the mean and spread over seeds, the last epoch's training loss."""
    rows = [
        "| setting | what it changes | photos a class | epochs | seeds | top-1 | spread | loss "
        "| CPU s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    kinds: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in lines:
        key = (line["setting"], line.get("per_class", "all"), line["epochs"])
        kinds.setdefault(key, []).append(line)
    for (name, photos, epochs), found in kinds.items():
        scores = [line["top1_accuracy"] for line in found]
        spread = f"{stdev(scores):.2f}" if len(scores) > 1 else "–"
        rows.append(
            f"| {name} | {SETTINGS[name].idea} | {photos} | {epochs} | {len(found)} "
            f"| {mean(scores):.2f} | {spread} | {mean(line['train_loss'] for line in found):.3f} "
            f"| {mean(line['cpu_seconds'] for line in found):.0f} |"
        )
    return "\n".join(rows)


def same(key: dict[str, Any], line: dict[str, Any]) -> bool:
    return key.items() <= line.items() and key.get("per_class") == line.get("per_class")


def read(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


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
    train.add_argument("--out", type=Path, required=True)
    verbs.add_parser("table").add_argument("out", type=Path)
    arguments = parser.parse_args()
    if arguments.verb == "table":
        print(table(read(arguments.out)))
        return
    torch.set_num_threads(arguments.threads)
    keep_decoded()
    data = held_out(load_data(arguments.data))
    if arguments.per_class:
        data = cut(data, arguments.per_class)
    task = Task(data, arguments.size, arguments.epochs)
    for name in arguments.names:
        for seed in map(int, arguments.seeds.split(",")):
            key = {"setting": name, "seed": seed, "size": task.size, "epochs": task.epochs}
            if arguments.per_class:
                key["per_class"] = arguments.per_class
            if any(same(key, line) for line in read(arguments.out)):
                continue
            print(name, seed, flush=True)
            np.random.seed(0)
            line = key | run(SETTINGS[name], task, seed) | Machine.here().describe()
            with arguments.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
