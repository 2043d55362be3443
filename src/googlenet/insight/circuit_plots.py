"""Pictures of circuits and of first-layer filters, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
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


def draw_circuit(path: Path, levels: Sequence[Level], p: Preprocessing) -> None:
    """A row a level, from the unit down to the image; red excites, blue inhibits.

    Raises WriteError where the file cannot be written.
    """
    columns = max(len(level.connections) for level in levels)
    with mpl.rc_context(FONT):
        figure = Figure(figsize=(1.15 * columns + 1.1, 1.42 * len(levels)), layout="constrained")
        grid = figure.subplots(
            len(levels), columns + 1, squeeze=False,
            gridspec_kw={"width_ratios": [0.9, *[1] * columns]},
        )  # fmt: skip
        for axes in np.ravel(grid):
            axes.axis("off")
        for row, level, below in zip(grid, levels, [*levels[1:], None], strict=True):
            name = f"{short(level.target)}:{level.unit}"
            row[0].text(1, 0.5, f"{name}\nfrom {short(level.source)}", ha="right", va="center",
                        transform=row[0].transAxes, fontsize=10)  # fmt: skip
            if level.source == IMAGE:
                row[1].imshow(colored(level.kernels, p))
                continue
            draw_kernels(row[1:], level, below.unit if below else -1)
        save(figure, path)


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
    """A filter (channels, k, k) as an image (k, k, 3) of 0 to 1: gray is no weight.

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
