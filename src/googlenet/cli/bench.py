"""measure speed side by side with what one would use instead"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from googlenet.cli.options import add_json, positive

KINDS = ("input",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("kind", metavar="KIND", choices=KINDS, help="input: photos to crops for training")
    add("--data", metavar="DATA", help="photos to measure with (default: patterns made up here)")
    add("--photos", type=positive, default=48, metavar="N", help="how many (default: 48)")
    add("--size", type=positive, default=224, help="side of the crops in pixels (default: 224)")
    add("--repeats", type=positive, default=7, metavar="N", help="(default: 7)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.bench.input import made_up, measure, some
    from googlenet.console import Console
    from googlenet.data.load import load_data
    from googlenet.machine import Machine

    console = Console(sys.stderr if args.json else sys.stdout)
    samples = some(load_data(args.data).all, args.photos) if args.data else made_up(args.photos)
    with console.bar(0, "bench") as bar:
        found = measure(samples, args.size, args.repeats, bar.update)
    found |= {"data": args.data or "made up", "machine": Machine.here("fp32").describe()}
    if args.json:
        print(json.dumps(found))
    else:
        console.say(report(found))
    return 0


def report(found: dict[str, Any]) -> str:
    """The value as a table for a reader."""
    lines = [
        f"{found['photos']} photos ({found['data']}), crops of {found['size']} pixels, "
        f"{found['repeats']} repetitions, {found['machine']['device']}",
        f"{found['unit']:<44} {'median':>8} {'low':>8} {'high':>8} {'ratio':>6} {'ceiling':>8}",
    ]
    for row in found["results"]:
        lines.append(
            f"{row['name']:<44} {row['median']:>8.0f} {row['low']:>8.0f} {row['high']:>8.0f} "
            f"{row['ratio']:>5.2f}x {100 * row['of_ceiling']:>6.0f} %"
        )
    lines += [f"ceiling: {name} {value:.4g}" for name, value in found["ceiling"].items()]
    return "\n".join(lines)
