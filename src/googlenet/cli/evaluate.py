"""top-1 and top-5 error of models and their ensemble, with 1, 10 and 144 views a photo"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from googlenet.cli.options import (
    MODEL,
    add_engine,
    add_json,
    add_workers,
    use_threads,
    view_list,
)

if TYPE_CHECKING:
    from googlenet.classifier import Classifier
    from googlenet.console import Console
    from googlenet.data.dataset import DataSet, Samples


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("models", metavar="MODEL", nargs="+", help=f"each {MODEL}")
    add("--data", required=True, metavar="DATA", help="a folder, a CSV file or digits")
    add("--views", type=view_list, default=(1,), help="1, 10, 144 or several: 1,10,144")
    add(
        "--split",
        choices=("train", "val", "all"),
        help="part of the data (default: val if it has one or trained the model, else all)",
    )
    add("--mode", help="crop, squash or letterbox, instead of the models' own")
    add("--restrict", action="store_true", help="allow only the data's classes as answers")
    add("--precision", default="fp32", help="fp32 (default), bf16 or auto")
    add_engine(parser)
    add_workers(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.classifier import Classifier
    from googlenet.console import Console
    from googlenet.data.load import choose_split, load_data
    from googlenet.evaluation.accuracy import require_same_classes
    from googlenet.evaluation.grid import grid, protocol, protocol_name
    from googlenet.machine import Machine

    machine = Machine.here(args.precision)
    use_threads(args)
    classifiers = [Classifier.load(path, machine, args.engine) for path in args.models]
    require_same_classes(classifiers, args.models)
    if args.mode:
        for classifier in classifiers:
            classifier.preprocessing = replace(classifier.preprocessing, mode=args.mode)
    first = classifiers[0]
    data = load_data(args.data, split_seed(first), first.classes)
    part = args.split or default_split(data, first)
    samples = choose_split(data, part)
    console = Console(sys.stderr if args.json else sys.stdout)
    console.say(f"{data.name}: {len(samples)} photos ({PARTS[part]}), {len(first.classes)} classes")
    for views in args.views:
        name = protocol_name(views, first.preprocessing)
        console.say(f"protocol {name}: {protocol(views, first.preprocessing)}")
    answers = sorted(set(samples.labels)) if args.restrict else None
    say_what_answers_count(console, len(first.classes), samples, args.restrict)
    if part != "all" and not data.divided:
        warn_of_other_splits(console, classifiers)
    rows = grid(classifiers, args.models, samples, args.views, args.workers, console.bar, answers)
    for error in rows[0].bad.values():
        console.say(f"left out: {error}")
    if args.json:
        print(
            json.dumps({"data": data.name, "split": part, "results": [r.to_json() for r in rows]})
        )
    else:
        console.say(table([row.to_json() for row in rows]))
    return 0


def split_seed(classifier: Classifier) -> int:
    """The seed by which the model's own photos were divided, if it was trained by us."""
    seed = classifier.provenance.get("seed")
    return seed if isinstance(seed, int) and seed >= 0 else 0


def warn_of_other_splits(console: Console, classifiers: list[Classifier]) -> None:
    """Say it where some of the models have learnt from photos that others held out."""
    seeds = sorted({split_seed(classifier) for classifier in classifiers})
    if len(seeds) > 1:
        console.say(
            f"warning: the models held out different photos, by seeds {', '.join(map(str, seeds))}:"
            " some of them have learnt from photos that count here"
        )


def say_what_answers_count(
    console: Console, classes: int, samples: Samples, restricted: bool
) -> None:
    """Where the data has fewer classes than the model, whether the others count as answers."""
    present = len(set(samples.labels))
    if present == classes:
        return
    says = "are restricted to those" if restricted else "may be any (--restrict allows only those)"
    console.say(f"the data has {present} of the model's {classes} classes; answers {says}")


PARTS = {"train": "training part", "val": "validation part", "all": "all of them"}


def default_split(data: DataSet, classifier: Classifier) -> str:
    """The validation part where there is one, or where the model was trained on this data.

    A folder of classes that the model has not seen is a test set: all of it counts.
    """
    same = classifier.provenance.get("data_fingerprint") == data.fingerprint()
    return "val" if data.divided or same else "all"


def table(rows: list[dict[str, Any]]) -> str:
    """The paper's grid: a line for each model and number of views, then the ensemble's."""
    lines = [
        f"{'models':<40} {'protocol':>9} {'top-1 error':>12} {'top-5 error':>12} {'images':>8}"
    ]
    for row in rows:
        name = row["names"][0] if row["models"] == 1 else f"ensemble of {row['models']}"
        lines.append(
            f"{name[-40:]:<40} {row['protocol']:>9} {row['top1_error']:>10.2f} % "
            f"{row['top5_error']:>10.2f} % {row['images']:>8}"
        )
    return "\n".join(lines)
