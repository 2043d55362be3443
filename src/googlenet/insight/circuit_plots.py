"""Pictures of circuits and of first-layer filters, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from googlenet.images.preprocess import Preprocessing
from googlenet.insight.circuits import IMAGE, Level
from googlenet.insight.gabor import GaborFit
from googlenet.runtime.files import write_atomically

FONT: Any = {"font.family": "sans-serif", "font.size": 8, "text.parse_math": False}
COLUMNS = 8
Pictures = Mapping[tuple[str, int], NDArray[np.uint8]]


def draw_filters(
    path: Path, filters: NDArray[np.floating], fits: Sequence[GaborFit], p: Preprocessing
) -> None:
    """Each filter and its Gabor function beside it, in the order of the fits.

    filters: (filters, channels, k, k).  Raises WriteError where the file cannot be written.
    """
    rows = -(-len(fits) // COLUMNS)
    with mpl.rc_context(FONT):
        figure = Figure(figsize=(1.55 * COLUMNS, 1.06 * rows), layout="constrained")
        grid = np.ravel(figure.subplots(rows, COLUMNS, squeeze=False))
        for axes in grid:
            axes.axis("off")
        for axes, fit in zip(grid, fits, strict=False):
            pair = [colored(filters[fit.filter], p), colored(fit.function, p)]
            gap = np.ones((len(pair[0]), 1, 3))
            axes.imshow(np.hstack([pair[0], gap, pair[1]]))
            axes.set_title(
                f"{fit.filter}: R² {fit.r2:.2f}  {fit.orientation:.0f}°  {fit.frequency:.2f}", pad=2
            )
        save(figure, path)


def draw_circuit(
    path: Path, levels: Sequence[Level], p: Preprocessing, pictures: Pictures | None = None
) -> None:
    """One row per level, from the unit down to the image; red excites, blue inhibits.

    pictures: of units, (layer, unit) each, drawn above their kernels.
    Raises WriteError where the file cannot be written.
    """
    belows = [*(level.unit for level in levels[1:]), -1]
    pictures = pictures or {}
    if pictures and len(levels) > 1:  # the last is a filter, which is one of the pictures
        levels = levels[:-1]
    columns = max(len(level.connections) for level in levels)
    lines = 2 if pictures else 1
    with mpl.rc_context(FONT):
        figure = Figure(
            figsize=(1.15 * columns + 1.1, (1.2 * lines + 0.2) * len(levels)), layout="constrained"
        )
        grid = figure.subplots(
            lines * len(levels), columns + 1, squeeze=False,
            gridspec_kw={"width_ratios": [1, *[1] * columns]},
        )  # fmt: skip
        for axes in np.ravel(grid):
            axes.axis("off")
        for at, (level, below) in enumerate(zip(levels, belows, strict=False)):
            *above, row = grid[lines * at : lines * (at + 1)]
            name = f"{short(level.target)}:{level.unit}\nfrom {short(level.source)}"
            row[0].text(1, 0.5, name, ha="right", va="center", transform=row[0].transAxes,
                        fontsize=10)  # fmt: skip
            for axes in above:
                draw_pictures(axes, level, pictures)
            if level.source == IMAGE:
                row[1].imshow(colored(level.kernels, p))
            else:
                draw_kernels(row[1:], level, below)
        save(figure, path)


def draw_pictures(row: Sequence[Axes], level: Level, pictures: Pictures) -> None:
    """The unit's own picture, then its sources'."""
    shown = [(level.target, level.unit), *((level.source, c.unit) for c in level.connections)]
    for axes, unit in zip(row, shown, strict=False):
        if unit in pictures:
            axes.imshow(pictures[unit], cmap="gray", vmin=0, vmax=255)


def filter_pictures(
    layer: str, filters: NDArray[np.floating], units: Sequence[int], p: Preprocessing
) -> dict[tuple[str, int], NDArray[np.uint8]]:
    """Filters (filters, channels, k, k) of a first layer as pictures of its units."""
    images = {unit: np.round(255 * colored(filters[unit], p)) for unit in units}
    return {(layer, unit): image.astype(np.uint8) for unit, image in images.items()}


def draw_kernels(row: Sequence[Axes], level: Level, followed: int) -> None:
    """A level's kernels on one scale; a frame round the one that the next level follows."""
    limit = float(np.abs(level.kernels).max()) or 1.0
    for axes, kernel, (unit, strength) in zip(row, level.kernels, level.connections, strict=False):
        axes.imshow(kernel, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_title(f"{unit}  {strength:+.2f}", pad=3)
        axes.axis("on")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color="black" if unit == followed else "#d0d5da",
                           linewidth=2 if unit == followed else 0.5)  # fmt: skip


def short(layer: str) -> str:
    return layer.removeprefix("inception_")


def colored(weights: NDArray[np.floating], p: Preprocessing) -> NDArray[np.float64]:
    """A filter (channels, k, k) as an image (k, k, 3) of 0 to 1: gray is a weight of 0.

    The weights are those of pixels, in the order red, green, blue.
    """
    scale = np.asarray(p.scale, np.float64)[:, None, None]
    pixels = weights * scale
    if p.channel_order == "BGR":
        pixels = pixels[::-1]
    elif len(pixels) == 1:
        pixels = np.repeat(pixels, 3, 0)
    largest = np.abs(pixels).max() or 1.0
    return np.asarray(0.5 + pixels.transpose(1, 2, 0) / (2 * largest))


def save(figure: Figure, path: Path) -> None:
    def write(target: Path) -> None:
        figure.savefig(target, format="png", metadata={"Software": None})

    write_atomically(path, write)
