"""What a reader of annotations finds, before anything is checked."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from googlenet.data.folder import TEST, TRAIN, VALIDATION, plain_split
from googlenet.images.decode import is_image_extension

SPLIT_NAMES = {"train": TRAIN, "val": VALIDATION, "test": TEST}


@dataclass(frozen=True)
class RawBox:
    """A box as a file has it, x1, y1, x2, y2 from the left edge of the first pixel.

    In pixels, or in shares of the image's sides (`RawImage.relative`).
    """

    label: str
    box: tuple[float, float, float, float]
    difficult: bool = False
    crowd: bool = False


@dataclass(frozen=True)
class RawImage:
    """An image's annotations.

    path: the image, None where no file has its `name`.  size: width and height that the
    annotation states.  split: "train", "val", "test" or "" where the data do not say.
    """

    name: str
    path: Path | None
    boxes: tuple[RawBox, ...] = ()
    size: tuple[int, int] | None = None
    split: str = ""
    relative: bool = False


@dataclass
class RawData:
    """classes: in the format's own order, () where it has none.  how: what was read, in words.

    problems: (file, kind of problem, detail) of what could not be parsed.
    """

    how: str
    images: list[RawImage]
    classes: tuple[str, ...] = ()
    problems: list[tuple[str, str, str]] = field(default_factory=list)


def split_named(text: str) -> str:
    """The split that a folder or file is named after, "" for none."""
    plain = plain_split(text)
    return next((split for split, names in SPLIT_NAMES.items() if plain in names), "")


class ImageFinder:
    """Images below a folder by their names, whatever folder they lie in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.by_name: dict[str, Path] | None = None

    def find(self, name: str, *bases: Path) -> Path | None:
        """The image of that name: beside one of the bases, else anywhere below the root.

        A name without an extension is that of any image.
        """
        name = name.replace("\\", "/")
        for base in bases:
            if (base / name).is_file():
                return base / name
        if self.by_name is None:
            self.by_name = {}
            for folder, _, files in sorted(os.walk(self.root, followlinks=True)):
                for file in sorted(files):
                    stem, extension = os.path.splitext(file)  # noqa: PTH122
                    if is_image_extension(extension.lower()):
                        self.by_name.setdefault(file, Path(folder, file))
                        self.by_name.setdefault(stem, Path(folder, file))
        last = name.rsplit("/", 1)[-1]
        return self.by_name.get(last)
