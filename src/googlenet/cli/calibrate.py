"""fit a model's temperature and out-of-distribution threshold on held-out images"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from googlenet.cli.options import (
    DATA,
    SPLITS,
    WEIGHTS,
    add_json,
    add_renamed,
    add_split,
    add_workers,
    check_out,
    percent,
)
from googlenet.runtime.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=WEIGHTS)
    add("--data", required=True, metavar="DATA", help=DATA)
    add("--out", required=True, metavar="FILE", type=Path, help="the .safetensors file to write")
    rate = "false positive rate: in-distribution images flagged as unknown (default: 5)"
    add("--target-fpr", type=percent, default=5.0, metavar="PERCENT", help=rate)
    add_split(parser)
    add_workers(parser)
    add_json(parser)
    add_renamed(parser, old="--false-alarms", new="--target-fpr")


def run(args: argparse.Namespace) -> int:
    from googlenet.data.load_data import load_data, require_images
    from googlenet.evaluation.accuracy import score
    from googlenet.evaluation.fit_calibration import fit_calibration
    from googlenet.inference.held_out import choose_held_out, default_split
    from googlenet.inference.model_file import model_path
    from googlenet.load import load_classifier, require_weights
    from googlenet.runtime.console import Console

    check_out(args.out, model_path(args.model), "MODEL")
    if args.out.suffix != ".safetensors":
        raise UsageError(f"--out must be a .safetensors file, got {args.out}")
    require_weights(args.model, "MODEL")
    classifier = load_classifier(args.model, "auto")
    if classifier.multilabel:
        raise UsageError(
            f"MODEL must be single-label, got {args.model}: temperature and out-of-distribution "
            "threshold are those of a softmax"
        )
    header = classifier.header
    data = load_data(args.data, header.split_seed, classifier.classes, split_rule=header.split_rule)
    require_images(Path(args.data), data)
    part = args.split or default_split(data, header)
    samples, learned = choose_held_out(data, [header], part, whole=bool(args.split))
    console = Console(sys.stderr if args.json else sys.stdout)
    console.say(f"{data.name}: {len(samples):,} images ({SPLITS[part]})")
    console.say_all([*data.account.lines(), *learned])
    with console.bar(len(samples), "calibrate") as bar:
        scores = score(
            classifier, samples, workers=args.workers, progress=bar.update, keep_outputs=True
        )
    for error in scores.unreadable.values():
        console.say(f"skipped: {error}")
    found = fit_calibration(scores, args.target_fpr)
    classifier.header = replace(classifier.header, calibration=found.calibration)
    classifier.save(args.out)
    if args.json:
        head = {"model": str(args.model), "out": str(args.out), "data": data.name, "split": part}
        print(json.dumps(head | found.to_json()))
    else:
        console.say("\n".join([*found.lines(), f"written to {args.out}"]))
    return 0
