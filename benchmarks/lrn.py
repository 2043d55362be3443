"""Ways to compute local response normalization, side by side on the paper's two maps.

python benchmarks/lrn.py [--threads 1] [--batch 32] [--repeats 9] [--dtype float32] [--clock wall]

Prints a row a way: the median of interleaved repetitions in milliseconds, both maps (64×56×56 and
192×56×56) together, in both memory layouts.  "whole" goes through the whole map with PyTorch's
autograd, "pieces" is `googlenet.models.lrn` with that way of summing over the window.  On a
machine that others use too, `--clock cpu` counts this program's own seconds (of all its threads
together).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter, process_time

import torch
from torch import Tensor
from torch.nn import functional as F

from googlenet.models import lrn
from googlenet.models.table import LRN, PAPER

MAPS = ((64, 56, 56), (192, 56, 56))
CLOCKS = {"wall": perf_counter, "cpu": process_time}
LAYOUTS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}
assert isinstance(PAPER.norm, LRN)
NORM = PAPER.norm

Sums = Callable[[Tensor, int, int], Tensor]
Way = Callable[[Tensor], Tensor]


def band(x: Tensor, before: int, after: int) -> Tensor:
    ones = torch.ones(x.shape[1], x.shape[1], dtype=x.dtype)
    return ones.triu(-before).tril(after)


def convolution(x: Tensor, before: int, after: int) -> Tensor:
    flat = x.unsqueeze(-1) if x.dim() == 3 else x
    return F.conv2d(flat, band(x, before, after)[:, :, None, None]).view_as(x)


def product(x: Tensor, before: int, after: int) -> Tensor:
    return (x.movedim(1, -1) @ band(x, before, after).T).movedim(-1, 1)


def cumulative(x: Tensor, before: int, after: int) -> Tensor:
    padding = (0, 0) * (x.dim() - 2)
    totals = F.pad(x, (*padding, before + 1, after)).cumsum(1)
    size, channels = before + after + 1, x.shape[1]
    return totals.narrow(1, size, channels) - totals.narrow(1, 0, channels)


def pooling(x: Tensor, before: int, after: int) -> Tensor:
    """Pooling over an image whose rows are the channels, its own channels the pixels."""
    assert before == after
    rows = x.reshape(*x.shape[:2], -1).transpose(1, 2).unsqueeze(-1)
    size = before + after + 1
    sums = F.avg_pool2d(rows, (size, 1), 1, (before, 0), divisor_override=1)
    return sums.squeeze(-1).transpose(1, 2).reshape(x.shape)


SUMS: dict[str, Sums] = {
    "shifted additions": lrn.window_sums,
    "banded 1×1 convolution": convolution,
    "banded matrix product": product,
    "cumulative sums": cumulative,
    "average pooling": pooling,
}


def whole(sums: Sums) -> Way:
    def way(x: Tensor) -> Tensor:
        lrn.window_sums = sums  # type: ignore[assignment]
        return lrn.normalize(x, NORM)

    return way


def in_pieces(sums: Sums) -> Way:
    def way(x: Tensor) -> Tensor:
        lrn.window_sums = sums  # type: ignore[assignment]
        return lrn.Normalize.apply(x, NORM)  # type: ignore[no-any-return]

    return way


def ways(dtype: torch.dtype) -> Iterator[tuple[str, Way]]:
    if dtype == torch.float32:  # it has no half precision
        yield (
            "`F.local_response_norm`",
            lambda x: F.local_response_norm(x, NORM.size, NORM.alpha, NORM.beta, NORM.k),
        )
    for name, sums in SUMS.items():
        yield f"{name}, whole", whole(sums)
        yield f"{name}, pieces", in_pieces(sums)


def forward(way: Way, x: Tensor) -> None:
    with torch.no_grad():
        way(x)


def forward_backward(way: Way, x: Tensor) -> None:
    y = way(x)
    torch.autograd.grad(y, x, torch.ones_like(y))


def measure(
    dtype: torch.dtype, batch: int, repeats: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Milliseconds by way: forward, forward and backward, for each layout; both maps summed."""
    found: dict[str, list[float]] = {name: [] for name, _ in ways(dtype)}
    for layout in LAYOUTS.values():
        maps = [torch.randn(batch, *shape).relu().mul(50).to(dtype) for shape in MAPS]
        maps = [each.contiguous(memory_format=layout).requires_grad_() for each in maps]
        for work in (forward, forward_backward):
            times: dict[str, list[float]] = {name: [] for name in found}
            for _ in range(repeats):
                for name, way in ways(dtype):
                    began = clock()
                    for x in maps:
                        work(way, x)
                    times[name].append(1000 * (clock() - began))
            for name, values in times.items():
                found[name].append(median(values))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--clock", default="wall", choices=CLOCKS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print("| way | " + " | ".join(f"{name} f | {name} f+b" for name in LAYOUTS) + " |")
    print("|---" * (1 + 2 * len(LAYOUTS)) + "|")
    dtype, clock = getattr(torch, args.dtype), CLOCKS[args.clock]
    for name, values in measure(dtype, args.batch, args.repeats, clock).items():
        print(f"| {name} | " + " | ".join(f"{value:.0f}" for value in values) + " |")


if __name__ == "__main__":
    main()
