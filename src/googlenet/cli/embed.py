"""turn images into vectors, in a Parquet, .npz or CSV file"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet.cli.embedding_options import add_layer, report_unreadable, watched
from googlenet.cli.options import (
    MODEL,
    add_json,
    add_precision,
    add_threads,
    check_out,
    use_threads,
)

if TYPE_CHECKING:
    pass


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=MODEL)
    add("paths", metavar="PATH", nargs="+", help="images, folders of images, or shards")
    add("--out", metavar="FILE", type=Path, required=True,
        help="write a .parquet, .npz or .csv file")  # fmt: skip
    add_layer(parser)
    add("--l2", action="store_true", help="scale every vector to length 1")
    add_precision(parser)
    add_threads(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.cli.image_paths import image_paths
    from googlenet.insight.embedding_file import write_embeddings, writer_for
    from googlenet.insight.embeddings import Embedder
    from googlenet.load import load_classifier
    from googlenet.runtime.console import Console

    writer_for(args.out)
    check_out(args.out, Path(args.model), "MODEL")
    use_threads(args)
    embedder = Embedder(
        load_classifier(args.model, "auto", precision=args.precision), args.layer, args.l2
    )
    paths = image_paths(args.paths)
    console, errors = Console(sys.stdout), list[str]()
    with console.bar(len(paths), "embed", unit=" images") as bar:
        write_embeddings(
            args.out,
            watched(embedder.embed(paths), bar.update, errors),
            (len(paths), embedder.dimensions),
            embedder.facts(),
        )
    found = {
        "images": len(paths), "dimensions": embedder.dimensions, "out": str(args.out),
        "layer": embedder.layer, "unreadable": len(errors),
    }  # fmt: skip
    if args.json:
        console.say(json.dumps(found))
    else:
        console.say(f"{args.out}: {len(paths):,} × {embedder.dimensions:,} from {embedder.layer}")
    return report_unreadable(errors, len(paths))
