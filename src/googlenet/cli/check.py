"""find what is wrong with a data set: unreadable, odd, duplicate, leaking, unbalanced photos"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet.cli.options import add_json, add_workers

if TYPE_CHECKING:
    from googlenet.checks.check import Check
    from googlenet.checks.problems import Problem
    from googlenet.runtime.console import Console

NAMED = 3  # problems of a kind that the terminal shows; --all shows every one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", metavar="DATA", help="a folder, a CSV file, or the built-in set digits")
    add("--all", action="store_true", help=f"name every problem, not {NAMED} of each kind")
    add("--out", metavar="FILE", type=Path, help="write every problem to a .csv file")
    add("--strict", action="store_true", help="exit with 1 if there is any problem")
    add("--seed", type=int, default=0, help="of the split, where the data has none (default: 0)")
    add_workers(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.checks.check import check_data
    from googlenet.runtime.console import Console
    from googlenet.runtime.errors import UsageError

    if args.out and args.out.suffix != ".csv":
        raise UsageError(f"--out must end in .csv, got {args.out}")
    if args.seed < 0:
        raise UsageError(f"--seed must be 0 or more, got {args.seed}")
    console = Console(sys.stderr if args.json else sys.stdout)
    found = check_data(args.data, args.seed, args.workers, console.bar)
    if args.out:
        write(args.out, found.problems)
    if args.json:
        print(json.dumps(found.to_json()))
    else:
        show(console, found, args.data, sys.maxsize if args.all else NAMED)
    return 1 if args.strict and found.problems else 0


def show(console: Console, found: Check, data: str, named: int) -> None:
    """The summary: a line a kind with what it means, and its first problems below."""
    from googlenet.checks.problems import KINDS
    from googlenet.runtime.errors import printable

    split = "" if found.has_split else " (held out by the seed)"
    console.say(
        f"{found.name}: {found.images} photos, {found.classes} classes, "
        f"{found.parts['train']} to train on, {found.parts['val']} to validate on{split}"
    )
    for kind, count in found.counts().items():
        console.say(f"{kind:<18} {count:>6}  {KINDS[kind]}")
        of_kind = [problem for problem in found.problems if problem.kind == kind]
        for path, _, detail in of_kind[:named]:
            console.say(f"    {printable(inside(path, data))}: {detail}")
        if count > named:
            console.say(f"    … and {count - named} more")
    console.say(f"{len(found.problems)} problems" if found.problems else "no problems")


def inside(path: str, data: str) -> str:
    """A path as one who stands in the data folder calls it."""
    root = Path(data)
    try:
        return str(Path(path).relative_to(root)) if path != data else path
    except ValueError:
        return path


def write(path: Path, problems: list[Problem]) -> None:
    """Columns path, kind, detail; what is no text in a path is escaped, as by `predict`."""
    from googlenet.runtime.files import write_text

    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("path", "kind", "detail"))
    writer.writerows(problems)
    write_text(path, table.getvalue().encode(errors="backslashreplace").decode())
