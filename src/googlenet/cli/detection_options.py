"""Options that the sub-verbs of `detect` share."""

from __future__ import annotations

import argparse
from pathlib import Path

BOXES = "annotated images: Pascal VOC, COCO JSON, a YOLO folder or its YAML, or a CSV file"
DETECTORS = "a detector's file or run folder; several are an ensemble, averaged"
METRICS = "voc10 (default), voc07, ilsvrc or coco"
SPLITS = ("train", "val", "test", "all")


def add_soft(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--soft-nms", action="store_true", help="lower the scores of overlapping "
        "boxes instead of removing them")  # fmt: skip


def add_cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, metavar="DIR",
        help="folder in which proposals are kept for the next time")  # fmt: skip
