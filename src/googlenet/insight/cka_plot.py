"""The picture of a comparison, as PNG."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from googlenet.insight.circuit_plots import FONT, save, short
from googlenet.insight.compare import Comparison


def draw_cka(path: Path, found: Comparison, names: tuple[str, str]) -> None:
    """One cell per pair of layers: rows of the first model, columns of the second.

    names: of the models.  Raises WriteError where the file cannot be written.
    """
    rows, columns = found.cka.shape
    with mpl.rc_context(FONT):
        figure = Figure(figsize=(0.42 * columns + 1.8, 0.42 * rows + 1.2), layout="constrained")
        axes = figure.subplots()
        axes.imshow(found.cka, cmap="magma", vmin=0, vmax=1)
        for row, values in enumerate(found.cka):
            for column, value in enumerate(values):
                color = "black" if value > 0.6 else "white"
                axes.text(column, row, f"{value:.2f}".replace("0.", "."), color=color,
                          ha="center", va="center", fontsize=7)  # fmt: skip
        axes.set_xticks(range(columns), [short(each) for each in found.layers_b], rotation=90)
        axes.set_yticks(range(rows), [short(each) for each in found.layers_a])
        axes.set(ylabel=names[0], xlabel=names[1], title=f"CKA on {found.images:,} images")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        save(figure, path)
