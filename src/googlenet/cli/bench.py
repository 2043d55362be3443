"""measure speed side by side with what one would use instead"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from googlenet.cli.options import add_json, positive
from googlenet.runtime.errors import UsageError

KINDS = ("input", "training", "inference")
ALLOCATORS, CLOCKS, DEVICES = ("tuned", "stock"), ("wall", "cpu"), ("cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")
BATCHES = {"cpu": 32, "cuda": 256}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    kinds = "input: photos to crops for training; training: steps; inference: photos to logits"
    add("kind", metavar="KIND", choices=KINDS, help=kinds)
    data = "input: photos (default: patterns made up here); training: also with crops of these"
    add("--data", metavar="DATA", help=f"{data}, made on the device")
    add("--photos", type=positive, metavar="N", help="input: how many (default: 48)")
    add("--size", type=positive, default=224, help="side of the crops in pixels (default: 224)")
    add("--batch", type=positive, metavar="N", help="photos a step (default: 32; on a GPU 256)")
    add("--threads", type=positive, metavar="N", help="threads of each side (default: PyTorch's)")
    repeats = ("--repeats", "--repetitions")
    add(*repeats, type=positive, default=7, metavar="N", help="of each in turn (default: 7)")
    clock = "what counts: the clock on the wall, or the processor's time (default: wall)"
    add("--clock", choices=CLOCKS, help=clock)
    add("--device", choices=DEVICES, help="where to compute (default: a GPU if there is one)")
    precision = "bf16: both, also on a machine without; auto: both where it has it (default)"
    add("--precision", choices=PRECISIONS, help=precision)
    allocator = "memory, for both sides: kept, as in all our commands, or as the system comes"
    add("--allocator", choices=ALLOCATORS, default="tuned", help=f"{allocator} (default: tuned)")
    add("--peers", type=Path, metavar="DIR", help="where torchvision and timm are, if not here")
    add("--compile", action="store_true", help="networks: also with torch.compile, both sides")
    add("--out", type=Path, metavar="FILE", help="write the JSON value to a file too")
    add_json(parser)


# Options that do not belong to all kinds.
STRANGERS = {
    "input": ("batch", "threads", "clock", "device", "precision", "peers", "compile"),
    "training": ("photos",),
    "inference": ("photos", "data"),
}


def run(args: argparse.Namespace) -> int:
    from googlenet.runtime.files import write_text

    for name in STRANGERS[args.kind]:
        if getattr(args, name):
            raise UsageError(f"--{name} must be left out of bench {args.kind}")
    found = of_input(args) if args.kind == "input" else of_networks(args)
    if args.out:
        write_text(args.out, json.dumps(found, indent=1) + "\n")
    print(json.dumps(found) if args.json else report(found))
    return 0


@contextmanager
def progress() -> Iterator[Callable[[], object]]:
    """A count on the terminal, where the package that draws it is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda: None
        return
    terminal = sys.stderr.isatty()
    with tqdm(desc="bench", leave=False, disable=not terminal, file=sys.stderr) as bar:
        yield bar.update


def of_input(args: argparse.Namespace) -> dict[str, Any]:
    from googlenet.bench.input import made_up, measure, some
    from googlenet.data.load_data import load_data
    from googlenet.runtime.device import ComputeDevice
    from googlenet.runtime.process import allocator

    count = args.photos or 48
    samples = some(load_data(args.data).all, count) if args.data else made_up(count)
    with progress() as after_each:
        found = measure(samples, args.size, args.repeats, after_each)
    return found | {
        "date": datetime.now(UTC).date().isoformat(),
        "data": args.data or "made up",
        "settings": {"allocator": allocator(), "clock": "the working thread's time"},
        "machine": ComputeDevice.detect("fp32").describe(),
    }


def of_networks(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    from googlenet.bench.harness import Conditions
    from googlenet.bench.speed import dtypes, measure
    from googlenet.models.table import final_side, variant
    from googlenet.runtime.device import ComputeDevice

    final_side(variant("bn"), args.size)  # refuses a size that leaves no pixel
    precision = args.precision or "auto"
    machine = ComputeDevice(args.device or ComputeDevice.detect().device, precision)
    if machine.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device must be one that PyTorch finds here, got 'cuda'")
    if machine.device == "cuda" and args.clock == "cpu":
        raise UsageError("--clock must be wall on a GPU, got 'cpu'")
    given = Conditions(
        size=args.size,
        batch=args.batch or BATCHES[machine.device],
        dtypes=dtypes(precision, machine),
        device=machine.device,
        compiled=args.compile,
        peers=args.peers,
        data=args.data,
    )
    with progress() as after_each:
        return measure(
            args.kind,
            given,
            machine,
            threads=args.threads or torch.get_num_threads(),
            repetitions=args.repeats,
            clock=args.clock or "wall",
            progress=after_each,
        )


def report(found: dict[str, Any]) -> str:
    """The value as a table for a reader."""
    limited = any("limit" in row for row in found["results"])
    columns = f"{found['unit']:<46} {'median':>8} {'low':>8} {'high':>8} {'ratio':>6}"
    lines = [heading(found)]
    lines += [f"ceiling: {name} {value:.4g}" for name, value in found["ceiling"].items()]
    lines.append(f"{columns} {'limit':>8} {'of it':>6}" if limited else f"{columns} {'ceiling':>8}")
    for row in found["results"]:
        ratio = "–" if row["ratio"] is None else f"{row['ratio']:.2f}x"
        limit = f"{row['limit']:>8.4g} " if limited else "  "
        lines.append(
            f"{row['name']:<46} {row['median']:>8.4g} {row['low']:>8.4g} {row['high']:>8.4g} "
            f"{ratio:>6} {limit}{100 * row['of_ceiling']:>4.0f} %"
        )
    if limited:
        lines.append(
            f"ratio: to {found['base']}; limit: images/s if the multiply-adds took no longer than "
            "in the matrix product"
        )
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
