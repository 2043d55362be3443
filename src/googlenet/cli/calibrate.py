"""fit a model's temperature and its threshold for unknown on photos that it has not learnt from"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from googlenet.cli.options import WEIGHTS, add_json, add_workers, share
from googlenet.runtime.errors import UsageError

SPLITS = ("train", "val", "all")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=WEIGHTS)
    add("--data", required=True, metavar="DATA", help="a folder, a CSV file or digits")
    add("--out", required=True, metavar="FILE", type=Path, help="the .safetensors file to write")
    add("--false-alarms", type=share, default=5.0, metavar="PERCENT", help="how many photos of "
        "known classes may be called unknown (default: 5)")  # fmt: skip
    add("--split", choices=SPLITS, help="part of the data (default: val if it has one or trained "
        "the model, else all)")  # fmt: skip
    add_workers(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.cli.convert import check_out
    from googlenet.cli.evaluate import PARTS, default_split, split_seed
    from googlenet.data.load_data import choose_split, load_data
    from googlenet.evaluation.accuracy import score
    from googlenet.evaluation.fit_calibration import fit_calibration
    from googlenet.inference.classifier import Classifier, model_path, require_weights
    from googlenet.runtime.console import Console
    from googlenet.runtime.device import ComputeDevice

    check_out(args.out, model_path(args.model), "MODEL")
    if args.out.suffix != ".safetensors":
        raise UsageError(f"--out must be a .safetensors file, got {args.out}")
    require_weights(args.model, "MODEL")
    classifier = Classifier.load(args.model, ComputeDevice.detect("fp32"))
    if classifier.multi:
        raise UsageError(
            f"MODEL must know one label a photo, got {args.model}: temperature and unknown are "
            "those of a softmax"
        )
    data = load_data(args.data, split_seed(classifier), classifier.classes)
    part = args.split or default_split(data, classifier)
    samples = choose_split(data, part)
    console = Console(sys.stderr if args.json else sys.stdout)
    console.say(f"{data.name}: {len(samples)} photos ({PARTS[part]})")
    with console.bar(len(samples), "calibrate") as bar:
        scores = score(
            classifier, samples, workers=args.workers, progress=bar.update, keep_outputs=True
        )
    for error in scores.unreadable.values():
        console.say(f"left out: {error}")
    found = fit_calibration(scores, args.false_alarms)
    classifier.calibration = found.calibration
    classifier.save(args.out)
    if args.json:
        head = {"model": str(args.model), "out": str(args.out), "data": data.name, "split": part}
        print(json.dumps(head | found.to_json()))
    else:
        console.say("\n".join([*found.lines(), f"written to {args.out}"]))
    return 0
