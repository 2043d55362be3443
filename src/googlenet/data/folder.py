"""A folder of photos: `train/` and `val/` with a folder a class, or one folder of classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from googlenet.data.dataset import Class, ClassIndex, DataError, DataSet, Samples, split
from googlenet.images.decode import EXTENSIONS

TRAIN = ("train", "training")
VALIDATION = ("val", "valid", "validation", "test")


def read_folder(root: Path, seed: int | None, classes: Sequence[Class] | None = None) -> DataSet:
    """The data set in a folder; with `classes`, labelled by that list and no other.

    Raises DataError for a folder without photos, or with a class that the list lacks.
    """
    train, val = find_split(root, TRAIN), find_split(root, VALIDATION)
    if not train and not val:
        train = class_folders(root)
    if not train and not val:
        raise DataError(
            f"{root}: a data folder must hold a folder of photos for each class, has none"
        )
    # The class list is the training folder's; validation may lack a class but bring none.
    chosen = tuple(classes) if classes else tuple(Class(n, n) for n in sorted(train or val))
    data = DataSet(root.resolve().name, chosen, collect(train, chosen), collect(val, chosen))
    return data if val else split(data, seed)


def find_split(root: Path, names: Sequence[str]) -> dict[str, list[Path]]:
    """The class folders of the part that goes by one of the names, none if there is no such part.

    A folder without class folders is no part: it is a class of that name, or has no labels.
    """
    parts = (class_folders(root / name) for name in names if (root / name).is_dir())
    return next(filter(None, parts), {})


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """The photos of each class folder, in the order of their names; empty classes left out."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            photos = photos_in(path)
            if photos:
                found[path.name] = photos
    return found


def photos_in(folder: Path) -> list[Path]:
    """Every photo below a folder, by its extension, in the order of the names; none hidden."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in EXTENSIONS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def collect(photos: dict[str, list[Path]], classes: Sequence[Class]) -> Samples:
    index = ClassIndex(classes)
    pairs = [
        (path, index.find(name, str(paths[0].parent)))
        for name, paths in photos.items()
        for path in paths
    ]
    return Samples(tuple(path for path, _ in pairs), tuple(label for _, label in pairs))
