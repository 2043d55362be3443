"""average precision of a detector, or of an ensemble, on annotated images"""

from __future__ import annotations

import argparse
import json
import sys

from googlenet.cli.detection_options import (
    BOXES,
    DETECTORS,
    METRICS,
    SPLITS,
    add_cache,
    add_soft,
)
from googlenet.cli.options import add_json, add_threads, natural, use_threads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("models", metavar="DETECTOR", nargs="+", help=DETECTORS)
    add("--data", metavar="DATA", required=True, help=BOXES)
    add("--split", choices=SPLITS, default="val", help="images to score (default: val)")
    add("--metric", default="voc10", help=METRICS)
    add("--seed", type=natural, default=0, metavar="N",
        help="random seed of the split, if the data has none (default: 0)")  # fmt: skip
    add("--no-box-regression", action="store_true", help="keep regions where they are")
    add_soft(parser)
    add_cache(parser)
    add_threads(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.detection.detector import Detector
    from googlenet.detection.evaluation_run import evaluate_detectors
    from googlenet.detection.load_boxes import load_boxes
    from googlenet.detection.metrics.errors import KINDS, error_kinds
    from googlenet.detection.metrics.evaluate import require_metric
    from googlenet.detection.metrics.localization import localization_errors
    from googlenet.runtime.console import Console
    from googlenet.runtime.errors import UsageError

    require_metric(args.metric)
    console = Console(sys.stderr if args.json else sys.stdout)
    use_threads(args)
    detectors = [Detector.load(path) for path in args.models]
    if args.no_box_regression:
        for detector in detectors:
            detector.without_box_regression()
    data = load_boxes(args.data, args.seed, detectors[0].header.classes)
    images = data.images(args.split)
    if not any(len(image.truth) for image in images):
        raise UsageError(f"{data.name}: the split {args.split!r} must have a box, has none")
    console.say(data.describe())
    result, found = evaluate_detectors(
        detectors, images, args.metric, console, args.cache, args.soft_nms
    )
    value = result.to_json()
    truths = [image.truth for image in images]
    errors, located = (
        error_kinds(truths, found, len(data.classes)),
        localization_errors(truths, found),
    )
    value["errors"] = {
        kind: {"count": each.count, "cost": round(each.cost, 2)} for kind, each in errors.items()
    }
    if located:
        value["localization_error"] = {f"top{n}": round(v, 2) for n, v in located.items()}
    if args.json:
        print(json.dumps(value))
        return 0
    for row in value["classes"]:
        low, high = row["ap50_interval"]
        console.say(
            f"{row['name']:<24} {row['boxes']:>6,} boxes  AP@0.5 {row['ap50']:5.1f} % "
            f"({low:.1f} to {high:.1f})"
        )
    low, high = value["map50_interval"]
    console.say(f"mAP@0.5 {value['map50']:.1f} % ({low:.1f} to {high:.1f}), {args.metric}")
    if args.metric == "coco":
        low, high = value["map_interval"]
        console.say(f"mAP@0.5:0.95 {value['map']:.1f} % ({low:.1f} to {high:.1f})")
    if located:
        console.say(f"localization error: top-1 {located[1]:.1f} %, top-5 {located[5]:.1f} %")
    for kind, each in errors.items():
        console.say(f"{kind:<14}{each.count:>7,}  mended: {each.cost:+5.1f} points  {KINDS[kind]}")
    console.say(f"{value['images']:,} images, {value['seconds_per_image']:.3f} s per image")
    return 0
