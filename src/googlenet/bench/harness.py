"""Contestants that do the same work, timed in turn, and what the machine could do at most."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import torch

CLOCKS: dict[str, Callable[[], float]] = {"wall": perf_counter, "cpu": process_time}
UNITS = {"wall": "images/s", "cpu": "images/s of the processor's time"}
LEAST = 0.2  # seconds of a repetition, of as many runs as that takes
SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices whose product is the ceiling
ENOUGH = 0.1  # seconds of a product: no larger ones are needed
COPIED = 256 << 20  # bytes


@dataclass(frozen=True)
class Conditions:
    """What is the same for all contestants.  `data`: photos to learn from, if not made up."""

    size: int
    batch: int
    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    device: str = "cpu"
    compiled: bool = False
    peers: Path | None = None
    data: str | None = None


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
    *,
    device: str = "cpu",
    least: float = LEAST,
) -> dict[str, list[float]]:
    """Photos a second of each in each repetition; two more before them do not count.

    A repetition is as many runs as take `least` seconds, by the second one before them: the
    first compiles, chooses algorithms and fills caches.
    """
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    runs = dict.fromkeys(contestants, 1)
    for repetition in range(-2, repetitions):
        for name, contestant in contestants.items():
            seconds = timed(contestant.run, clock, device, runs[name])
            if repetition == -1:
                runs[name] = max(1, ceil(least / seconds))
            elif repetition >= 0:
                speeds[name].append(runs[name] * batch / seconds)
            progress()
    return speeds


def timed(work: Callable[[], object], clock: str, device: str = "cpu", runs: int = 1) -> float:
    """Seconds of so many runs, the device's own work included."""
    finish(device)
    began = CLOCKS[clock]()
    for _ in range(runs):
        work()
    finish(device)
    return max(CLOCKS[clock]() - began, 1e-9)


def finish(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def ceilings(
    dtypes: tuple[torch.dtype, ...], clock: str, device: str = "cpu", repetitions: int = 5
) -> dict[str, float]:
    """The machine's own speed, the best of some repetitions: matrix products and a copy."""
    found = {}
    for dtype in dtypes:
        with convolution_precision(device):
            speed = product_speed(dtype, clock, device, repetitions)
        found[ceiling_name(dtype, device)] = speed / 1e9
    source, target = (torch.zeros(COPIED // 4, device=device) for _ in range(2))
    seconds = best(lambda: target.copy_(source), clock, device, repetitions)
    found["memory copy, GB/s"] = COPIED / seconds / 1e9
    return found


def product_speed(dtype: torch.dtype, clock: str, device: str, repetitions: int) -> float:
    """Operations a second of a product of matrices, large ones unless these take seconds."""
    side = 256
    while True:
        a, b = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(2))
        out = torch.empty_like(a)
        work = partial(torch.mm, a, b, out=out)
        work()
        if side >= SIDE[device] or timed(work, clock, device) > ENOUGH:
            return 2 * side**3 / best(work, clock, device, repetitions)
        side *= 2


@contextmanager
def convolution_precision(device: str) -> Iterator[None]:
    """On a GPU matrix products as convolutions compute there unless told otherwise: in TF32."""
    before = torch.get_float32_matmul_precision()
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
    yield
    if device == "cuda":
        torch.set_float32_matmul_precision(before)


def best(work: Callable[[], object], clock: str, device: str, repetitions: int) -> float:
    for _ in range(2):
        seconds = timed(work, clock, device)
    runs = max(1, ceil(LEAST / repetitions / seconds))
    return min(timed(work, clock, device, runs) / runs for _ in range(repetitions))


def ceiling_name(dtype: torch.dtype, device: str = "cpu") -> str:
    """A GPU multiplies float32 numbers as TF32, of 10 bits, in convolutions."""
    tf32 = device == "cuda" and dtype == torch.float32
    return f"matrix product {'tf32' if tf32 else str(dtype).removeprefix('torch.')}, GFLOP/s"


def rows(
    contestants: Mapping[str, Contestant],
    speeds: Mapping[str, list[float]],
    ceiling: Mapping[str, float],
    base: str | None,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Median, spread, ratio to the contestant `base` (None where it did not run).

    `limit`: the images/s at which the multiply-adds alone take all of the time, at the matrix
    product's speed; `of_ceiling`: the share of it that was reached.
    """
    found = []
    for name, contestant in contestants.items():
        middle = median(speeds[name])
        limit = ceiling[ceiling_name(contestant.dtype, device)] * 1e9 / (2 * contestant.macs)
        found.append(
            {
                "name": name,
                "median": round(middle, 3),
                "low": round(min(speeds[name]), 3),
                "high": round(max(speeds[name]), 3),
                "ratio": round(middle / median(speeds[base]), 3) if base else None,
                "limit": round(limit, 3),
                "of_ceiling": round(middle / limit, 4),
            }
        )
    return found
