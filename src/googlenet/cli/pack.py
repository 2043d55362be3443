"""write a dataset to tar shards, resized and shuffled, for fast training"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from googlenet.cli.options import DATA, INTERRUPTED, add_json, add_renamed, add_workers, positive

if TYPE_CHECKING:
    from googlenet.data.shards.index import Index
    from googlenet.runtime.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", metavar="DATA", help=DATA)
    add("out", metavar="OUT", type=Path, help="the folder to create")
    resize = "resize images to a shorter side of at most N pixels (default: 256)"
    add("--resize", type=positive, default=256, metavar="N", help=resize)
    quality = "JPEG quality of resized images, 1 to 100 (default: 90)"
    add("--quality", type=positive, default=90, metavar="N", help=quality)
    add("--original", action="store_true", help="store the original files, without resizing")
    size = "size of a shard in MiB (default: 256)"
    add("--shard-size", type=positive, default=256, metavar="MIB", help=size)
    seed = "random seed of the order in the shards (default: 0)"
    add("--seed", type=int, default=0, metavar="N", help=seed)
    add_workers(parser)
    add_json(parser)
    add_renamed(parser, old="--side", new="--resize")


def run(args: argparse.Namespace) -> int:
    from googlenet.data.load_data import load_data
    from googlenet.data.shards.pack import Packer, Packing
    from googlenet.runtime.console import Console

    began = perf_counter()
    console = Console(sys.stderr if args.json else sys.stdout)
    side = None if args.original else args.resize
    packing = Packing(side, args.quality, args.shard_size << 20, args.seed)
    data = load_data(args.data, None)
    console.say_all([data.describe()] * data.has_split + data.account.lines())
    root = Path(args.data)
    with console.bar(len(data.all) + len(data.test), "pack") as bar:
        packer = Packer(
            data,
            root if root.is_dir() else root.parent,
            args.out,
            packing,
            workers=args.workers,
            say=console.say,
            progress=bar.update,
        )
        try:
            index = packer.pack()
        except KeyboardInterrupt:
            console.say(
                f"interrupted; complete shards are kept in {packer.folder}: run the same command "
                "again to resume"
            )
            return INTERRUPTED
    finish(args, index, console, perf_counter() - began)
    return 0


def finish(args: argparse.Namespace, index: Index, console: Console, seconds: float) -> None:
    shards = [shard for part in index.parts.values() for shard in part]
    size = sum(shard.bytes for shard in shards)
    summary = {
        "out": str(args.out),
        "classes": len(index.classes),
        "photos": {part: sum(s.photos for s in found) for part, found in index.parts.items()},
        "shards": len(shards),
        "bytes": size,
        "left_out": len(index.left_out),
        "seconds": round(seconds, 1),
    }
    if args.json:
        print(json.dumps(summary))
        return
    photos = sum(shard.photos for shard in shards)
    console.say(
        f"{args.out}: {photos:,} images of {len(index.classes):,} classes in {len(shards)} shards, "
        f"{size / 1e6:.1f} MB, {len(index.left_out)} skipped, {seconds:.0f} s"
    )
