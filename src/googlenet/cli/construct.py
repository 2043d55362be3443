"""construct the widths of a network's modules from correlation statistics"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet.cli.options import DATA, INTERRUPTED, WEIGHTS, add_json, check_out, natural, positive
from googlenet.runtime.errors import UsageError

if TYPE_CHECKING:
    from googlenet.data.dataset import DataSet, Samples
    from googlenet.images.preprocess import Preprocessing
    from googlenet.runtime.console import Console
    from googlenet.topology.construct import Source


def budget(text: str) -> int | str:
    """A number of multiply-adds, or "paper"."""
    return text if text == "paper" else positive(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", metavar="DATA", help=f"training images: {DATA}")
    source = f"measure this trained network ({WEIGHTS}; default: grow a network module by module)"
    add("--from", dest="source", metavar="MODEL", help=source)
    macs = "multiply-adds of the whole network at 224×224 pixels (default: paper, those of Table 1)"
    add("--budget", type=budget, default="paper", metavar="MACS", help=macs)
    images = "images to measure, drawn from the training images (default: 1000)"
    add("--images", type=positive, default=1000, metavar="N", help=images)
    epochs = "without --from: epochs of training before each module (default: 1)"
    add("--epochs", type=positive, default=1, metavar="N", help=epochs)
    size = "without --from: size of the training crops in pixels (default: 128)"
    add("--size", type=positive, default=128, metavar="PIXELS", help=size)
    add("--seed", type=natural, default=0, metavar="N", help="random seed (default: 0)")
    out = "table to write; its report has the same name and ends in .html (default: table.json)"
    add("--out", type=Path, default=Path("table.json"), metavar="FILE", help=out)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.data.load_data import load_usable_data
    from googlenet.models.cost import variant_cost
    from googlenet.models.table import PAPER
    from googlenet.runtime.console import Console
    from googlenet.runtime.files import write_text
    from googlenet.topology.construct import Parts, construct
    from googlenet.topology.page import render

    if args.out.suffix != ".json":
        raise UsageError(f"--out must end in .json, got {args.out}")
    check_out(args.out, Path(args.data), "DATA")
    total = variant_cost(PAPER).total.macs if args.budget == "paper" else args.budget
    console = Console(sys.stderr if args.json else sys.stdout)
    data = load_usable_data(args.data, args.seed)
    samples = measured_images(data, args.images, args.seed)
    console.say(f"{data.name}: {len(samples):,} of {len(data.train):,} training images")
    console.say_all(data.account.lines())
    folder = args.out.with_name(args.out.name + ".parts")
    source, preprocessing, key, remove = network_source(args, data, folder, console)
    parts = Parts(folder, key | {"images": args.images, "data": data.fingerprint()})
    with console.interruptible():
        found = construct(source, samples, preprocessing, total, parts, console)
    if found is None:
        console.say(f"interrupted: finished rows are in {folder}; the same command goes on")
        return INTERRUPTED
    write_text(args.out, json.dumps(found.to_json(), indent=1) + "\n")
    report = args.out.with_suffix(".html")
    write_text(report, render(found, data.name, args.source or "a network grown module by module"))
    remove()
    parts.remove()
    value = found.to_json() | {"out": str(args.out)}
    if args.json:
        print(json.dumps(value))
    else:
        console.say(f"{value['params']:,} parameters, {value['macs']:,} multiply-adds")
        console.say(f"table   {args.out}\nreport  {report}")
    return 0


def measured_images(data: DataSet, count: int, seed: int) -> Samples:
    """Training images, of all classes alike: the first of an epoch's order."""
    from googlenet.data.loader import epoch_order

    order = epoch_order(len(data.train), seed, 0)[:count]
    return data.train.take([int(index) for index in order])


def network_source(
    args: argparse.Namespace, data: DataSet, folder: Path, console: Console
) -> tuple[Source, Preprocessing, dict[str, object], Callable[[], None]]:
    """Where the maps come from, for which preprocessing; what identifies it; how to clean up."""
    if args.source is None:
        return growing_source(args, data, folder, console)
    from googlenet.inference.model_file import model_path
    from googlenet.load import load_classifier, require_weights
    from googlenet.models.googlenet import GoogLeNet
    from googlenet.runtime.files import file_digest
    from googlenet.topology.gather import features_before

    require_weights(args.source, "--from")
    classifier = load_classifier(args.source)
    network = classifier.network
    if not isinstance(network, GoogLeNet):
        raise UsageError(f"--from must be a GoogLeNet, got {classifier.variant}")
    path = model_path(args.source)
    key = {"model": file_digest(path) if path.is_file() else args.source, "seed": args.seed}
    network.eval().requires_grad_(False)
    return (
        lambda variant, row: features_before(network, row),
        classifier.preprocessing,
        key,
        lambda: None,
    )


def growing_source(
    args: argparse.Namespace, data: DataSet, folder: Path, console: Console
) -> tuple[Source, Preprocessing, dict[str, object], Callable[[], None]]:
    from googlenet.images.preprocess import Preprocessing
    from googlenet.topology.grow import Growing

    names = ("seed", "size", "epochs", "budget")
    key: dict[str, object] = {name: getattr(args, name) for name in names}
    growing = Growing(data, args.size, args.epochs, args.seed, folder, console)
    return growing.before, Preprocessing(), key, growing.remove
