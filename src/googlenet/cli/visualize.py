"""draw what excites units: feature visualization"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from googlenet.cli.options import INTERRUPTED, WEIGHTS, add_json, natural, positive
from googlenet.runtime.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=WEIGHTS)
    add("layer", metavar="LAYER", help="such as inception_4b, 4b, or inception_4b.3x3")
    add("units", metavar="UNITS", help="numbers and ranges with commas: 0-15,300; or all")
    add("--out", required=True, metavar="DIR", type=Path, help="folder for the images")
    add("--opposite", action="store_true", help="what silences a unit most")
    add("--of", default="channel", help="channel, the mean of a unit's map (default), or neuron, "
        "its center")  # fmt: skip
    add("--parameterization", default="fourier", help="fourier (default), maco, or pixels")
    add("--size", type=positive, default=128, metavar="PIXELS", help="image size (default: 128)")
    add("--steps", type=positive, default=64, metavar="N", help="gradient steps (default: 64)")
    add("--seed", type=natural, default=0, metavar="N", help="random seed (default: 0)")
    add("--processes", type=positive, default=os.cpu_count() or 1, metavar="N",
        help="processes, of one thread each (default: all cores)")  # fmt: skip
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.insight.gallery import make, open_gallery, sheet
    from googlenet.insight.layers import find_layer
    from googlenet.insight.objectives import unit_count
    from googlenet.insight.render import RenderSettings
    from googlenet.load import load_classifier, require_weights
    from googlenet.runtime.console import Console

    settings = RenderSettings(
        args.size, args.steps, args.seed, -1 if args.opposite else 1, args.of, args.parameterization
    )
    require_weights(args.model, "MODEL")
    classifier = load_classifier(args.model)
    layer = find_layer(classifier.network, args.layer.removesuffix(":pre"))
    units = parse_units(args.units, unit_count(classifier.network, layer), layer)
    gallery = open_gallery(classifier, layer, settings, args.out)
    console = Console(sys.stderr if args.json else sys.stdout)
    done = sum(gallery.activation(unit) is not None for unit in units)
    with console.interruptible(), console.bar(len(units), layer, done, "unit") as bar:
        for made in make(gallery, units, args.processes, lambda: console.interrupted):
            bar.update(made)
    found = {unit: gallery.activation(unit) for unit in units}
    if None in found.values():
        left = sum(activation is None for activation in found.values())
        console.say(f"interrupted: {left} of {len(units)} are left; the same command goes on")
        return INTERRUPTED
    whole = sheet(gallery, units)
    if args.json:
        rows = [
            {"unit": unit, "image": str(gallery.path(unit)), "activation": activation}
            for unit, activation in found.items()
        ]
        print(json.dumps({"layer": layer, "units": rows}))
    else:
        console.say(f"{len(units)} units of {layer}: {whole}")
    return 0


def parse_units(text: str, count: int, layer: str) -> list[int]:
    """The units that "0-3,7" names, of `count`.  Raises UsageError for any other."""
    if text == "all":
        return list(range(count))
    units: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        last = last if dash else first
        if not (is_number(first) and is_number(last) and int(first) <= int(last) < count):
            raise UsageError(
                f"UNITS must be numbers and ranges from 0 to {count - 1} for {layer}, such as "
                f"0-3,7, or all, got {text!r}"
            )
        units += range(int(first), int(last) + 1)
    return list(dict.fromkeys(units))


def is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
