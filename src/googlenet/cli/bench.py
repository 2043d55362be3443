"""measure speed against the alternatives, interleaved in one run"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from googlenet.cli.columns import aligned
from googlenet.cli.options import add_json, add_renamed, add_threads, positive
from googlenet.runtime.device import PRECISIONS
from googlenet.runtime.errors import UsageError

KINDS = ("input", "training", "inference", "sparse")
ALLOCATORS, CLOCKS, DEVICES = ("tuned", "stock"), ("wall", "cpu"), ("cpu", "cuda")
BATCHES = {"cpu": 32, "cuda": 256}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    kinds = (
        "input: from JPEGs to training crops; training: whole training steps; "
        "inference: from image tensors to logits; sparse: pruned filters of two layers"
    )
    add("kind", metavar="KIND", choices=KINDS, help=kinds)
    data = (
        "input: images to read (default: synthetic ones); "
        "training: also measure training on crops of these, made on the device"
    )
    add("--data", metavar="DATA", help=data)
    images = "input: number of images (default: 48)"
    add("--images", type=positive, metavar="N", help=images)
    add("--size", type=positive, default=224, metavar="PIXELS", help="crop size (default: 224)")
    add("--batch", type=positive, metavar="N", help="batch size (default: 32, on a GPU 256)")
    add_threads(parser)
    repeats = "repetitions per candidate (default: 7)"
    add("--repeats", type=positive, default=7, metavar="N", help=repeats)
    add("--clock", choices=CLOCKS, help="measure wall time (default) or CPU time")
    add("--device", choices=DEVICES, help="where to compute (default: the GPU if there is one)")
    precision = "auto: fp32, and bf16 if the hardware has it (default); bf16: both in any case"
    add("--precision", choices=PRECISIONS, help=precision)
    allocator = (
        "memory allocation of all candidates: tuned, as in every googlenet command (default), "
        "or stock, the system's own"
    )
    add("--allocator", choices=ALLOCATORS, default="tuned", help=allocator)
    peers = "folder where torchvision and timm are installed, if not beside googlenet"
    add("--peers", type=Path, metavar="DIR", help=peers)
    compiled = "training, inference: also measure all networks with torch.compile"
    add("--compile", action="store_true", help=compiled)
    add("--out", type=Path, metavar="FILE", help="also write the JSON value to a file")
    add_json(parser)
    add_renamed(parser, old="--photos", new="--images")
    add_renamed(parser, old="--repetitions", new="--repeats")


# Options that do not apply to every kind.
NOT_FOR = {
    "input": ("batch", "threads", "clock", "device", "precision", "peers", "compile"),
    "training": ("images",),
    "inference": ("images", "data"),
    "sparse": ("images", "data", "device", "precision", "peers", "compile"),
}


def run(args: argparse.Namespace) -> int:
    from googlenet.runtime.files import write_text

    for name in NOT_FOR[args.kind]:
        if getattr(args, name):
            raise UsageError(f"--{name} is not valid for bench {args.kind}")
    kinds = {"input": bench_input, "sparse": bench_sparse}
    found = kinds.get(args.kind, bench_networks)(args)
    if args.out:
        write_text(args.out, json.dumps(found, indent=1) + "\n")
    print(json.dumps(found) if args.json else report(found))
    return 0


@contextmanager
def progress() -> Iterator[Callable[[], object]]:
    """A progress bar on a terminal, if tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda: None
        return
    terminal = sys.stderr.isatty()
    with tqdm(desc="bench", leave=False, disable=not terminal, file=sys.stderr) as bar:
        yield bar.update


def bench_input(args: argparse.Namespace) -> dict[str, Any]:
    from googlenet.bench.input import measure, sample, synthetic
    from googlenet.data.load_data import load_data
    from googlenet.runtime.device import ComputeDevice
    from googlenet.runtime.process import allocator

    count = args.images or 48
    samples = sample(load_data(args.data).all, count) if args.data else synthetic(count)
    with progress() as after_each:
        found = measure(samples, args.size, args.repeats, after_each)
    return found | {
        "date": datetime.now(UTC).date().isoformat(),
        "data": args.data or "synthetic",
        "settings": {"allocator": allocator(), "clock": "thread CPU time"},
        "machine": ComputeDevice.detect("fp32").describe(),
    }


def bench_sparse(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    from googlenet.bench.sparse import measure

    with progress() as after_each:
        return measure(
            args.batch or BATCHES["cpu"],
            threads=args.threads or torch.get_num_threads(),
            repetitions=args.repeats,
            clock=args.clock or "wall",
            progress=after_each,
        )


def bench_networks(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    from googlenet.bench.harness import Conditions
    from googlenet.bench.speed import dtypes, measure
    from googlenet.models.sides import final_side
    from googlenet.models.table import variant
    from googlenet.runtime.device import ComputeDevice

    final_side(variant("bn"), args.size)  # raises UsageError for a size that is too small
    precision = args.precision or "auto"
    machine = ComputeDevice(args.device or ComputeDevice.detect().device, precision)
    if machine.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda needs a GPU, and PyTorch finds none")
    if machine.device == "cuda" and args.clock == "cpu":
        raise UsageError("--clock cpu is not valid on a GPU")
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
    """The results as a table of text."""
    if found["kind"] == "input":
        ceilings, note = ["of decoding"], "ratio: to Pillow's pipeline with the same output"
    else:
        ceilings = ["roofline", "of it"]
        note = (
            f"ratio: to {found['base']}; roofline: images/s with all multiply-adds at the matrix "
            "product's speed"
        )
    table = [[found["unit"], "median", "low", "high", "ratio", *ceilings]]
    for row in found["results"]:
        speeds = [f"{row[key]:.4g}" for key in ("median", "low", "high")]
        ratio = "–" if row["ratio"] is None else f"{row['ratio']:.2f}×"
        limit = [f"{row['limit']:.4g}"] if "limit" in row else []
        table.append([row["name"], *speeds, ratio, *limit, f"{row['of_ceiling']:.0%}"])
    lines = [heading(found)]
    lines += [f"roofline: {name} {value:.4g}" for name, value in found["ceiling"].items()]
    lines += [*aligned(table), note]
    lines += [f"skipped: {name}: {why}" for name, why in found.get("skipped", {}).items()]
    return "\n".join(lines)


def heading(found: dict[str, Any]) -> str:
    device = found["machine"]["device"]
    if found["kind"] == "input":
        return (
            f"{found['photos']} images ({found['data']}), crop size {found['size']}, "
            f"{found['repeats']} interleaved repetitions, {device}"
        )
    used = found["settings"]
    return (
        f"{found['kind']}, batch size {used['batch']}, image size {used['size']}, "
        f"{used['threads']} threads, {used['repetitions']} interleaved repetitions, "
        f"{used['allocator']} allocator, native kernels {'on' if used['kernels'] else 'off'}, "
        f"{device}"
    )
