"""draw the strongest circuit into a unit, or the first layer's filters beside Gabor functions"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from googlenet.cli.options import WEIGHTS, add_json, positive
from googlenet.runtime.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from googlenet.inference.classifier import Classifier
    from googlenet.insight.circuits import Level

FIRST = "conv1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=WEIGHTS)
    add("target", metavar="TARGET",
        help="a unit, as inception_4b:12 or classifier:207; conv1 for its filters")  # fmt: skip
    add("--out", metavar="DIR", type=Path, required=True,
        help="folder for the picture and its numbers")  # fmt: skip
    add("--top", type=positive, default=8, metavar="N", help="sources per unit (default: 8)")
    add(
        "--visualize", action="store_true", help="show what excites each unit, too: a minute or two"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.load import load_classifier
    from googlenet.runtime.console import Console

    if args.out.exists() and not args.out.is_dir():
        raise UsageError(f"--out must be a folder, got {args.out}")
    classifier = load_classifier(args.model)
    draw = filters if args.target == FIRST else circuit
    found, lines = draw(classifier, args)
    console = Console(sys.stdout)
    console.say_all([json.dumps(found)] if args.json else lines)
    return 0


def circuit(classifier: Classifier, args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Draw the circuit into a unit; what there is to print."""
    from googlenet.insight import circuits
    from googlenet.insight.circuit_plots import draw_circuit, short
    from googlenet.insight.layers import find_layer, find_unit
    from googlenet.insight.objectives import unit_count
    from googlenet.runtime.files import write_text

    name, colon, _ = args.target.rpartition(":")
    if not colon:
        raise UsageError(f"TARGET must be LAYER:UNIT, or {FIRST} for its filters, "
                         f"got {args.target!r}")  # fmt: skip
    network = classifier.network
    layer = find_layer(network, name)
    circuits.sources_of(network, layer)  # raises UsageError for a layer without any
    unit = find_unit(args.target, unit_count(network, layer.removesuffix(":pre")))
    levels = circuits.circuit(network, layer, unit, args.top)
    picture = args.out / f"{layer}_{unit}.png".replace(":", "_")
    pictures = visualized(classifier, levels) if args.visualize else {}
    draw_circuit(picture, levels, classifier.preprocessing, pictures)
    found = {
        "layer": layer,
        "unit": unit,
        "picture": str(picture),
        "levels": [
            {
                "target": level.target,
                "unit": level.unit,
                "source": level.source,
                "connections": [each._asdict() for each in level.connections],
            }
            for level in levels
        ],
    }
    write_text(picture.with_suffix(".json"), json.dumps(found, indent=1) + "\n")
    lines = [
        f"{short(level.target)}:{level.unit} from {short(level.source)}: "
        + ", ".join(f"{each.unit} ({each.strength:+.2f})" for each in level.connections)
        for level in levels
    ]
    return found, [*lines, str(picture)]


def visualized(
    classifier: Classifier, levels: list[Level]
) -> dict[tuple[str, int], NDArray[np.uint8]]:
    """A feature visualization of every unit of a circuit; of the first layer the filters."""
    from googlenet.insight.circuit_plots import filter_pictures
    from googlenet.insight.circuits import IMAGE
    from googlenet.insight.gabor import first_filters
    from googlenet.insight.render import RenderSettings, visualize
    from googlenet.runtime.console import Console

    wanted: dict[str, dict[int, None]] = {}  # a set that keeps its order
    for level in levels:
        if level.source != IMAGE:
            wanted.setdefault(level.target, {})[level.unit] = None
            wanted.setdefault(level.source, {}).update((c.unit, None) for c in level.connections)
    first = wanted.pop(FIRST, {})
    filters = first_filters(classifier.network)
    found = filter_pictures(FIRST, filters, list(first), classifier.preprocessing)
    with Console(sys.stdout).bar(sum(map(len, wanted.values())), "visualize", unit="unit") as bar:
        for layer, units in wanted.items():
            for made in visualize(classifier, layer, list(units), RenderSettings()):
                found[layer, made.unit] = made.image
                bar.update()
    return found


def filters(classifier: Classifier, args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Draw the first layer's filters with their Gabor functions; what there is to print."""
    import numpy as np

    from googlenet.insight.circuit_plots import draw_filters
    from googlenet.insight.gabor import first_filters, fit_gabor
    from googlenet.runtime.console import Console
    from googlenet.runtime.files import write_text

    weights = first_filters(classifier.network)
    fits = []
    with Console(sys.stdout).bar(len(weights), "fit", unit=" filters") as bar:
        for number, each in enumerate(weights):
            fits.append(fit_gabor(each, number))
            bar.update()
    fits.sort(key=lambda fit: -fit.r2)
    picture = args.out / f"{FIRST}.png"
    draw_filters(picture, weights, fits, classifier.preprocessing)
    rows = [fit.row() for fit in fits]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(picture.with_suffix(".csv"), table.getvalue())
    values = [fit.r2 for fit in fits]
    good = sum(value > 0.8 for value in values)
    lines = [
        f"{len(fits)} filters: R² of the Gabor function above 0.8 for {good}, "
        f"median {np.median(values):.2f}",
        str(picture),
    ]
    return {"layer": FIRST, "picture": str(picture), "filters": rows}, lines
