"""`googlenet bench training` and `googlenet bench inference`: from options to results."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import torch

from googlenet.bench import inference, training
from googlenet.bench.harness import UNITS, Conditions, interleave, result_rows, roofline
from googlenet.kernels.library import library
from googlenet.runtime import process
from googlenet.runtime.device import ComputeDevice


def measure(
    kind: str,
    given: Conditions,
    machine: ComputeDevice,
    *,
    threads: int,
    repetitions: int,
    clock: str = "wall",
    progress: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """The roofline, then all candidates of a kind, interleaved: what `--json` prints."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    device = given.device
    ceiling = roofline(given.dtypes, clock, device)
    candidates = training.candidates if kind == "training" else inference.candidates
    found, skipped, base = candidates(given)
    if torch.bfloat16 not in given.dtypes:
        skipped["bf16"] = "this machine emulates it (--precision bf16 measures it anyway)"
    speeds = interleave(found, given.batch, repetitions, clock, progress, device=device)
    return {
        "kind": kind,
        "unit": UNITS[clock],
        "date": datetime.now(UTC).date().isoformat(),
        "settings": {
            "size": given.size,
            "batch": given.batch,
            "threads": threads,
            "repetitions": repetitions,
            "clock": clock,
            "allocator": process.allocator(),
            "kernels": device == "cpu" and library() is not None,
            "data": given.data,
        },
        "machine": machine.describe(),
        "ceiling": {name: round(value, 2) for name, value in ceiling.items()},
        "base": base,
        "results": result_rows(found, speeds, ceiling, base, device),
        "skipped": skipped,
    }


def dtypes(precision: str, machine: ComputeDevice) -> tuple[torch.dtype, ...]:
    """float32, and bfloat16 if requested or, with "auto", supported by the machine."""
    both = precision == "bf16" or (precision == "auto" and machine.bf16)
    return (torch.float32, torch.bfloat16) if both else (torch.float32,)
