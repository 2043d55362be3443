"""recall of region proposals against their number"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from googlenet.cli.detection_options import BOXES, SPLITS, add_cache
from googlenet.cli.options import add_json, natural, positive


def counts(text: str) -> list[int]:
    """Numbers with commas between them."""
    return sorted({positive(part) for part in text.split(",")})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", metavar="DATA", help=BOXES)
    add("--source", action="append", metavar="SOURCE", help="edge-boxes, selective-search, "
        "selective-search-150 or union; may be given again (default: all)")  # fmt: skip
    add("--count", type=counts, default=[100, 300, 1000, 2000], metavar="N,N",
        help="proposals per image (default: 100,300,1000,2000)")  # fmt: skip
    add("--split", choices=SPLITS, default="all", help="images to measure (default: all)")
    add("--seed", type=natural, default=0, metavar="N",
        help="random seed of the split, if the data has none (default: 0)")  # fmt: skip
    add("--plot", type=Path, metavar="FILE", help="draw recall against the number")
    add_cache(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.detection.load_boxes import load_boxes
    from googlenet.detection.proposals.cache import ProposalCache
    from googlenet.detection.proposals.measure import measure, plot
    from googlenet.detection.proposals.sources import SOURCES
    from googlenet.runtime.console import Console

    console = Console(sys.stderr if args.json else sys.stdout)
    caches = [ProposalCache(n, max(args.count), args.cache) for n in args.source or SOURCES]
    data = load_boxes(args.data, args.seed)
    console.say(data.describe())
    found = []
    with console.interruptible():
        for cache in caches:
            found.append(measure(cache, data.images(args.split), args.count, console))
    if args.json:
        print(json.dumps({"data": data.name, "sources": [each.to_json() for each in found]}))
    else:
        console.say(f"{'source':<24}{'first':>7}{'found':>9}{'IoU 0.5':>9}{'0.7':>8}"
                    f"{'mean':>8}{'CPU s':>8}")  # fmt: skip
        for each in found:
            console.say_all(each.lines())
    if args.plot:
        plot(found, args.plot)
        console.say(f"plot {args.plot}")
    return 0
