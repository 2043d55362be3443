"""What `embed` and `neighbors` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from googlenet.insight.embeddings import Embedding


def add_layer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--layer",
        metavar="TAP",
        help="layer, averaged over places, such as inception_4a or inception_4a.5x5 "
        "(default: the last before the classifier)",
    )


def watched(
    embeddings: Iterable[Embedding], progress: Callable[[], object], errors: list[str]
) -> Iterator[Embedding]:
    """The embeddings as they pass; the errors among them are collected."""
    for each in embeddings:
        errors += [each.error] if each.error else []
        yield each
        progress()


def report_unreadable(errors: list[str], images: int) -> int:
    """The exit code: 1 only if nothing could be read."""
    if errors:
        print(f"{len(errors):,} of {images:,} images could not be read", file=sys.stderr)
    return 1 if len(errors) == images else 0
