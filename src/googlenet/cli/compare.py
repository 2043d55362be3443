"""compare the layers of two models: CKA, as a matrix and a picture"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet.cli.options import (
    DATA,
    WEIGHTS,
    add_json,
    add_split,
    add_threads,
    positive,
    use_threads,
)
from googlenet.runtime.errors import UsageError

if TYPE_CHECKING:
    from googlenet.images.decode import Source
    from googlenet.inference.classifier import Classifier
    from googlenet.insight.compare import Comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model_a", metavar="MODEL_A", help=WEIGHTS)
    add("model_b", metavar="MODEL_B", help="the other model")
    add("--data", required=True, metavar="DATA", help=DATA)
    add("--out", metavar="DIR", type=Path, required=True, help="folder for cka.png and cka.csv")
    add("--layers", metavar="A,B,...", help="layers of both models, with commas (default: all "
        "convolutions outside modules, and modules)")  # fmt: skip
    add("--images", type=positive, default=1000, metavar="N",
        help="number of images, drawn at random (default: 1000)")  # fmt: skip
    add_split(parser)
    add_threads(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.insight.cka_plot import draw_cka
    from googlenet.insight.compare import compare
    from googlenet.load import load_classifier
    from googlenet.runtime.console import Console
    from googlenet.runtime.files import write_text

    if args.out.exists() and not args.out.is_dir():
        raise UsageError(f"--out must be a folder, got {args.out}")
    use_threads(args)
    a, b = (load_classifier(model, "auto") for model in (args.model_a, args.model_b))
    layers_a, layers_b = (chosen(classifier, args.layers) for classifier in (a, b))
    sources = drawn(args)
    console = Console(sys.stdout)
    with console.bar(len(sources), "compare", unit=" images") as bar:
        found = compare(a, b, sources, layers_a, layers_b, bar.update)
    draw_cka(args.out / "cka.png", found, (str(args.model_a), str(args.model_b)))
    write_text(args.out / "cka.csv", table(found))
    if args.json:
        console.say(json.dumps({
            "layers_a": layers_a, "layers_b": layers_b, "images": found.images,
            "cka": [[number(value) for value in row] for row in found.cka.tolist()],
            "picture": str(args.out / "cka.png"), "unreadable": len(found.errors),
        }))  # fmt: skip
    else:
        console.say_all([*same_layers(found), str(args.out / "cka.png")])
    if found.errors:
        print(f"{len(found.errors):,} of {len(sources):,} images could not be read",
              file=sys.stderr)  # fmt: skip
    return 0


def chosen(classifier: Classifier, names: str | None) -> list[str]:
    from googlenet.insight.compare import layers_with_weights
    from googlenet.insight.layers import find_layer

    if names is None:
        return layers_with_weights(classifier.network)
    found = [find_layer(classifier.network, name.strip()) for name in names.split(",")]
    return list(dict.fromkeys(found))


def drawn(args: argparse.Namespace) -> list[Source]:
    """Images of the split, in a random order that is always the same."""
    import numpy as np

    from googlenet.data.load_data import choose_split, load_data, require_images

    data = load_data(args.data, None)
    require_images(Path(args.data), data)
    for line in data.account.lines():
        print(line, file=sys.stderr)
    samples = choose_split(data, args.split or ("val" if data.has_split else "all"))
    order = np.random.default_rng(0).permutation(len(samples))[: args.images]
    return list(samples.take(order.tolist()).sources)


def number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if value != value else value


def same_layers(found: Comparison) -> list[str]:
    """A line for each layer that both models have."""
    both = [layer for layer in found.layers_a if layer in found.layers_b]
    width = max(map(len, both), default=0)
    return [
        f"{layer:{width}}  "
        f"{found.cka[found.layers_a.index(layer), found.layers_b.index(layer)]:.3f}"
        for layer in both
    ]


def table(found: Comparison) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["layer", *found.layers_b])
    for layer, row in zip(found.layers_a, found.cka.tolist(), strict=True):
        writer.writerow([layer, *(f"{value:.6f}" for value in row)])
    return text.getvalue()
