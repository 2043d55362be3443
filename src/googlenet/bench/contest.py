"""Contestants that do the same work, timed in turn, and what the machine could do at most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time
from typing import Any

import torch

CLOCKS: dict[str, Callable[[], float]] = {"wall": perf_counter, "cpu": process_time}
UNITS = {"wall": "images/s", "cpu": "images/s of the processor's time"}
SIDE = 2048  # of the matrices whose product is the ceiling
COPIED = 256 << 20  # bytes


@dataclass(frozen=True)
class Contestant:
    """Work on a batch, its precision and the multiply-adds of a photo."""

    run: Callable[[], object]
    dtype: torch.dtype
    macs: int


def alternate(
    contestants: Mapping[str, Contestant],
    batch: int,
    repetitions: int,
    clock: str,
    progress: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Photos a second of each in each repetition; two more before them do not count."""
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for repetition in range(-2, repetitions):
        for name, contestant in contestants.items():
            seconds = timed(contestant.run, clock)
            if repetition >= 0:
                speeds[name].append(batch / seconds)
            progress()
    return speeds


def timed(work: Callable[[], object], clock: str) -> float:
    began = CLOCKS[clock]()
    work()
    return max(CLOCKS[clock]() - began, 1e-9)


def ceilings(dtypes: set[torch.dtype], clock: str, repetitions: int = 5) -> dict[str, float]:
    """The machine's own speed, the best of some repetitions: matrix products and a copy."""
    found = {}
    for dtype in sorted(dtypes, key=str):
        a, b = (torch.ones(SIDE, SIDE, dtype=dtype) for _ in range(2))
        out = torch.empty_like(a)
        seconds = best(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), clock, repetitions)  # type: ignore[misc]
        found[ceiling_name(dtype)] = 2 * SIDE**3 / seconds / 1e9
    source, target = (torch.zeros(COPIED // 4) for _ in range(2))
    found["memory copy, GB/s"] = (
        COPIED / best(lambda: target.copy_(source), clock, repetitions) / 1e9
    )
    return found


def best(work: Callable[[], object], clock: str, repetitions: int) -> float:
    work()
    return min(timed(work, clock) for _ in range(repetitions))


def ceiling_name(dtype: torch.dtype) -> str:
    return f"matrix product {str(dtype).removeprefix('torch.')}, GFLOP/s"


def rows(
    contestants: Mapping[str, Contestant],
    speeds: Mapping[str, list[float]],
    ceiling: Mapping[str, float],
    base: str | None,
) -> list[dict[str, Any]]:
    """Median, spread, ratio to the contestant `base` (None where it did not run) and the share of
    the matrix product's speed that the multiply-adds alone make."""
    found = []
    for name, contestant in contestants.items():
        middle = median(speeds[name])
        reached = 2 * contestant.macs * middle / 1e9
        found.append(
            {
                "name": name,
                "median": round(middle, 3),
                "low": round(min(speeds[name]), 3),
                "high": round(max(speeds[name]), 3),
                "ratio": round(middle / median(speeds[base]), 3) if base else None,
                "of_ceiling": round(reached / ceiling[ceiling_name(contestant.dtype)], 4),
            }
        )
    return found
