"""Sparse filters against dense ones, for two layers of the network: where does sparsity pay?

Section 3 of the paper: "even if the number of arithmetic operations is reduced by 100×, the
overhead of lookups and cache misses is so dominant that switching to sparse matrices would not pay
off".  Filters are drawn, the smallest ones set to zero; for blocks, the blocks of the smallest
norm.  A 3×3 convolution becomes a matrix product, and gathering its windows counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.bench.harness import UNITS, Candidate, interleave, result_rows, roofline
from googlenet.kernels.convolution import convolution
from googlenet.kernels.library import library
from googlenet.runtime import process
from googlenet.runtime.device import ComputeDevice

ZEROS = (0.5, 0.8, 0.9, 0.95, 0.99)  # fractions of the filters
BLOCK = 32  # side of the blocks of BSR
BASE = "PyTorch, dense"


@dataclass(frozen=True)
class SparseLayer:
    """A convolution of the paper's network at 224×224 pixels."""

    name: str
    inputs: int
    filters: int
    kernel: int
    side: int

    def macs(self, zeros: float = 0.0) -> int:
        """Multiply-adds per image that are left."""
        return round((1 - zeros) * self.inputs * self.filters * self.kernel**2 * self.side**2)


LAYERS = (
    SparseLayer("5b 1×1, 832→384, 7×7", 832, 384, 1, 7),
    SparseLayer("4c 3×3, 128→256, 14×14", 128, 256, 3, 14),
)


def measure(
    batch: int,
    *,
    threads: int,
    repetitions: int,
    clock: str = "wall",
    zeros: tuple[float, ...] = ZEROS,
    layers: tuple[SparseLayer, ...] = LAYERS,
    progress: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """All layers and fractions, those of a layer interleaved: what `--json` prints."""
    torch.set_num_threads(threads)
    ceiling = roofline((torch.float32,), clock)
    results: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for layer in layers:
        found = candidates(layer, batch, zeros, skipped)
        speeds = interleave(found, batch, repetitions, clock, progress)
        base = f"{layer.name}: {BASE}"
        results += result_rows(found, speeds, ceiling, base)
    return {
        "kind": "sparse",
        "unit": UNITS[clock],
        "date": datetime.now(UTC).date().isoformat(),
        "settings": {
            "size": 224,
            "batch": batch,
            "threads": threads,
            "repetitions": repetitions,
            "clock": clock,
            "allocator": process.allocator(),
            "kernels": library() is not None,
        },
        "machine": ComputeDevice.detect("fp32").describe(),
        "ceiling": {name: round(value, 2) for name, value in ceiling.items()},
        "base": "each layer's dense convolution in PyTorch",
        "results": results,
        "skipped": skipped,
    }


def candidates(
    layer: SparseLayer, batch: int, zeros: tuple[float, ...], skipped: dict[str, str]
) -> dict[str, Candidate]:
    """The dense convolution in PyTorch and by our kernels, then each sparse form."""
    generator = torch.Generator().manual_seed(0)
    shape = (layer.filters, layer.inputs, layer.kernel, layer.kernel)
    filters = torch.randn(shape, generator=generator)
    images = torch.rand(batch, layer.inputs, layer.side, layer.side, generator=generator)
    found = {}
    for name, work in (
        (BASE, dense(layer, filters, images, lambda conv, x: conv(x))),
        ("googlenet dense", dense(layer, filters, images, convolution)),
    ):
        found[f"{layer.name}: {name}"] = Candidate(work, torch.float32, layer.macs())
    for fraction in zeros:
        for form, make in FORMS.items():
            try:
                work = make(layer, filters, images, fraction)
            except ImportError:
                skipped[form] = "scipy is missing: pip install 'googlenet[explain]'"
                continue
            name = f"{layer.name}: {form}, {fraction:.0%} zeros"
            found[name] = Candidate(work, torch.float32, layer.macs(fraction))
    return found


def dense(
    layer: SparseLayer,
    filters: Tensor,
    images: Tensor,
    apply: Callable[[nn.Conv2d, Tensor], Tensor],
) -> Callable[[], object]:
    """A convolution on channels-last maps."""
    padding = layer.kernel // 2
    conv = nn.Conv2d(layer.inputs, layer.filters, layer.kernel, padding=padding, bias=False)
    with torch.no_grad():
        conv.weight.copy_(filters)
    conv.requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = images.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def work() -> Tensor:
        return apply(conv, x)

    return work


def windows(layer: SparseLayer, images: Tensor) -> Tensor:
    """What the filters are multiplied with: (inputs · kernel², N · side²)."""
    if layer.kernel == 1:
        return images.transpose(0, 1).reshape(layer.inputs, -1)
    return F.unfold(images, layer.kernel, padding=layer.kernel // 2).transpose(0, 1).flatten(1)


def pruned(filters: Tensor, fraction: float, block: int = 1) -> Tensor:
    """(filters, inputs · kernel²) with that fraction of blocks of the smallest norm set to zero."""
    matrix = filters.flatten(1).clone()
    rows, columns = (side // block for side in matrix.shape)
    norms = matrix.view(rows, block, columns, block).square().sum((1, 3))
    smallest = norms.flatten().argsort()[: round(fraction * norms.numel())]
    keep = torch.ones(rows * columns)
    keep[smallest] = 0
    mask = keep.view(rows, 1, columns, 1).expand(rows, block, columns, block)
    return matrix * mask.reshape(matrix.shape)


def scipy_csr(
    layer: SparseLayer, filters: Tensor, images: Tensor, fraction: float
) -> Callable[[], object]:
    """scipy's compressed rows, one thread.  Raises ImportError where scipy is missing."""
    from scipy.sparse import csr_matrix

    matrix = csr_matrix(pruned(filters, fraction).numpy())
    return lambda: matrix @ windows(layer, images).numpy()


def torch_csr(
    layer: SparseLayer, filters: Tensor, images: Tensor, fraction: float
) -> Callable[[], object]:
    """PyTorch's compressed rows: MKL's where PyTorch has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "in beta state"
        matrix = pruned(filters, fraction).to_sparse_csr()
    return lambda: matrix @ windows(layer, images)


def torch_bsr(
    layer: SparseLayer, filters: Tensor, images: Tensor, fraction: float
) -> Callable[[], object]:
    """PyTorch's compressed rows of blocks; whole blocks are zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        matrix = pruned(filters, fraction, BLOCK).to_sparse_bsr((BLOCK, BLOCK))
    return lambda: matrix @ windows(layer, images)


FORMS: dict[str, Callable[[SparseLayer, Tensor, Tensor, float], Callable[[], object]]] = {
    "scipy CSR": scipy_csr,
    "torch CSR": torch_csr,
    f"torch BSR {BLOCK}×{BLOCK}": torch_bsr,
}
