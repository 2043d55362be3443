"""The units before and after each unit with the strongest expanded weights, and these weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.insight.chunks import Chunk
from googlenet.insight.circuits import IMAGE, expanded_weights, sources_of, strongest
from googlenet.insight.microscope.data import data_path, short, write_data
from googlenet.insight.microscope.images import packed
from googlenet.insight.microscope.plan import Plan, is_shown

SHOWN = 10
COST = 5.0  # CPU-seconds per pair of layers, about


def pairs_of(plan: Plan) -> list[tuple[str, str]]:
    """(source, target) for the layers on show: what each reads, and what reads it."""
    network, shown = plan.network, {layer.name for layer in plan.layers}
    stages = [n for n in network.trunk if is_shown(getattr(network, n))]
    pairs = [(sources_of(network, target)[-1], target) for target in stages]
    return [p for p in pairs if p[0] != IMAGE and shown & set(p)]


def connection_chunks(plan: Plan) -> list[Chunk]:
    return [
        Chunk(data_path(plan.folder, name_of(*pair)), write_connections, pair, COST)
        for pair in reversed(pairs_of(plan))
    ]


def name_of(source: str, target: str) -> str:
    return f"connections-{source}-{target}"


def write_connections(plan: Plan, source: str, target: str) -> None:
    """data/connections-SOURCE-TARGET.js: before: per unit of the target, after: of the source."""
    weights = expanded_weights(plan.network, source, target)
    shown = {layer.name: layer.units for layer in plan.layers}
    value = {
        "before": [rows(weights, unit, "sources") for unit in range(shown.get(target, 0))],
        "after": [rows(weights, unit, "targets") for unit in range(shown.get(source, 0))],
    }
    write_data(plan.folder, name_of(source, target), value)


def rows(weights: NDArray[np.float32], unit: int, of: str) -> list[list[Any]]:
    """[unit at the other end, strength, side of the kernel, the kernel as signed bytes] each.

    The bytes are relative to the largest weight of these kernels.
    """
    found = [c for c in strongest(weights, unit, SHOWN, of=of) if c.strength]
    ends = [(unit, c.unit) if of == "sources" else (c.unit, unit) for c in found]
    kernels = [cropped(weights[end]) for end in ends]
    most = max((float(np.abs(kernel).max()) for kernel in kernels), default=1.0)
    return [
        [
            c.unit,
            short(c.strength),
            len(kernel),
            packed(np.rint(kernel / most * 127).astype(np.int8)),
        ]
        for c, kernel in zip(found, kernels, strict=True)
    ]


def cropped(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without the border of zeros that a small kernel has among larger ones."""
    while len(kernel) > 2 and not any(
        edge.any() for edge in (kernel[0], kernel[-1], kernel[:, 0], kernel[:, -1])
    ):
        kernel = kernel[1:-1, 1:-1]
    return kernel
