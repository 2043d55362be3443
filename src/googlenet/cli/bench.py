"""measure speed side by side with what one would use instead"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from googlenet.cli.options import add_json, positive
from googlenet.errors import UsageError

if TYPE_CHECKING:
    from googlenet.console import Console

KINDS = ("input", "training", "inference")
ALLOCATORS, CLOCKS = ("tuned", "stock"), ("wall", "cpu")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    kinds = "input: photos to crops for training; training: steps; inference: photos to logits"
    add("kind", metavar="KIND", choices=KINDS, help=kinds)
    add("--data", metavar="DATA", help="input: photos (default: patterns made up here)")
    add("--photos", type=positive, metavar="N", help="input: how many (default: 48)")
    add("--size", type=positive, default=224, help="side of the crops in pixels (default: 224)")
    add("--batch", type=positive, metavar="N", help="photos a step (default: 32)")
    add("--threads", type=positive, metavar="N", help="threads of each side (default: PyTorch's)")
    repeats = ("--repeats", "--repetitions")
    add(*repeats, type=positive, default=7, metavar="N", help="of each in turn (default: 7)")
    clock = "what counts: the clock on the wall, or the processor's time (default: wall)"
    add("--clock", choices=CLOCKS, help=clock)
    allocator = "memory, for both sides: kept, as in all our commands, or as the system comes"
    add("--allocator", choices=ALLOCATORS, default="tuned", help=f"{allocator} (default: tuned)")
    add("--peers", type=Path, metavar="DIR", help="where torchvision is, if not installed here")
    add("--compile", action="store_true", help="inference: also with torch.compile, both sides")
    add("--out", type=Path, metavar="FILE", help="write the JSON value to a file too")
    add_json(parser)


# Options that belong to some kinds only.
OF_INPUT = ("data", "photos")
OF_NETWORKS = ("batch", "threads", "clock", "peers", "compile")


def run(args: argparse.Namespace) -> int:
    from googlenet.console import Console
    from googlenet.files import write_text

    given = OF_NETWORKS if args.kind == "input" else OF_INPUT
    strangers = [name for name in given if getattr(args, name)]
    if args.compile and args.kind == "training":
        strangers.append("compile")
    if strangers:
        raise UsageError(f"--{strangers[0]} must be left out of bench {args.kind}")
    console = Console(sys.stderr if args.json else sys.stdout)
    found = of_input(args, console) if args.kind == "input" else of_networks(args, console)
    if args.out:
        write_text(args.out, json.dumps(found, indent=1) + "\n")
    if args.json:
        print(json.dumps(found))
    else:
        console.say(report(found))
    return 0


def of_input(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from googlenet.bench.input import made_up, measure, some
    from googlenet.data.load import load_data
    from googlenet.machine import Machine

    count = args.photos or 48
    samples = some(load_data(args.data).all, count) if args.data else made_up(count)
    with console.bar(0, "bench") as bar:
        found = measure(samples, args.size, args.repeats, bar.update)
    return found | {"data": args.data or "made up", "machine": Machine.here("fp32").describe()}


def of_networks(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    import torch

    from googlenet.bench.speed import measure
    from googlenet.table import final_side, variant

    final_side(variant("bn"), args.size)  # refuses a size that leaves no pixel
    with console.bar(0, "bench") as bar:
        return measure(
            args.kind,
            size=args.size,
            batch=args.batch or 32,
            threads=args.threads or torch.get_num_threads(),
            repetitions=args.repeats,
            clock=args.clock or "wall",
            peers=args.peers,
            compiled=args.compile,
            progress=bar.update,
        )


def report(found: dict[str, Any]) -> str:
    """The value as a table for a reader."""
    lines = [
        heading(found),
        f"{found['unit']:<44} {'median':>8} {'low':>8} {'high':>8} {'ratio':>6} {'ceiling':>8}",
    ]
    for row in found["results"]:
        ratio = "–" if row["ratio"] is None else f"{row['ratio']:.2f}x"
        lines.append(
            f"{row['name']:<44} {row['median']:>8.4g} {row['low']:>8.4g} {row['high']:>8.4g} "
            f"{ratio:>6} {100 * row['of_ceiling']:>6.0f} %"
        )
    lines += [f"ceiling: {name} {value:.4g}" for name, value in found["ceiling"].items()]
    lines += [f"skipped: {name}: {why}" for name, why in found.get("skipped", {}).items()]
    return "\n".join(lines)


def heading(found: dict[str, Any]) -> str:
    device = found["machine"]["device"]
    if found["kind"] == "input":
        return (
            f"{found['photos']} photos ({found['data']}), crops of {found['size']} pixels, "
            f"{found['repeats']} repetitions, {device}"
        )
    is_set = found["settings"]
    return (
        f"{found['kind']}, batches of {is_set['batch']} photos of {is_set['size']} pixels, threads "
        f"{is_set['threads']}, {is_set['repetitions']} repetitions in turn, allocator "
        f"{is_set['allocator']}, kernels {'built' if is_set['kernels'] else 'none'}, {device}"
    )
