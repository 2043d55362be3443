"""COCO: JSON files with images, categories and annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from googlenet.data.labels import DataError
from googlenet.detection.formats.raw import ImageFinder, RawBox, RawData, RawImage, split_named
from googlenet.runtime.errors import printable

KEYS = {"images", "annotations", "categories"}
SHOWN = 80  # characters of an annotation that cannot be read


def coco_files(root: Path) -> list[Path]:
    """The JSON files of this kind: the file itself, or those of a folder."""
    candidates = [root] if root.is_file() else sorted(root.rglob("*.json"))
    return [path for path in candidates if looks_like_coco(path)]


def looks_like_coco(path: Path) -> bool:
    """By the names of its keys, without parsing a file of a hundred megabytes twice."""
    content = path.read_bytes()
    return content.lstrip()[:1] == b"{" and all(f'"{key}"'.encode() in content for key in KEYS)


def read_coco(root: Path) -> RawData:
    """The annotations of a file, or of all files of a folder, named after their splits."""
    files = coco_files(root)
    base = root if root.is_dir() else root.parent
    if base.name == "annotations":
        base = base.parent
    finder, data = ImageFinder(base), RawData("COCO JSON", [])
    classes: list[str] = []
    for path in files:
        split = "" if root.is_file() else split_of(path, root)
        names = read_file(path, split, finder, data)
        classes += [name for name in names if name not in classes]
    data.classes = tuple(classes)
    return data


def split_of(path: Path, root: Path) -> str:
    """instances_train2017.json, train/_annotations.coco.json: the split that a name tells."""
    words = path.stem.replace(".", "_").split("_")
    parts = [word.rstrip("0123456789") for word in words]
    return next(filter(None, map(split_named, (*parts, *path.relative_to(root).parts[:-1]))), "")


def read_file(path: Path, split: str, finder: ImageFinder, data: RawData) -> list[str]:
    """Add the images of a file to the data; its classes in the order of their ids.

    Raises DataError for a file that is not JSON of this kind.
    """
    try:
        content = json.loads(path.read_bytes())
        categories = {c["id"]: str(c["name"]) for c in content["categories"]}
        boxes: dict[Any, list[RawBox]] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            try:
                read_annotation(path, annotation, categories, boxes, data)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                detail = f"an annotation cannot be read ({error}): {str(annotation)[:SHOWN]}"
                data.problems.append((str(path), "bad-annotation", detail))
        for image in content["images"]:
            data.images.append(read_image(path, image, tuple(boxes[image["id"]]), split, finder))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{printable(str(path))}: is not COCO JSON ({error!r})") from error
    return [categories[key] for key in sorted(categories)]


def read_annotation(
    path: Path,
    annotation: dict[str, Any],
    categories: dict[Any, str],
    boxes: dict[Any, list[RawBox]],
    data: RawData,
) -> None:
    where = f"annotation {annotation.get('id')!r}"
    if annotation["image_id"] not in boxes:
        detail = f"{where} is of the image {annotation['image_id']!r}, which the file does not list"
        data.problems.append((str(path), "missing-image", detail))
    elif annotation.get("category_id") not in categories:
        detail = f"{where} is of the category {annotation.get('category_id')!r}, not in the list"
        data.problems.append((str(path), "unknown-class", detail))
    elif len(annotation.get("bbox") or ()) != 4:
        detail = f"{where} must have a bbox of 4 numbers, has {annotation.get('bbox')!r}"
        data.problems.append((str(path), "bad-annotation", detail))
    else:
        x, y, width, height = map(float, annotation["bbox"])
        boxes[annotation["image_id"]].append(
            RawBox(
                categories[annotation["category_id"]],
                (x, y, x + width, y + height),
                difficult=bool(annotation.get("ignore") and not annotation.get("iscrowd")),
                crowd=bool(annotation.get("iscrowd")),
            )
        )


def read_image(
    path: Path, image: dict[str, Any], boxes: tuple[RawBox, ...], split: str, finder: ImageFinder
) -> RawImage:
    name = str(image["file_name"])
    bases = (path.parent, path.parent / "images", path.parent.parent / "images")
    size = (int(image["width"]), int(image["height"])) if image.get("width") else None
    return RawImage(name, finder.find(name, *bases), boxes, size, split)
