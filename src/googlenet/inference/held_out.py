"""The images of a data set that a model is judged by: those it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from googlenet.data.dataset import DataSet, Samples
from googlenet.data.learned import EVERY_HASH, hashes_of, learned_by
from googlenet.data.load_data import choose_split
from googlenet.inference.header import ModelHeader


class HeldOut(NamedTuple):
    """A split's images without those that were trained on; `lines` say how many these are."""

    samples: Samples
    lines: list[str]


def default_split(data: DataSet, header: ModelHeader) -> str:
    """The validation split if there is one, or if the model was trained on this data.

    A folder of classes that the model was not trained on is a test set: all of it counts.
    """
    same = header.provenance.get("data_fingerprint") == data.fingerprint()
    return "val" if data.has_split or same else "all"


def choose_held_out(
    data: DataSet, headers: Sequence[ModelHeader], split: str, whole: bool = False
) -> HeldOut:
    """The images of a split for these models.

    Images that any model was trained on are left out, unless the `whole` split was asked for or
    nothing would remain: a line says so.  Raises DataError where the split has no image.
    """
    samples = choose_split(data, split)
    records = [learned_by(header.provenance) for header in headers]
    if not any(len(record.hashes) for record in records):
        return HeldOut(samples, [])
    hashes = hashes_of(samples)
    learned = np.any([record.contains(hashes) for record in records], 0)
    count, total = int(learned.sum()), len(samples)
    if not count:
        return HeldOut(samples, [])
    below = min(record.below for record in records)
    if below < EVERY_HASH:  # a sample of what was learned says how much of this was
        known = hashes < below
        estimate = round(float((learned & known).sum() / max(1, known.sum())) * total)
        return HeldOut(samples, [warning(f"about {estimate:,}", total)])
    if whole or count == total:
        return HeldOut(samples, [warning(f"{count:,}", total)])
    line = f"{count:,} of these {total:,} images were trained on and are left out"
    return HeldOut(samples.take(np.flatnonzero(~learned).tolist()), [line])


def warning(count: str, total: int) -> str:
    return (
        f"warning: {count} of these {total:,} images were trained on: "
        "the errors say nothing about new images"
    )
