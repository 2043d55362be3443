"""Candidates that do the same work, timed interleaved, and the machine's roofline."""

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
from torch import Tensor

CLOCKS: dict[str, Callable[[], float]] = {"wall": perf_counter, "cpu": process_time}
UNITS = {"wall": "images/s", "cpu": "images per CPU second"}
MIN_SECONDS = 0.2  # of a repetition, which runs the work as often as that takes
MATMUL_SIZE = {"cpu": 2048, "cuda": 8192}  # of the square matrices of the roofline
MATMUL_SECONDS = 0.1  # of one product, above which smaller matrices do
COPY_BYTES = 256 << 20

NextBatch = Callable[[], tuple[Tensor, Tensor]]  # (N, 3, size, size) normalized, and labels (N,)


@dataclass(frozen=True)
class Conditions:
    """What all candidates have in common.  `data`: images to train on, synthetic if None."""

    size: int
    batch: int
    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    device: str = "cpu"
    compiled: bool = False
    peers: Path | None = None
    data: str | None = None


@dataclass(frozen=True)
class Candidate:
    """Work on one batch, its precision and its multiply-adds per image."""

    run: Callable[[], object]
    dtype: torch.dtype
    macs: int


@dataclass(frozen=True)
class Mode:
    """How a network runs: what its row is called, memory format, precision, torch.compile."""

    name: str
    layout: torch.memory_format
    dtype: torch.dtype
    compiled: bool


def peer_modes(given: Conditions) -> list[Mode]:
    """PyTorch's default, then channels-last and compiled in each precision."""
    modes = [Mode("eager fp32", torch.contiguous_format, torch.float32, False)]
    for name, compiled in compile_modes(given.compiled, "channels-last "):
        modes += [
            Mode(f"{name}{dtype_name(dtype)}", torch.channels_last, dtype, compiled)
            for dtype in given.dtypes
        ]
    return modes


def compile_modes(compiled: bool, eager: str = "") -> list[tuple[str, bool]]:
    return [(eager, False), *([("compiled ", True)] if compiled else [])]


def dtype_name(dtype: torch.dtype) -> str:
    return "bf16" if dtype == torch.bfloat16 else "fp32"


def synthetic_images(given: Conditions, layout: torch.memory_format) -> Tensor:
    """Random values (batch, 3, size, size), the same each time."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(given.batch, 3, given.size, given.size, generator=generator)
    return x.to(given.device).contiguous(memory_format=layout)


def interleave(
    candidates: Mapping[str, Candidate],
    batch: int,
    repetitions: int,
    clock: str,
    progress: Callable[[], object] = lambda: None,
    *,
    device: str = "cpu",
    min_seconds: float = MIN_SECONDS,
) -> dict[str, list[float]]:
    """Images per second of each candidate in each repetition, after two for warm-up.

    The first compiles, chooses algorithms and fills caches; by the second's time a repetition
    runs the work as often as takes `min_seconds`.
    """
    speeds: dict[str, list[float]] = {name: [] for name in candidates}
    runs = dict.fromkeys(candidates, 1)
    for repetition in range(-2, repetitions):
        for name, candidate in candidates.items():
            seconds = timed(candidate.run, clock, device, runs[name])
            if repetition == -1:
                runs[name] = max(1, ceil(min_seconds / seconds))
            elif repetition >= 0:
                speeds[name].append(runs[name] * batch / seconds)
            progress()
    return speeds


def timed(work: Callable[[], object], clock: str, device: str = "cpu", runs: int = 1) -> float:
    """Seconds that `runs` calls take, including the device's asynchronous work."""
    synchronize(device)
    began = CLOCKS[clock]()
    for _ in range(runs):
        work()
    synchronize(device)
    return max(CLOCKS[clock]() - began, 1e-9)


def synchronize(device: str) -> None:
    """Wait until the device has finished its queue."""
    if device == "cuda":
        torch.cuda.synchronize()


def roofline(
    dtypes: tuple[torch.dtype, ...], clock: str, device: str = "cpu", repetitions: int = 5
) -> dict[str, float]:
    """What the machine can do at most: its best matrix products and memory copy."""
    found = {}
    for dtype in dtypes:
        with convolution_precision(device):
            speed = matmul_speed(dtype, clock, device, repetitions)
        found[matmul_name(dtype, device)] = speed / 1e9
    source, target = (torch.zeros(COPY_BYTES // 4, device=device) for _ in range(2))
    seconds = best_seconds(lambda: target.copy_(source), clock, device, repetitions)
    found["memory copy, GB/s"] = COPY_BYTES / seconds / 1e9
    return found


def matmul_speed(dtype: torch.dtype, clock: str, device: str, repetitions: int) -> float:
    """FLOP/s of a matrix product, large unless that takes too long."""
    side = 256
    while True:
        a, b = (torch.ones(side, side, dtype=dtype, device=device) for _ in range(2))
        out = torch.empty_like(a)
        work = partial(torch.mm, a, b, out=out)
        work()
        if side >= MATMUL_SIZE[device] or timed(work, clock, device) > MATMUL_SECONDS:
            return 2 * side**3 / best_seconds(work, clock, device, repetitions)
        side *= 2


@contextmanager
def convolution_precision(device: str) -> Iterator[None]:
    """Let a GPU's matrix products use TF32, as its convolutions do by default."""
    before = torch.get_float32_matmul_precision()
    if device == "cuda":
        torch.set_float32_matmul_precision("high")
    yield
    if device == "cuda":
        torch.set_float32_matmul_precision(before)


def best_seconds(work: Callable[[], object], clock: str, device: str, repetitions: int) -> float:
    for _ in range(2):
        seconds = timed(work, clock, device)
    runs = max(1, ceil(MIN_SECONDS / repetitions / seconds))
    return min(timed(work, clock, device, runs) / runs for _ in range(repetitions))


def matmul_name(dtype: torch.dtype, device: str = "cpu") -> str:
    """A GPU computes float32 convolutions in TF32, with a 10-bit mantissa."""
    tf32 = device == "cuda" and dtype == torch.float32
    return f"matrix product {'tf32' if tf32 else str(dtype).removeprefix('torch.')}, GFLOP/s"


def result_rows(
    candidates: Mapping[str, Candidate],
    speeds: Mapping[str, list[float]],
    ceiling: Mapping[str, float],
    base: str | None,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Median, spread, ratio to the candidate `base` (None where it did not run).

    `limit`: the roofline in images/s, where the multiply-adds run at the matrix product's speed
    and nothing else takes time; `of_ceiling`: the fraction of it that was reached.
    """
    found = []
    for name, candidate in candidates.items():
        speed = median(speeds[name])
        limit = ceiling[matmul_name(candidate.dtype, device)] * 1e9 / (2 * candidate.macs)
        found.append(
            {
                "name": name,
                "median": round(speed, 3),
                "low": round(min(speeds[name]), 3),
                "high": round(max(speeds[name]), 3),
                "ratio": round(speed / median(speeds[base]), 3) if base else None,
                "limit": round(limit, 3),
                "of_ceiling": round(speed / limit, 4),
            }
        )
    return found
