"""The site's data: JavaScript files, each of which hands one value to the page.

A page that is opened from a file may not fetch others, but may run scripts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from googlenet.inference.calibration import Calibration
from googlenet.inference.outputs import sigmoid
from googlenet.insight.microscope.examples import Examples, Floats, Top
from googlenet.insight.microscope.plan import CLASSES_PER_CHUNK, IMAGES_PER_CHUNK, Plan
from googlenet.insight.microscope.votes import is_last, units_of, votes_of
from googlenet.models.table import variant_name
from googlenet.runtime.errors import printable
from googlenet.runtime.files import write_text

SHOWN = 12  # images per class: typical and confusing ones


def data_path(folder: Path, name: str) -> Path:
    return folder / "data" / f"{name}.js"


def write_data(folder: Path, name: str, value: object) -> None:
    """Write a value for the page's `load(name)`; floats are to be rounded before."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    write_text(data_path(folder, name), f"microscope({json.dumps(name)},{text});\n")


def short(value: float) -> float:
    """With three digits, as shown."""
    return float(f"{value:.3g}")


def pairs(ranked: Sequence[tuple[int, float]]) -> list[list[float]]:
    return [[number, short(value)] for number, value in ranked]


def write_layers(plan: Plan, examples: Examples) -> None:
    """data/layer-NAME.js: a row per unit; data/units.js: what to sort and search units by."""
    summary = {}
    for layer in plan.layers:
        columns = plan.columns()[layer.name]
        votes = votes_of(plan, examples, layer.name)
        rows = [
            {
                "top": top_rows(examples.top, columns.start + unit),
                "middle": top_rows(examples.middle, columns.start + unit),
                "for": pairs(vote.supports),
                "against": pairs(vote.opposes),
                "excites": vote.excites,
            }
            for unit, vote in enumerate(votes)
        ]
        write_data(plan.folder, f"layer-{layer.name}", rows)
        summary[layer.name] = [
            [first_image(row["top"]), vote.excites, vote.supports[0][0] if vote.supports else -1]
            for row, vote in zip(rows, votes, strict=True)
        ]
    write_data(plan.folder, "units", summary)


def top_rows(top: Top, unit: int) -> list[list[float]]:
    """[image, place, activation] of a unit's images."""
    rows = zip(top.images[unit], top.places[unit], top.values[unit], strict=True)
    return [[int(i), int(place), short(value)] for i, place, value in rows if value > 0]


def first_image(rows: Any) -> list[int]:
    return [rows[0][0], rows[0][1]] if rows else []


def write_images(plan: Plan, examples: Examples) -> None:
    """data/images.js: names, labels and predictions of all images."""
    chances = probabilities(plan, examples.logits)
    predictions: list[Any] = [None] * len(plan.names)
    for image, row in zip(examples.images, chances, strict=True):
        predictions[image] = [int(row.argmax()), short(row.max())]
    labels = [plan.samples.classes_of(i) if plan.labeled else [] for i in range(len(plan.names))]
    value = {"names": short_names(plan.names), "labels": labels, "predictions": predictions}
    write_data(plan.folder, "images", value)


def probabilities(plan: Plan, logits: Floats) -> Floats:
    """(N, classes), as the model's predictions have them."""
    if plan.header.multilabel:
        return sigmoid(logits)
    return (plan.header.calibration or Calibration()).probabilities(logits)


def short_names(names: Sequence[str]) -> list[str]:
    """The images' names without the folders that all of them are in."""
    shared = names[0].rpartition("/")[0] if names else ""
    while shared and not all(name.startswith(f"{shared}/") for name in names):
        shared = shared.rpartition("/")[0]
    return [printable(name.removeprefix(f"{shared}/")) for name in names]


def write_classes(plan: Plan, examples: Examples) -> None:
    """data/classes-NNN.js: of each class its units and its images."""
    chances = probabilities(plan, examples.logits)
    rows = []
    for index in range(len(plan.header.classes)):
        units = units_of(plan, examples, index)
        typical, missed, mistaken = images_of(plan, examples, chances, index)
        rows.append(
            {
                "for": pairs(units.supports),
                "against": pairs(units.opposes),
                "layers": {name: pairs(ranked) for name, ranked in units.layers.items()},
                "images": int(examples.class_counts[index]),
                "typical": typical,
                "missed": missed,
                "mistaken": mistaken,
            }
        )
    for begin in range(0, len(rows), CLASSES_PER_CHUNK):
        name = f"classes-{begin // CLASSES_PER_CHUNK:03}"
        write_data(plan.folder, name, rows[begin : begin + CLASSES_PER_CHUNK])


def images_of(
    plan: Plan, examples: Examples, chances: Floats, index: int
) -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """Of a class: its surest images, its images that are taken for another, and images of others
    that are taken for it, each with the class's probability.  Without labels the surest alone."""
    likely = chances.argmax(1) == index if len(chances) else np.zeros(0, bool)
    mine = np.array([index in plan.samples.classes_of(int(i)) for i in examples.images], bool)
    if not plan.labeled:
        mine = likely
    order = np.argsort(-chances[:, index], kind="stable")

    def rows(where: Any) -> list[list[float]]:
        return [[int(examples.images[i]), short(chances[i, index])] for i in where[:SHOWN]]

    return (
        rows([i for i in order if mine[i] and likely[i]]),
        rows([i for i in order[::-1] if mine[i] and not likely[i]]),
        rows([i for i in order if likely[i] and not mine[i]]),
    )


def write_site(plan: Plan, examples: Examples, **facts: object) -> None:
    """data/site.js: what the page must know first.  facts: what other parts add."""
    header, layers = plan.header, []
    for layer in plan.layers:
        row = {
            "name": layer.name,
            "units": layer.units,
            "channels": layer.channels,
            "side": layer.side,
            "field": list(layer.field),
            "votes": "weights" if is_last(plan, layer.name) else "means",
        }
        layers.append(row)
    value = {
        "variant": variant_name(header.variant),
        "size": header.preprocessing.size,
        "classes": [printable(c.name) for c in header.classes],
        "ids": [printable(c.id) for c in header.classes],
        "multilabel": header.multilabel,
        "labeled": plan.labeled,
        "layers": layers,
        "images": len(plan.names),
        "errors": {i: printable(text) for i, text in sorted(examples.errors.items())},
        "imagesPerChunk": IMAGES_PER_CHUNK,
        "classesPerChunk": CLASSES_PER_CHUNK,
    }
    write_data(plan.folder, "site", value | facts)
