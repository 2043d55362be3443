"""convert box annotations between Pascal VOC, COCO, YOLO and CSV"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from googlenet.cli.detection_options import BOXES
from googlenet.cli.options import check_out, natural


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", metavar="DATA", help=BOXES)
    add("--to", required=True, metavar="FORMAT", help="voc, coco, yolo or csv")
    add("--out", type=Path, required=True, metavar="PATH", help="new folder, or CSV file")
    add("--seed", type=natural, default=0, metavar="N",
        help="random seed of the split, if the data has none (default: 0)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    from googlenet.detection.formats.write import boxes_left_out, write_boxes
    from googlenet.detection.load_boxes import load_boxes
    from googlenet.runtime.console import Console

    check_out(args.out, Path(args.data), "DATA")
    console = Console(sys.stdout)
    data = load_boxes(args.data, args.seed)
    console.say_all([data.describe(), *data.account.lines()])
    write_boxes(data, args.to, args.out)
    left_out = boxes_left_out(data, args.to)
    if left_out:
        console.say(f"left out: {left_out:,} difficult or crowd boxes, which {args.to} cannot mark")
    console.say(f"written to {args.out}")
    return 0
