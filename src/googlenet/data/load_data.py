"""Any data set by what a user calls it: a folder, a CSV file, shards or a built-in name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from googlenet.data.csv_file import folder_tables, read_csv
from googlenet.data.dataset import DataSet, Samples, as_multilabel, join_samples
from googlenet.data.digits import read_digits
from googlenet.data.folder import enter_wrapper, read_folder
from googlenet.data.labels import Class, DataError
from googlenet.data.shards.index import holds_shards, is_packed, read_packed, read_shards
from googlenet.data.shards.remote import LocalStore, RemoteStore
from googlenet.data.split import random_split
from googlenet.runtime.errors import UsageError, printable

BUILT_IN = ("digits",)


def load_data(
    name: str,
    seed: int | None = 0,
    classes: Sequence[Class] | None = None,
    multilabel: bool | None = None,
    split_rule: str = "image",
) -> DataSet:
    """The data set of that name, split by `seed` where it brings no split of its own.

    Without a seed (None) such a data set stays whole, all of it in `train`.

    `classes` is a trained model's list: labels are then its indices, and a label that it lacks
    is an error.  multilabel: whether an image can have several labels; None: if the data say so.
    split_rule: one of SPLIT_RULES, that of the model which learned from the data.
    Raises UsageError for a name that is nothing, DataError for unusable data.
    """
    if split_rule == "order":
        data = read_data(name, None, classes, multilabel, legacy=True)
        if seed is not None and not data.has_split:
            data = random_split(data, seed, rule="order")
    else:
        data = read_data(name, seed, classes, multilabel)
    return as_multilabel(data) if multilabel else data


def read_data(
    name: str,
    seed: int | None,
    classes: Sequence[Class] | None,
    multilabel: bool | None,
    legacy: bool = False,
) -> DataSet:
    """The data set as it is: only a CSV file can have several labels per image."""
    path = Path(name)
    if name in BUILT_IN and not path.exists():
        data = read_digits(seed)
        if classes and tuple(c.id for c in classes) != tuple(c.id for c in data.classes):
            raise DataError("digits: the model must have the classes 0 to 9, it has others")
        return data
    if "://" in name:
        return read_packed(RemoteStore(name.rstrip("/")), seed, classes)
    if path.is_dir() and is_packed(path):
        return read_packed(LocalStore(path), seed, classes)
    if holds_shards(path):
        return read_shards(path, seed, classes, legacy)
    if path.is_dir():
        root = enter_wrapper(path, classes)
        if folder_tables(root):
            data = read_csv(root, seed, classes, multilabel, legacy)
        else:
            data = read_folder(root, seed, classes)
        return data if root == path else entered(data, root.relative_to(path))
    if path.is_file():
        return read_csv(path, seed, classes, multilabel, legacy)
    raise UsageError(
        f"DATA must be a folder, a CSV file, shards or one of {', '.join(BUILT_IN)}, "
        f"got {name!r}, which does not exist"
    )


def entered(data: DataSet, inner: Path) -> DataSet:
    """The data set, which says that it is that of a folder inside."""
    table = "; ".join(filter(None, (f"the folder {inner} inside", data.account.table)))
    return replace(data, account=replace(data.account, table=table))


LOOKED_UP = 100  # paths of a CSV file that are looked up before anything else is done


def load_usable_data(
    name: str,
    seed: int | None = 0,
    multilabel: bool | None = None,
    split_rule: str = "image",
) -> DataSet:
    """The data set of that name, to train on.

    Raises DataError, which names the cause, for a CSV file most of whose images are not there and
    for a data set that leaves one of the splits empty.
    """
    data = load_data(name, seed, multilabel=multilabel, split_rule=split_rule)
    require_images(Path(name), data)
    if data.unusable():
        raise DataError(data.unusable())
    return data


def require_images(path: Path, data: DataSet) -> None:
    """Raises DataError if most of a table's images are not there; single ones may be missing.

    Of other data than a table nothing is required.  The message has the first such path, the rule,
    and what is probably wrong.
    """
    if not path.is_file():
        return
    images = [*data.train.sources, *data.val.sources]
    looked_up = images[:: -(-len(images) // LOOKED_UP)]
    missing = [image for image in looked_up if isinstance(image, Path) and not exists(image)]
    if 2 * len(missing) <= len(looked_up):
        return
    hint = path_hint(path, missing[0])
    raise DataError(
        f"{path}: {len(missing)} of {len(looked_up)} images looked up do not exist, for example "
        f"{printable(str(missing[0]))}: a path is relative to the CSV file's folder"
        + (f"; {hint}" if hint else "")
    )


def path_hint(path: Path, image: Path) -> str:
    """What is probably wrong with a path that does not exist, and what to do; "" if unknown."""
    written = image.relative_to(path.parent) if image.is_relative_to(path.parent) else image
    text = str(written)
    if re.match(r"[a-z][a-z0-9+.-]+:/", text, re.IGNORECASE):
        return "a URL is not a path: download the images first"
    if text.startswith("~"):
        return "~ is not expanded: write the whole path"
    if "\\" in text:
        return "write / for \\ in the paths"
    if exists(Path(text)):
        return f"the paths exist seen from the current folder: move the CSV file to {Path.cwd()}"
    for folder in path.parent.absolute().parents:
        if exists(folder / text):
            return f"the paths exist seen from {folder}: move the CSV file there"
    return ""


def exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that is closed: reading will say so
        return False


def choose_split(data: DataSet, split: str) -> Samples:
    """The samples of a split: "train", "val", "test" or "all".  Raises DataError if it is empty."""
    samples = {
        "train": data.train,
        "val": data.val,
        "test": data.val if data.val_is_test else data.test,
        "all": join_samples(data.all, data.test),
    }[split]
    if not len(samples):
        raise DataError(f"{data.name}: the split {split!r} must have at least one image, has none")
    return samples
