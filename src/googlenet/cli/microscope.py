"""make a static site that shows every unit, class and image of a model"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from googlenet.cli.options import DATA, INTERRUPTED, WEIGHTS, add_json, duration, natural, positive

if TYPE_CHECKING:
    from googlenet.insight.microscope.build import Result
    from googlenet.insight.microscope.plan import Plan
    from googlenet.runtime.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=WEIGHTS)
    add("--data", required=True, metavar="DATA", help=f"{DATA}; or a folder of unlabeled images")
    add("--out", required=True, metavar="SITE", type=Path, help="the folder to write, or to resume")
    add("--layers", metavar="LAYERS", type=names, default=(),
        help="layers to show, such as 4a,4b (default: all Inception modules)")  # fmt: skip
    add("--units", metavar="N", type=positive, help="the first N units per layer (default: all)")
    add("--images", metavar="N", type=positive, default=1000,
        help="images to show, drawn at random from more (default: 1000)")  # fmt: skip
    add("--atlas", metavar="LAYERS", type=names, default=(),
        help="layers of --layers that get an activation atlas, such as 4c,5b")  # fmt: skip
    add("--steps", metavar="N", type=natural, default=48,
        help="optimization steps per visualization; 0 leaves them out (default: 48)")  # fmt: skip
    add("--time-limit", metavar="TIME", type=duration,
        help="stop after it (90s, 30m, 1.5h); the same command resumes")  # fmt: skip
    add("--processes", metavar="N", type=positive, default=os.cpu_count() or 1,
        help="processes, of one thread each (default: all cores)")  # fmt: skip
    add_json(parser)


def names(text: str) -> tuple[str, ...]:
    """Layers, separated by commas."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def run(args: argparse.Namespace) -> int:
    from googlenet.insight.microscope.atlas import require_scikit_learn
    from googlenet.insight.microscope.build import Deadline, Progress, build
    from googlenet.insight.microscope.plan import Settings, make_plan
    from googlenet.insight.microscope.samples import load_images
    from googlenet.load import load_classifier, require_weights
    from googlenet.runtime.console import Console

    if args.atlas:
        require_scikit_learn()
    deadline = Deadline(args.time_limit)
    require_weights(args.model, "MODEL")
    classifier = load_classifier(args.model)
    console = Console(sys.stderr if args.json else sys.stdout)
    images = load_images(args.data, classifier.header)
    console.say_all([*images.account, *filter(None, [images.note])])
    settings = Settings(args.layers, args.units, args.images, args.atlas, args.steps)
    plan = make_plan(classifier, images.samples, not images.note, settings, args.out)
    with console.interruptible(), console.bar(0, "microscope", unit="") as bar:
        report = Report(console, bar)
        result = build(
            plan,
            args.processes,
            lambda: console.interrupted or deadline(),
            Progress(report.begin, report.advance),
        )
    for error in result.unreadable.values():
        console.say(f"skipped: {error}")
    console.say(describe(result, args.out))
    if args.json:
        print(json.dumps(to_json(plan, result)))
    return INTERRUPTED if console.interrupted else 0


class Report:
    """What is done of all work, and how long the rest will take: a bar, or lines where none is.

    bar: it shows the same on a terminal.  Work is in CPU-seconds, about.
    """

    def __init__(
        self, console: Console, bar: Any, clock: Callable[[], float] = perf_counter
    ) -> None:
        self.console, self.bar, self.clock = console, bar, clock
        self.total = self.done = self.resumed = 0.0

    def begin(self, total: float, done: float) -> None:
        self.total, self.done, self.resumed, self.began = total, done, done, self.clock()
        self.bar.reset(round(total))
        self.bar.update(done)

    def advance(self, cost: float) -> None:
        before, self.done = int(10 * self.done / self.total), self.done + cost
        self.bar.update(cost)
        tenths = int(10 * self.done / self.total)
        if before < tenths < 10 and self.bar.disable:
            pace = (self.clock() - self.began) / (self.done - self.resumed)
            left = format_duration(pace * (self.total - self.done))
            self.console.say(f"{10 * tenths} % done, about {left} left")


def format_duration(seconds: float) -> str:
    """As --time-limit takes it: 90s, 30m, 2.5h."""
    if seconds < 120:
        return f"{seconds:.0f}s"
    return f"{seconds / 60:.0f}m" if seconds < 7200 else f"{seconds / 3600:.1f}h"


def describe(result: Result, site: Path) -> str:
    """The line for a reader."""
    size = f"{result.bytes / 1e6:.1f} MB"
    if result.complete:
        return f"open {site / 'index.html'} ({size})"
    return (
        f"{result.done:,} of {result.chunks:,} parts are made ({size}); "
        f"resume with the same command, or look: {site / 'index.html'}"
    )


def to_json(plan: Plan, result: Result) -> dict[str, object]:
    return {
        "site": str(plan.folder),
        "layers": [layer.name for layer in plan.layers],
        "units": plan.units,
        "bytes": result.bytes,
        "images": len(plan.names) - len(result.unreadable),
        "unreadable": len(result.unreadable),
        "complete": result.complete,
    }
