"""The report's plots as SVG: training curves, confusion matrix, reliability diagram."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from googlenet.evaluation.metrics import by_row

BLUE, ORANGE, GREEN, GRAY = "#2f6db3", "#d9822b", "#3a9d6a", "#8a94a0"
STYLE: Any = {
    "svg.fonttype": "none",  # keep text as text: searchable and small
    "text.parse_math": False,  # a class may be called "$5"
    "svg.hashsalt": "googlenet",  # deterministic output
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#b9c0c8",
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "legend.frameon": False,
}
METRIC_TITLES = {  # by log column: the title of the plot, the label of the validation curve
    "top1_accuracy": ("Top-1 accuracy, %", "validation"),
    "mean_average_precision": ("Exact match and mAP, %", "validation, mAP"),
}
LABELLED_CLASSES = 40  # more do not fit beside a matrix


def svg(figure: Figure) -> str:
    text = io.StringIO()
    with warnings.catch_warnings():
        # Matplotlib's font only determines text positions; the browser has others.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def curves(history: Sequence[dict[str, float]]) -> str:
    """Loss of each head, training and validation accuracy, learning rate."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.1), layout="constrained")
        losses, accuracy, rate = figure.subplots(1, 3)
        epochs = [row["epoch"] for row in history]
        for key, color in (("main", BLUE), ("4a", ORANGE), ("4d", GREEN)):
            if f"loss_{key}" in history[0]:
                line(
                    losses, epochs, [row[f"loss_{key}"] for row in history], f"train, {key}", color
                )
        line(losses, epochs, [row["val_loss"] for row in history], "validation", GRAY, "--")
        line(
            accuracy, epochs, [row["train_accuracy"] for row in history], "train (augmented)", BLUE
        )
        measure = "top1_accuracy" if "top1_accuracy" in history[0] else "mean_average_precision"
        line(
            accuracy,
            epochs,
            [row[measure] for row in history],
            METRIC_TITLES[measure][1],
            GRAY,
            "--",
        )
        line(rate, epochs, [row["learning_rate"] for row in history], "", BLUE)
        for axes, title in (
            (losses, "Loss"),
            (accuracy, METRIC_TITLES[measure][0]),
            (rate, "Learning rate"),
        ):
            axes.set_title(title)
            axes.set_xlabel("epoch")
            axes.grid(color="#e6e9ed", linewidth=0.8)
            axes.locator_params(axis="x", integer=True)
        losses.legend()
        accuracy.legend(loc="lower right")
        return svg(figure)


def line(
    axes: Axes, x: Sequence[float], y: Sequence[float], label: str, color: str, style: str = "-"
) -> None:
    marker = "o" if len(x) < 30 else ""
    axes.plot(x, y, style, label=label, color=color, marker=marker, markersize=3.5)


def reliability(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> str:
    """Reliability diagrams before and after temperature scaling, with images per bin below.

    before, after: bins of `evaluation.calibration_error.reliability`.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.2, 4.4), layout="constrained")
        drawn = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=(3, 1))
        for at, (bins, title, color) in enumerate(
            (
                (before, "Before temperature scaling", GRAY),
                (after, "After temperature scaling", BLUE),
            )
        ):
            upper, lower = drawn[0, at], drawn[1, at]
            upper.plot([0, 1], [0, 1], "--", color=ORANGE, linewidth=1, label="perfect calibration")
            lows, width = [row["low"] for row in bins], [row["high"] - row["low"] for row in bins]
            shape: Any = {"width": width, "align": "edge", "edgecolor": "white", "color": color}
            upper.bar(lows, [row["accuracy"] for row in bins], **shape, label="accuracy")
            upper.plot(
                [row["confidence"] for row in bins], [row["accuracy"] for row in bins],
                "o", markersize=3.5, color="#1c2733", label="at the bin's mean confidence",
            )  # fmt: skip
            lower.bar(lows, [row["photos"] for row in bins], **shape)
            upper.set_title(title)
            upper.set(xlim=(0, 1), ylim=(0, 1))
            lower.set_xlabel("confidence")
        drawn[0, 0].set_ylabel("accuracy")
        drawn[1, 0].set_ylabel("images")
        handles, labels = drawn[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        return svg(figure)


def confusion(matrix: NDArray[np.int64], names: Sequence[str]) -> str:
    """Two matrices of (true class, predicted class): counts, and percent of the true class."""
    shares = by_row(matrix)
    return heat_map(matrix, shares, names) + heat_map(np.rint(100 * shares), shares, names)


def heat_map(numbers: NDArray[np.number], shares: NDArray[np.float64], names: Sequence[str]) -> str:
    """Numbers (true class, predicted class), shaded by their fraction of the true class."""
    few = len(names) <= LABELLED_CLASSES
    side = min(9.0, 2.0 + 0.3 * len(names))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(side + 0.6, side), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        if few:
            axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
            axes.set_yticks(range(len(names)), names)
            for (row, column), number in np.ndenumerate(numbers):
                if number:
                    dark = shares[row, column] > 0.55
                    axes.text(
                        column, row, f"{number:.0f}", ha="center", va="center",
                        fontsize=8, color="white" if dark else "#1c2733",
                    )  # fmt: skip
        return svg(figure)
