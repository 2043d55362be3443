"""A validation split for data without one of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from googlenet.data.account import canonical
from googlenet.data.dataset import DataSet, Samples
from googlenet.images.archived import ArchivedImage

VALIDATION_FRACTION = 0.2  # held out of each class where the data has no split of its own
MIN_FRACTION, MAX_FRACTION = 0.1, 0.3  # of a class, whatever its images' hashes


def random_split(
    data: DataSet, seed: int | None, root: Path = Path(), rule: str = "image"
) -> DataSet:
    """Hold a fifth of every class out for validation, chosen by the seed; nothing without one.

    A class of a single image keeps it for training.  An image of several classes counts for the
    rarest of them, one without any for a class of its own.  `root`: what the images' names are
    relative to.  `rule` is one of SPLIT_RULES; arrays have no names and are held out by order.
    """
    if seed is None:
        return replace(data, train=data.all, val=Samples(), has_split=False)
    everything = data.all
    by_class: list[list[int]] = [[] for _ in range(len(data.classes) + data.multilabel)]
    for i, label in enumerate(
        rarest(everything.multi_hot) if data.multilabel else everything.labels
    ):
        by_class[label].append(i)
    count = len(everything)
    if rule == "order" or not count or is_nameless(everything.sources[0]):
        held = held_by_order(by_class, seed)
    else:
        keys = [image_key(data, everything, i, root) for i in range(count)]
        held = held_by_name(by_class, keys, seed)
    kept = [i for i in range(count) if i not in held]
    return replace(
        data, train=everything.take(kept), val=everything.take(sorted(held)), has_split=False
    )


def held_by_order(by_class: Sequence[Sequence[int]], seed: int) -> set[int]:
    """Exactly a fifth of every class, drawn anew when an image is added to the data."""
    rng = np.random.default_rng((seed, 0))
    held: set[int] = set()
    for members in by_class:
        count = min(len(members) - 1, max(1, round(VALIDATION_FRACTION * len(members))))
        held.update(int(i) for i in rng.permutation(members)[: max(0, count)])
    return held


def held_by_name(by_class: Sequence[Sequence[int]], keys: Sequence[str], seed: int) -> set[int]:
    """The images whose own hash is in the first fifth of all hashes, whatever else is there.

    Of a class with too few or too many of these, the images of the smallest hashes: at least
    one is held out and one kept, and 10 to 30 %.
    """
    salt = seed.to_bytes(8, "little")
    held: set[int] = set()
    for members in by_class:
        hashes = sorted(
            (blake2b(keys[i].encode(errors="surrogateescape"), key=salt, digest_size=8).digest(), i)
            for i in members
        )
        size, limit = len(members), round(VALIDATION_FRACTION * 2**64).to_bytes(8, "big")
        below = sum(digest < limit for digest, _ in hashes)
        fewest, most = max(1, round(MIN_FRACTION * size)), max(1, int(MAX_FRACTION * size))
        count = min(max(below, fewest), most, size - 1)
        held.update(i for _, i in hashes[: max(0, count)])
    return held


def is_nameless(source: Path | NDArray[np.uint8] | ArchivedImage) -> bool:
    """Whether an image is an array, or was one before it was packed: its name is a number."""
    if isinstance(source, ArchivedImage):
        return re.fullmatch(r"#\d+", source.name) is not None
    return isinstance(source, np.ndarray)


def image_key(data: DataSet, samples: Samples, index: int, root: Path) -> str:
    """What an image is called: its class and its path within that, in all layouts alike."""
    source = samples.sources[index]
    if isinstance(source, Path):
        name = os.path.normpath(source).removeprefix(os.path.join(os.path.normpath(root), ""))  # noqa: PTH118
    else:
        name = source.name if isinstance(source, ArchivedImage) else f"#{index}"
    *folders, file = map(canonical, name.replace(os.sep, "/").split("/"))
    label = data.label(samples, index)
    if label in folders:
        folders = folders[len(folders) - folders[::-1].index(label) :]
    return "/".join([label, *folders, file])


def rarest(multi_hot: NDArray[np.bool_] | None) -> list[int]:
    """The rarest class of each image; of an image without a class, the number of classes."""
    assert multi_hot is not None
    order = np.argsort(multi_hot.sum(0), kind="stable")
    first = multi_hot[:, order].argmax(1)
    return np.where(multi_hot.any(1), order[first], multi_hot.shape[1]).tolist()  # type: ignore[no-any-return]
