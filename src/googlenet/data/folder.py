"""A folder of images: `train/` and `val/` with a folder a class, or one folder of classes."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from googlenet.data.account import Account, Note, count_unread, lookalikes
from googlenet.data.dataset import DataSet, Samples
from googlenet.data.labels import Class, ClassIndex, DataError, class_from_label
from googlenet.data.split import random_split
from googlenet.images.decode import is_image_extension
from googlenet.runtime.errors import printable
from googlenet.runtime.watchdog import beat

TRAIN = ("train", "training")
VALIDATION = ("val", "valid", "validation", "dev", "eval")
TEST = ("test", "testing", "holdout")  # validates only where nothing else does
# What NAS devices, systems and programs leave in folders, as hidden as what begins with a dot.
SYSTEM_FOLDERS = frozenset(
    {
        "#recycle", "#snapshot", "$recycle.bin", "@eadir", "@recently-snapshot", "@recycle",
        "@tmp", "__macosx", "__pycache__", "_thumbnails", "_thumbs", "found.000", "lost+found",
        "recycler", "system volume information",
    }
)  # fmt: skip
# Folders beside a split that are not classes.
OTHER_SPLITS = frozenset({*TRAIN, *VALIDATION, *TEST, "unlabeled", "extra"})
SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "picasa.ini"})

OnError = Callable[[OSError], object]  # what is done about a folder that cannot be listed


def raise_unlistable(error: OSError) -> NoReturn:
    """A folder that cannot be listed may hold a class: without it the labels would be others."""
    raise DataError(
        f"{printable(str(error.filename))}: the folder cannot be listed ({error.strerror})"
    ) from error


def read_folder(root: Path, seed: int | None, classes: Sequence[Class] | None = None) -> DataSet:
    """The data set in a folder; with `classes`, labelled by that list and no other.

    Raises DataError for a folder without images, or with a class that the list lacks.
    """
    unread: Counter[str] = Counter()
    train, val, test = (find_split(root, n, unread=unread) for n in (TRAIN, VALIDATION, TEST))
    val_is_test = bool(test) and not val
    if val_is_test:
        val, test = test, {}
    notes: list[Note] = []
    if train or val:
        beside = folders_beside(root)
        if beside and not (train and val):
            require_split(root, TRAIN if train else VALIDATION + TEST, beside)
        notes += [Note("unused", str(root / name), "the folder is not read") for name in beside]
    else:
        train = class_folders(root, unread=unread)
        notes += nested_alike(root, train)
    if not train and not val:
        raise DataError(f"{root}: a data folder must have a folder of images per class, has none")
    # The class list is the training folder's; validation may lack a class but bring none.
    own = dict.fromkeys(map(class_from_label, sorted(train or val)))
    chosen = tuple(classes or own)
    notes += lookalikes(c.id for c in own)
    known = {name for name in test if ClassIndex(chosen).has(name)}
    notes += [
        Note("unused", str(paths[0].parent), "the test split's folder is not a training class")
        for name, paths in test.items()
        if name not in known
    ]
    data = DataSet(
        printable(root.resolve().name),
        chosen,
        collect(train, chosen),
        collect(val, chosen),
        account=Account(split_names(root, train, val), count_unread(unread), tuple(notes)),
        test=collect({name: p for name, p in test.items() if name in known}, chosen),
        val_is_test=val_is_test,
    )
    return data if val else random_split(data, seed, root)


def plain_split(name: str) -> str:
    """A split's name without its case, and without what people add: `TRAIN_DATA`, `valid-set`."""
    plain = unicodedata.normalize("NFKC", name).strip().lower()
    return re.sub(r"[ _-]?(data|dataset|set|split|images)$", "", plain)


def enter_wrapper(root: Path, classes: Sequence[Class] | None = None) -> Path:
    """The folder of classes or splits: an unpacked archive has it in a single folder, or in two.

    A folder that goes by the name of one of the `classes`, or of a split, is none of these.
    """
    known = ClassIndex(classes or ())
    while (inner := wrapped(root)) and not known.has(inner.name):
        root = inner
    return root


def wrapped(root: Path) -> Path | None:
    """The only folder in a folder, if it holds folders of images and no image itself."""
    if has_images(root) or len(found := subfolders(root, lambda error: None)) != 1:
        return None
    (only,) = found
    if plain_split(only.name) in OTHER_SPLITS or only.is_symlink() or has_images(only):
        return None
    inner = subfolders(only, lambda error: None)
    splits = any(plain_split(path.name) in OTHER_SPLITS for path in inner)
    return only if len(inner) > 1 or splits or (inner and wrapped(only)) else None


def has_images(folder: Path) -> bool:
    try:
        return any(is_image(path.name) for path in folder.iterdir())
    except OSError:  # a folder that cannot be listed is named where the classes are
        return True


def split_folders(root: Path, names: Sequence[str]) -> list[Path]:
    """The folders that go by one of the names, in whatever case, in the order of the names."""
    called = {name: at for at, name in enumerate(names)}
    return sorted(
        (p for p in subfolders(root, lambda error: None) if plain_split(p.name) in called),
        key=lambda p: (called[plain_split(p.name)], p.name != p.name.lower(), p.name),
    )


def split_names(root: Path, *splits: dict[str, list[Path]]) -> str:
    """The folders that are the splits, where they are not simply train and val."""
    found = [next(iter(s.values()))[0].relative_to(root).parts[0] for s in splits if s]
    usual = found in (["train"], ["train", "val"]) or len(found) < 2
    return "" if usual else f"{found[0]} trains, {found[1]} validates"


def folders_beside(root: Path) -> list[str]:
    """The folders with images beside `train` and `val` that are not splits."""
    used = {next(iter(split_folders(root, names)), None) for names in (TRAIN, VALIDATION, TEST)}
    return [p.name for p in subfolders(root) if p not in used and list_images(p)]


def require_split(root: Path, names: Sequence[str], beside: Sequence[str]) -> None:
    """Raises DataError where a class may have the name of a split: its folders are not classes.

    With folders that go by the name of some split beside it, it is one of them.
    """
    split = printable(split_folders(root, names)[0].name)
    if not all(plain_split(name) in OTHER_SPLITS for name in beside):
        raise DataError(
            f"{root}: {split} has folders of images and lies beside "
            f"{printable(', '.join(beside[:3]))}: if {split} is a class, put all classes into a "
            "folder called train; if it is a split, move the others away"
        )


def nested_alike(root: Path, folders: dict[str, list[Path]]) -> list[Note]:
    """A note where every class has its images in folders, and the same ones: folds, or splits."""
    inner = []
    for name, images in folders.items():
        parts = [path.relative_to(root / name).parts for path in images]
        inner.append({p[0] for p in parts} if all(len(p) > 1 for p in parts) else set())
    if len(inner) > 1 and len(inner[0]) > 1 and all(names == inner[0] for names in inner):
        same = ", ".join(sorted(inner[0])[:5])
        detail = (
            f"read as the classes {', '.join(sorted(folders)[:5])}, and each has the same "
            f"folders ({same}): if these are the classes, put them into train and val"
        )
        return [Note("layout", str(root), detail)]
    return []


def find_split(
    root: Path,
    names: Sequence[str],
    on_error: OnError = raise_unlistable,
    unread: Counter[str] | None = None,
) -> dict[str, list[Path]]:
    """The class folders of the split that goes by one of the names, none if there is none.

    A folder without class folders is not a split: it is a class of that name, or has no labels.
    """
    for folder in split_folders(root, names):
        kinds: Counter[str] = Counter()
        if found := class_folders(folder, on_error, kinds):
            if unread is not None:
                unread.update(kinds)
            return found
    return {}


def class_folders(
    folder: Path, on_error: OnError = raise_unlistable, unread: Counter[str] | None = None
) -> dict[str, list[Path]]:
    """The images of each class folder, in the order of their names; empty classes left out."""
    found = {}
    for path in subfolders(folder, on_error):
        images = list_images(path, on_error, unread)
        if images:
            found[path.name] = images
    return found


def subfolders(folder: Path, on_error: OnError = raise_unlistable) -> list[Path]:
    """The folders in a folder, and links to some, in the order of their names; none hidden."""
    try:
        return sorted(p for p in folder.iterdir() if not is_hidden(p.name) and p.is_dir())
    except OSError as error:
        on_error(error)
        return []


def list_images(
    folder: Path, on_error: OnError = raise_unlistable, unread: Counter[str] | None = None
) -> list[Path]:
    """Every image below a folder, by its extension, in the order of the names; none hidden.

    Links to files count as files, links to folders are not followed.  `on_error` is called with
    the error for a folder that cannot be listed: by default a DataError, as it may hold anything.
    `unread` gets how many other files there are of each kind.
    """
    found = []
    for place, folders, files in os.walk(folder, onerror=on_error):
        beat()
        folders[:] = [name for name in folders if not is_hidden(name)]
        if unread is not None:
            unread.update(kind for name in files if (kind := unread_kind(name)))
            links = sum(os.path.islink(os.path.join(place, name)) for name in folders)  # noqa: PTH114, PTH118
            unread.update({"links to folders": links} if links else {})
        found += [Path(place, name) for name in files if is_image(name)]
    return sorted(found)


def is_hidden(name: str) -> bool:
    """Whether a folder does not count: hidden, or left by a system."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def unread_kind(name: str) -> str:
    """What kind of file is not read, "" for images, hidden files and what systems leave."""
    if is_image(name) or name.startswith(".") or name.lower() in SYSTEM_FILES:
        return ""
    return os.path.splitext(name)[1].lower() or "without extension"  # noqa: PTH122


def is_image(name: str) -> bool:
    """Whether a file is an image by its name, and not hidden."""
    extension = os.path.splitext(name)[1].lower()  # noqa: PTH122
    return not name.startswith(".") and is_image_extension(extension)


def collect(images: dict[str, list[Path]], classes: Sequence[Class]) -> Samples:
    index = ClassIndex(classes)
    pairs = [
        (path, index.find(name, printable(str(paths[0].parent))))
        for name, paths in images.items()
        for path in paths
    ]
    return Samples(tuple(path for path, _ in pairs), tuple(label for _, label in pairs))
