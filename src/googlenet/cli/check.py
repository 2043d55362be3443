"""find problems in a dataset: unreadable, duplicate or leaking images, class imbalance, …"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet.cli.options import DATA, add_json, add_workers

if TYPE_CHECKING:
    from googlenet.checks.check import Check
    from googlenet.checks.problems import Problem
    from googlenet.checks.scan import Scan
    from googlenet.runtime.console import Console

MAX_EXAMPLES = 3  # problems shown per kind, without --all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", metavar="DATA", help=DATA)
    add("--all", action="store_true", help=f"list every problem, not {MAX_EXAMPLES} of each kind")
    add("--out", metavar="FILE", type=Path, help="write every problem to a .csv file")
    add("--strict", action="store_true", help="exit with code 1 if there is any problem")
    seed = "random seed of the split, if the data has none (default: 0)"
    add("--seed", type=int, default=0, metavar="N", help=seed)
    add_workers(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.checks.check import check_data, check_scan
    from googlenet.detection.load_boxes import has_boxes
    from googlenet.runtime.console import Console
    from googlenet.runtime.errors import UsageError

    if args.out and args.out.suffix != ".csv":
        raise UsageError(f"--out must end in .csv, got {args.out}")
    if args.seed < 0:
        raise UsageError(f"--seed must be 0 or more, got {args.seed}")
    console = Console(sys.stderr if args.json else sys.stdout)
    if has_boxes(args.data):
        found = check_scan(scan_boxes(args.data, args.seed), args.workers, console.bar)
    else:
        found = check_data(args.data, args.seed, args.workers, console.bar)
    if args.out:
        write(args.out, found.problems)
    if args.json:
        print(json.dumps(found.to_json()))
    else:
        show(console, found, args.data, args.seed, sys.maxsize if args.all else MAX_EXAMPLES)
    return 1 if args.strict and found.problems else 0


def scan_boxes(name: str, seed: int) -> Scan:
    """Annotated images as what the check of a data set works on."""
    from googlenet.checks.problems import Problem
    from googlenet.checks.scan import Entry, Scan
    from googlenet.data.labels import join_labels
    from googlenet.detection.annotations import SPLITS
    from googlenet.detection.check_boxes import check_boxes

    data, notes = check_boxes(name, seed)
    classes = [c.id for c in data.classes]
    entries = [
        Entry(
            image.path,
            str(image.path),
            join_labels(classes[label] for label in sorted(set(image.truth.labels.tolist()))),
            split,
            multilabel=True,
        )
        for split in SPLITS
        for image in data.images(split)
    ]
    problems = [Problem(note.subject, note.kind, note.detail) for note in notes]
    return Scan(data.name, entries, classes, data.has_split, problems)


def show(console: Console, found: Check, data: str, seed: int, examples: int) -> None:
    """A summary: one line per kind, followed by its first problems."""
    from googlenet.checks.problems import KINDS
    from googlenet.runtime.errors import printable

    split = "" if found.has_split else f" (random split, seed {seed})"
    if "test" in found.parts:
        split += f", {found.parts['test']:,} test images"
    console.say(
        f"{found.name}: {found.images:,} images of {found.classes:,} classes, "
        f"{found.parts['train']:,} training / {found.parts['val']:,} validation{split}"
    )
    for kind, count in found.counts().items():
        console.say(f"{kind:<18} {count:>6,}  {KINDS[kind]}")
        of_kind = [problem for problem in found.problems if problem.kind == kind]
        for path, _, detail in of_kind[:examples]:
            console.say(f"    {printable(inside(path, data))}: {detail}")
        if count > examples:
            console.say(f"    … and {count - examples} more")
    console.say(f"{len(found.problems):,} problems" if found.problems else "no problems")


def inside(path: str, data: str) -> str:
    """The path relative to the data folder, if it is inside."""
    root = Path(data)
    try:
        return str(Path(path).relative_to(root)) if path != data else path
    except ValueError:
        return path


def write(path: Path, problems: list[Problem]) -> None:
    """Columns path, kind, detail; undecodable bytes in a path are escaped."""
    from googlenet.runtime.files import write_text

    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("path", "kind", "detail"))
    writer.writerows(problems)
    write_text(path, table.getvalue().encode(errors="backslashreplace").decode())
