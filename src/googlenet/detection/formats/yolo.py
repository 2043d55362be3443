"""YOLO: a text file per image, and a YAML or darknet's obj.data with the class names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from googlenet.data.labels import DataError
from googlenet.detection.formats.raw import ImageFinder, RawBox, RawData, RawImage
from googlenet.images.decode import is_image_extension
from googlenet.runtime.errors import GoogLeNetError, printable

SPLIT_KEYS = {"train": "train", "val": "val", "valid": "val", "test": "test"}


def yolo_file(root: Path) -> Path | None:
    """The file with the class names: the YAML itself, or that of a folder; None for none."""
    if root.is_file():
        return root if root.suffix in (".yaml", ".yml", ".data") else None
    for path in sorted((*root.glob("*.yaml"), *root.glob("*.yml"), *root.glob("*.data"))):
        if "names" in path.read_text(encoding="utf-8", errors="replace"):
            return path
    return None


def read_yolo(root: Path) -> RawData:
    """The annotations behind a YAML file or darknet's obj.data."""
    path = yolo_file(root)
    assert path is not None
    settings = read_settings(path)
    data = RawData("YOLO", [], class_names(settings.get("names"), path))
    base, finder = path.parent / str(settings.get("path") or ""), ImageFinder(path.parent)
    for key, split in SPLIT_KEYS.items():
        for image in images_of(settings.get(key), base, path.parent):
            data.images.append(read_image(image, split, finder, data))
    return data


def read_settings(path: Path) -> dict[str, Any]:
    """Raises DataError for a file that holds no settings."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".data":
        lines = (line.partition("=") for line in text.splitlines() if "=" in line)
        return {key.strip(): value.strip() for key, _, value in lines}
    try:
        import yaml
    except ImportError as error:
        raise GoogLeNetError(
            f"{path}: YAML files need PyYAML: pip install 'googlenet[detection]'"
        ) from error
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{printable(str(path))}: is not YAML ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"{printable(str(path))}: must have the key names, has none")
    return found


def class_names(names: Any, path: Path) -> tuple[str, ...]:
    """The names by index, of a list, a mapping, or a file with a name per line."""
    if isinstance(names, str):
        file = next((f for f in (path.parent / names, path.parent / Path(names).name)
                     if f.is_file()), None)  # fmt: skip
        lines = file.read_text(encoding="utf-8").splitlines() if file else []
        names = [line.strip() for line in lines if line.strip()]
    if isinstance(names, dict):
        try:
            names = [names[i] for i in range(len(names))]
        except KeyError as error:
            raise DataError(f"{printable(str(path))}: names has no {error}") from error
    if not isinstance(names, list) or not names:
        raise DataError(f"{printable(str(path))}: names must be a list of class names, is {names}")
    return tuple(map(str, names))


def images_of(value: Any, base: Path, folder: Path) -> Iterable[Path]:
    """The images of a split: those of a folder, of a list file, or of several of them.

    What a list names need not be there: `find` looks for it.
    """
    if isinstance(value, list):
        for each in value:
            yield from images_of(each, base, folder)
    elif value:
        text = str(value)
        # Roboflow writes ../train/images for what lies beside the file.
        tries = (base / text, folder / text, folder / text.removeprefix("../"),
                 folder / Path(text).name)  # fmt: skip
        place = next((path for path in tries if path.exists()), tries[0])
        if place.is_dir():
            found = (p for p in place.rglob("*") if is_image_extension(p.suffix.lower()))
            yield from sorted(found)
        elif place.is_file():
            lines = place.read_text(encoding="utf-8").splitlines()
            yield from (place.parent / line.strip() for line in lines if line.strip())


def read_image(image: Path, split: str, finder: ImageFinder, data: RawData) -> RawImage:
    """An image and the boxes of its text file."""
    boxes = []
    for number, line in enumerate(label_lines(image, finder.root), 1):
        try:
            boxes.append(parse_line(line, data.classes))
        except (ValueError, IndexError) as error:
            detail = f"line {number} of its labels cannot be read ({error})"
            data.problems.append((str(image), "bad-annotation", detail))
    found = finder.find(image.name, image.parent)
    return RawImage(image.name, found, tuple(boxes), None, split, relative=True)


def label_lines(image: Path, root: Path) -> list[str]:
    """The lines of an image's text file: in labels/ for images/, or beside it.

    A list's paths may be those of another machine: their ends are looked for below the root.
    """
    parts = list(image.parts)
    if "images" in parts:
        at = len(parts) - 1 - parts[::-1].index("images")
        parts[at] = "labels"
    tries = [Path(*parts), image, *(root.joinpath(*image.parts[i:]) for i in range(1, len(parts)))]
    for path in (each.with_suffix(".txt") for each in tries):
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            return [line for line in lines if line.strip()]
    return []


def parse_line(line: str, classes: tuple[str, ...]) -> RawBox:
    """A line: class index, center x and y, width, height; or the corners of a polygon.

    Raises ValueError.
    """
    first, *rest = line.split()
    index, numbers = int(float(first)), [float(value) for value in rest]
    if not 0 <= index < len(classes):
        raise ValueError(f"the class {index} is not below {len(classes)}")
    if len(numbers) >= 6 and len(numbers) % 2 == 0:
        x, y = numbers[::2], numbers[1::2]
        return RawBox(classes[index], (min(x), min(y), max(x), max(y)))
    if len(numbers) not in (4, 5):  # the fifth is a score
        raise ValueError(f"a line must have 5 numbers, has {len(numbers) + 1}")
    x_center, y_center, width, height = numbers[:4]
    half = (width / 2, height / 2)
    box = (x_center - half[0], y_center - half[1], x_center + half[0], y_center + half[1])
    return RawBox(classes[index], box)
