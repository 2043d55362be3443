"""`googlenet explain --check`: are the explanations right?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from googlenet.cli.columns import aligned
from googlenet.cli.options import INTERRUPTED, SPLITS
from googlenet.runtime.errors import UsageError

if TYPE_CHECKING:
    from googlenet.data.dataset import Samples
    from googlenet.insight.check import Figure
    from googlenet.insight.explain import Explainer
    from googlenet.runtime.console import Console

# The table's columns: their metric, its factor, its format.
COLUMNS: dict[str, tuple[str, int, str]] = {
    "insertion": ("insertion", 1, ".3f"),
    "deletion": ("deletion", 1, ".3f"),
    "randomization": ("randomization", 1, ".2f"),
    "pointing %": ("pointing", 100, ".1f"),
    "box right %": ("localization", 100, ".1f"),
    "top-1 error %": ("top1_localization_error", 100, ".1f"),
    "top-5 error %": ("top5_localization_error", 100, ".1f"),
}
LEGEND = (
    "insertion: area under the probability as the image appears, higher is better; deletion: as "
    "it is covered, lower is better; randomization: rank correlation with the maps of a network "
    "of shuffled weights, near 0 is better; pointing: the highest place is in a box; box right: "
    "IoU of 0.5 or more, the class given; errors: of the class and its box.  In brackets: 95 % "
    "confidence intervals (bootstrap over images)."
)


def run_check(explainer: Explainer, args: argparse.Namespace, console: Console) -> int:
    from googlenet.data.boxes import load_boxes
    from googlenet.insight.check import Check

    boxes = load_boxes(args.boxes) if args.boxes else {}
    samples, split = samples_of(explainer, args, console)
    check = Check(explainer, args.method, boxes, args.images)
    with console.interruptible(), console.bar(len(samples), "check", unit=" images") as bar:
        for _ in check.run(samples, lambda: console.interrupted):
            bar.update()
    console.say_all(f"skipped: {error}" for error in check.unreadable)
    figures = check.figures()
    if args.json:
        results = [{"method": name, **row(found)} for name, found in figures.items()]
        print(json.dumps({"data": args.data, "split": split, "results": results}))
    else:
        console.say_all([*table(figures), "", LEGEND])
    if console.interrupted:
        return INTERRUPTED
    return 0 if figures else 1


def samples_of(
    explainer: Explainer, args: argparse.Namespace, console: Console
) -> tuple[Samples, str]:
    """The images to check on, held out of training as in `evaluate`, and their split."""
    from googlenet.data.load_data import load_data, require_images
    from googlenet.inference.held_out import choose_held_out, default_split

    header = explainer.classifier.header
    if header.multilabel:
        raise UsageError("--check is for single-label models, this model is multilabel")
    data = load_data(args.data, header.split_seed, header.classes, False, header.split_rule)
    require_images(Path(args.data), data)
    split = args.split or default_split(data, header)
    samples, learned = choose_held_out(data, [header], split, whole=bool(args.split))
    console.say(f"{data.name}: {len(samples):,} images ({SPLITS[split]})")
    console.say_all([*data.account.lines(), *learned])
    return samples, split


def row(found: Mapping[str, Figure]) -> dict[str, Any]:
    return {
        metric: {"value": each.value, "interval": list(each.interval), "images": each.images}
        for metric, each in found.items()
    }


def table(figures: Mapping[str, Mapping[str, Figure]]) -> list[str]:
    """Lines with a row per method; a column without values is left out."""
    shown = {
        title: column
        for title, column in COLUMNS.items()
        if any(column[0] in found for found in figures.values())
    }
    lines = [["method", *shown]]
    for name, found in figures.items():
        lines.append([name, *(cell(found.get(m), factor, f) for m, factor, f in shown.values())])
    return aligned(lines)


def cell(figure: Figure | None, factor: float, form: str) -> str:
    if figure is None:
        return "–"
    low, high = (format(factor * each, form) for each in figure.interval)
    return f"{format(factor * figure.value, form)} ({low}–{high})"
