"""find the images that a model sees as most similar to one"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet.cli.embedding_options import add_layer, report_unreadable, watched
from googlenet.cli.options import (
    MODEL,
    add_json,
    add_precision,
    add_threads,
    check_out,
    positive,
    use_threads,
)
from googlenet.runtime.errors import GoogLeNetError, UsageError, printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from googlenet.images.archived import ArchivedImage
    from googlenet.inference.classifier import Classifier
    from googlenet.insight.embeddings import Embedder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=MODEL)
    add("image", metavar="IMAGE", help="the image to compare with")
    add("--within", metavar="PATH", required=True,
        help="a folder of images, shards, or a .parquet or .npz file of `embed`")  # fmt: skip
    add("--top", type=positive, default=9, metavar="N", help="number of neighbors (default: 9)")
    add_layer(parser)
    add("--out", metavar="PAGE", type=Path, help="write an .html page with the images")
    add_precision(parser)
    add_threads(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.insight.neighbors import nearest
    from googlenet.insight.neighbors_page import write_page
    from googlenet.load import load_classifier
    from googlenet.runtime.console import Console

    if args.out and args.out.suffix != ".html":
        raise UsageError(f"--out must end in .html, got {args.out}")
    if args.out:
        check_out(args.out, Path(args.image), "IMAGE")
    use_threads(args)
    classifier = load_classifier(args.model, "auto", precision=args.precision)
    embedder, sources, embeddings, errors = others(args, classifier)
    (own,) = embedder.embed([Path(args.image)])
    if own.vector is None:
        raise GoogLeNetError(own.error or args.image)
    # An image is not its own neighbor; there is at most one more.
    found = [
        (sources[each.index], each.similarity)
        for each in nearest(own.vector, embeddings, args.top + 1)
        if not same_file(sources[each.index], args.image)
    ][: args.top]
    if args.out:
        write_page(args.out, args.image, found, embedder.layer)
    console = Console(sys.stdout)
    if args.json:
        neighbors = [{"path": str(source), "similarity": value} for source, value in found]
        console.say(
            json.dumps({"path": args.image, "neighbors": neighbors, "images": len(sources)})
        )
    else:
        console.say_all(f"{value:.4f}  {printable(str(source))}" for source, value in found)
    return report_unreadable(errors, len(sources))


def others(
    args: argparse.Namespace, classifier: Classifier
) -> tuple[Embedder, Sequence[Path | ArchivedImage], NDArray[np.float32], list[str]]:
    """What embeds, and the images to search, their embeddings (N, D) and errors."""
    import numpy as np

    from googlenet.cli.image_paths import image_paths
    from googlenet.insight.embedding_file import read_embeddings
    from googlenet.insight.embeddings import Embedder
    from googlenet.runtime.console import Console

    within = Path(args.within)
    if not within.exists():
        raise UsageError(f"--within must be a folder or a file, got {within}, which does not exist")
    if within.is_file() and within.suffix in (".csv", ".npz", ".parquet"):
        paths, embeddings, facts = read_embeddings(within)
        embedder = Embedder(classifier, args.layer or facts.get("layer"))
        if embedder.facts() != facts:
            raise UsageError(
                f"--within must be embeddings of this model and layer, got {within}, "
                f"made from {facts.get('layer')} of {whose(embedder.facts(), facts)}"
            )
        return embedder, [Path(path) for path in paths], embeddings, []
    embedder = Embedder(classifier, args.layer)
    sources, errors = image_paths([args.within]), list[str]()
    with Console(sys.stdout).bar(len(sources), "embed", unit=" images") as bar:
        found = list(watched(embedder.embed(sources), bar.update, errors))
    missing = np.full(embedder.dimensions, np.nan, np.float32)
    rows = [missing if each.vector is None else each.vector for each in found]
    return embedder, sources, np.stack(rows), errors


def whose(ours: dict[str, str], theirs: dict[str, str]) -> str:
    return "this model" if ours["model"] == theirs.get("model") else "another model"


def same_file(source: Path | ArchivedImage, image: str) -> bool:
    try:
        return isinstance(source, Path) and source.samefile(image)
    except OSError:  # it is gone
        return False
