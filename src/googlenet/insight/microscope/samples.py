"""The images of a microscope, with their labels where these are the model's classes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from googlenet.data.dataset import Samples
from googlenet.data.folder import list_images
from googlenet.data.labels import DataError
from googlenet.data.load_data import choose_split, load_data
from googlenet.inference.header import ModelHeader


class Images(NamedTuple):
    """note: why they have no labels; "" where they have.  account: how the data were read."""

    samples: Samples
    note: str = ""
    account: tuple[str, ...] = ()


def load_images(name: str, header: ModelHeader) -> Images:
    """All images of a data set, of all its splits.

    A folder whose labels are not the model's classes, or that has none, is read without them.
    Raises UsageError for a name that is nothing, DataError for unusable data.
    """
    try:
        data = load_data(name, None, header.classes, header.multilabel or None)
        return Images(choose_split(data, "all"), account=tuple(data.account.lines()))
    except DataError as error:
        found = list_images(Path(name)) if Path(name).is_dir() else []
        if not found:
            raise
        return Images(Samples(tuple(found), (0,) * len(found)), f"shown without labels: {error}")
