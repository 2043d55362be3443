"""find objects in images: CSV, JSON lines, COCO results, and images with boxes drawn"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from googlenet.cli.detection_options import DETECTORS, add_soft
from googlenet.cli.options import add_json, add_threads, check_out, use_threads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="DETECTOR", help=DETECTORS.split(";")[0])
    add("paths", metavar="PATH", nargs="+", help="images or folders of images")
    add("--threshold", type=share, default=0.3, metavar="P",
        help="lowest score of a detection, 0 to 1 (default: 0.3)")  # fmt: skip
    add("--out", type=Path, metavar="FILE",
        help="write a .csv, a .jsonl, or a .json file of COCO results")  # fmt: skip
    add("--draw", type=Path, metavar="DIR", help="write each image with its boxes there")
    add_soft(parser)
    add_threads(parser)
    add_json(parser)


def share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, got {text!r}")
    return value


def run(args: argparse.Namespace) -> int:
    from googlenet.cli.image_paths import image_paths
    from googlenet.detection.detector import Detector
    from googlenet.detection.prediction import predict, writer_for
    from googlenet.runtime.console import Console
    from googlenet.runtime.errors import printable

    write = writer_for(args.out) if args.out else None
    if args.out:
        check_out(args.out, Path(args.model), "DETECTOR")
    use_threads(args)
    detector = Detector.load(args.model)
    paths = image_paths(args.paths)
    console, found, failed = Console(sys.stdout), [], 0
    with console.interruptible(), console.bar(len(paths), "detect", unit=" images") as bar:
        for row in predict(detector, paths, args.threshold, args.soft_nms, args.draw):
            found.append(row)
            bar.update()
            failed += bool(row.error)
            if args.json:
                console.say(row.to_line())
            elif row.error:
                print(f"googlenet detect predict: {printable(row.error)}", file=sys.stderr)
            elif not args.out:
                console.say_all(row.lines())
            if console.interrupted:
                raise KeyboardInterrupt
    if write:
        write(args.out, found, detector.header.classes)
    return 1 if failed == len(found) else 0
