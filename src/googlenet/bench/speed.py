"""`googlenet bench training` and `googlenet bench inference`: from options to the value printed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from googlenet import process
from googlenet.bench import inference, training
from googlenet.bench.contest import UNITS, alternate, ceilings, rows
from googlenet.machine import Machine
from googlenet.native.build import library


def measure(
    kind: str,
    *,
    size: int,
    batch: int,
    threads: int,
    repetitions: int,
    clock: str = "wall",
    peers: Path | None = None,
    compiled: bool = False,
    progress: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Every contestant of a kind, in turn: what the command prints with `--json`."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    machine = Machine.here("auto")
    options = (size, batch, machine.bf16, peers)
    if kind == "training":
        found, skipped = training.contestants(*options)
    else:
        found, skipped = inference.contestants(*options, compiled=compiled)
    ceiling = ceilings({each.dtype for each in found.values()}, clock)
    speeds = alternate(found, batch, repetitions, clock, progress)
    return {
        "kind": kind,
        "unit": UNITS[clock],
        "date": datetime.now(UTC).date().isoformat(),
        "settings": {
            "size": size,
            "batch": batch,
            "threads": threads,
            "repetitions": repetitions,
            "clock": clock,
            "allocator": "tuned" if "allocator" in process.TUNED else "stock",
            "kernels": library() is not None,
        },
        "machine": machine.describe(),
        "ceiling": {name: round(value, 2) for name, value in ceiling.items()},
        "results": rows(found, speeds, ceiling, training.BASE if training.BASE in found else None),
        "skipped": skipped,
    }
