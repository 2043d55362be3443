"""The page of a construction: what was measured, and what became of it, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from googlenet.images.data_url import data_url
from googlenet.models import table
from googlenet.models.cost import variant_cost
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.table import Variant, Widths
from googlenet.runtime.device import one_thread
from googlenet.runtime.template import render_template
from googlenet.topology.construct import BASE, Constructed, Findings

PICTURE = 320  # pixels a side, at most
BATCH, REPEATS = 4, 5
WINDOWS = ("1×1", "3×3", "5×5")


def render(constructed: Constructed, data: str, source: str) -> str:
    """The whole page, without outside resources.  source: where the statistics came from."""
    ours, theirs = costs([constructed.variant, table.VARIANTS[BASE]])
    return render_template(
        "googlenet.topology",
        "page.html.jinja",
        name=constructed.variant.name,
        data=data,
        source=source,
        images=max(found.images for found in constructed.findings.values()),
        rows=[
            row_values(row, constructed, found, ours[row], theirs[row])
            for row, found in constructed.findings.items()
        ],
        total=total(ours),
        paper_total=total(theirs),
        windows=WINDOWS,
    )


def row_values(
    row: str,
    constructed: Constructed,
    found: Findings,
    ours: dict[str, Any],
    theirs: dict[str, Any],
) -> dict[str, Any]:
    widths, paper = constructed.variant.modules[row], table.TABLE_1[row]
    order = np.argsort(found.labels, kind="stable")
    apart = [abs(a - b) for a, b in zip(*found.halves, strict=True)]
    return {
        "name": row,
        "units": len(found.labels),
        "before": picture(found.closest),
        "after": picture(found.closest[np.ix_(order, order)]),
        "clusters": len(found.extents),
        "extents": [found.extents.count(ring) for ring in range(3)],
        "stability": found.stability,
        "apart": max(apart),
        "counted": found.shares.counted,
        "shares": found.shares.windows,
        "projection": found.shares.projection,
        "paper_shares": paper_shares(paper),
        "paper_projection": paper.proj / (paper.c1 + paper.c3 + paper.c5 + paper.proj),
        "energy": found.energy,
        "null": found.null_energy,
        "widths": list(widths),
        "paper": list(paper),
        "cost": ours,
        "paper_cost": theirs,
    }


def paper_shares(widths: Widths) -> tuple[float, ...]:
    filters = widths.c1, widths.c3, widths.c5
    return tuple(f / sum(filters) for f in filters)


def picture(closest: NDArray[np.float16]) -> str:
    """max |R| over offsets as a PNG: white for none, dark blue for 1."""
    values = np.clip(closest.astype(np.float32), 0, 1)
    np.fill_diagonal(values, 1)
    light, dark = np.array([255.0, 255, 255]), np.array([12.0, 44, 92])
    strength = np.sqrt(values)[..., None]  # most pairs correlate little: shown all the same
    image = Image.fromarray((light + strength * (dark - light)).astype(np.uint8))
    image.thumbnail((PICTURE, PICTURE), Image.Resampling.BOX)
    return data_url(image, "PNG")


def costs(variants: Sequence[Variant]) -> list[dict[str, dict[str, Any]]]:
    """For each module: parameters, multiply-adds at 224×224, CPU milliseconds per image here."""
    found = []
    for variant, ms in zip(variants, measured_ms(variants), strict=True):
        counted = {
            module.removeprefix("inception_"): row.cost
            for row in variant_cost(variant).rows
            for module in row.modules
        }
        found.append(
            {
                row: {"params": counted[row].params, "macs": counted[row].macs, "ms": ms[row]}
                for row in variant.modules
            }
        )
    return found


def total(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {key: sum(row[key] for row in rows.values()) for key in ("params", "macs", "ms")}


def measured_ms(variants: Sequence[Variant]) -> list[dict[str, float]]:
    """Each module's CPU time per image of 224×224 pixels in one thread: medians, interleaved."""
    networks = [GoogLeNet(variant, 10, with_aux_heads=False).eval() for variant in variants]
    times: list[dict[str, list[float]]] = [{row: [] for row in v.modules} for v in variants]
    images = torch.rand(BATCH, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    with one_thread(), torch.inference_mode():
        for network in networks:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for _ in range(REPEATS + 1):
            for network, found in zip(networks, times, strict=True):
                x = images
                for name in network.trunk:
                    began = process_time()
                    x = getattr(network, name)(x)
                    row = name.removeprefix("inception_")
                    if row in found:
                        found[row].append(1000 * (process_time() - began) / BATCH)
    return [{row: median(spent[1:]) for row, spent in found.items()} for found in times]
