"""Write src/googlenet/weights/imagenet_classes.txt from two public lists of ImageNet's classes.

    python tools/imagenet_classes.py SYNSET_WORDS DEVKIT_ORDER OUT

SYNSET_WORDS is Caffe's synset_words.txt (wnid and name, in the order of the wnids), DEVKIT_ORDER
the wnids in the order of ILSVRC 2012's development kit.
"""

from __future__ import annotations

import sys
from pathlib import Path


def render(synset_words: str, devkit_order: str) -> str:
    """A line a class: wnid, place in the development kit's order (from 1), name."""
    places = {wnid: at for at, wnid in enumerate(devkit_order.split(), 1)}
    named = [line.split(" ", 1) for line in synset_words.splitlines() if line]
    if sorted(places) != [wnid for wnid, _ in named]:
        raise SystemExit("the two lists do not have the same wnids, the first one sorted")
    return "".join(f"{wnid} {places[wnid]} {name}\n" for wnid, name in named)


if __name__ == "__main__":
    words, order, out = map(Path, sys.argv[1:])
    out.write_text(render(words.read_text("utf-8"), order.read_text("utf-8")), "utf-8")
