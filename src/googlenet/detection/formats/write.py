"""Annotated images written in each format; what is read again is the same to the last digit."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from googlenet.detection.annotations import SPLITS, AnnotatedImage, BoxDataSet
from googlenet.detection.formats.table import box_table
from googlenet.detection.formats.voc import voc_xml
from googlenet.runtime.errors import UsageError
from googlenet.runtime.files import write_text


def write_boxes(data: BoxDataSet, kind: str, out: Path) -> None:
    """kind: a name of WRITERS.  A CSV file names the images where they are; into the other
    formats' folders they are linked, or copied to another disk.

    Raises UsageError for another kind, and for a folder that is not empty.
    """
    if kind not in WRITERS:
        raise UsageError(f"--to must be one of {', '.join(WRITERS)}, got {kind!r}")
    if kind != "csv" and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out must be a new or empty folder, got {out}")
    WRITERS[kind](data, out)


def boxes_left_out(data: BoxDataSet, kind: str) -> int:
    """Difficult and crowd boxes, in a format that has no place for them."""
    if kind not in ("csv", "yolo"):
        return 0
    return sum(int((i.truth.difficult | i.truth.crowd).sum()) for i in data.images("all"))


def image_names(data: BoxDataSet) -> dict[Path, str]:
    """A name for each image, of which no two share a stem: labels go by it."""
    found: dict[Path, str] = {}
    taken: set[str] = set()
    for image in data.images("all"):
        stem, number = image.path.stem, 1
        while stem in taken:
            number += 1
            stem = f"{image.path.stem}-{number}"
        taken.add(stem)
        found[image.path] = stem + image.path.suffix
    return found


def place(source: Path, target: Path) -> None:
    """The image under another name: the same file where the disk allows, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        os.link(source.resolve(), target)
        return
    shutil.copyfile(source, target)


def exact(value: float) -> str:
    """The shortest decimal that is read as the same float32."""
    from numpy import float32, format_float_positional

    return format_float_positional(float32(value), trim="-")


def to_csv(data: BoxDataSet, out: Path) -> None:
    """Difficult and crowd boxes are left out: a table has no column for them."""

    def rows() -> Iterator[tuple[object, ...]]:
        for split in SPLITS:
            for image in data.images(split):
                path = os.path.relpath(image.path, out.parent)
                kept = image.truth.take(~(image.truth.difficult | image.truth.crowd))
                if not len(kept):
                    yield (path, "", "", "", "", "", split)
                for box, label in zip(kept.boxes, kept.labels, strict=True):
                    yield (path, data.classes[int(label)].id, *map(exact, box), split)

    write_text(out, box_table(rows()))


def to_voc(data: BoxDataSet, out: Path) -> None:
    """Annotations/, JPEGImages/ and ImageSets/Main/, as in Pascal VOC."""
    names = image_names(data)
    for split in SPLITS:
        stems = []
        for image in data.images(split):
            name = names[image.path]
            stems.append(Path(name).stem)
            place(image.path, out / "JPEGImages" / name)
            truth = image.truth
            boxes = [
                (data.classes[int(label)].id, [float(exact(v)) for v in box], bool(hard | crowd))
                for box, label, hard, crowd in zip(
                    truth.boxes, truth.labels, truth.difficult, truth.crowd, strict=True
                )
            ]
            text = voc_xml(name, (image.width, image.height), boxes)
            write_text(out / "Annotations" / f"{stems[-1]}.xml", text)
        if stems:
            write_text(out / "ImageSets/Main" / f"{split}.txt", "\n".join(stems) + "\n")


def to_coco(data: BoxDataSet, out: Path) -> None:
    """annotations/instances_SPLIT.json and images/."""
    names = image_names(data)
    categories = [{"id": i, "name": c.id} for i, c in enumerate(data.classes, 1)]
    for split in SPLITS:
        images: list[dict[str, object]] = []
        annotations: list[dict[str, object]] = []
        for number, image in enumerate(data.images(split), 1):
            place(image.path, out / "images" / names[image.path])
            images.append(
                {"id": number, "file_name": names[image.path], "width": image.width,
                 "height": image.height}
            )  # fmt: skip
            annotations += coco_annotations(image, number, len(annotations))
        if images:
            value = {"images": images, "categories": categories, "annotations": annotations}
            path = out / "annotations" / f"instances_{split}.json"
            write_text(path, json.dumps(value) + "\n")


def coco_annotations(image: AnnotatedImage, number: int, before: int) -> list[dict[str, object]]:
    """Sides are differences of exact float32 values, which add up to the same corners."""
    truth, found = image.truth, []
    for i, (x1, y1, x2, y2) in enumerate(truth.boxes.astype(float).tolist()):
        found.append(
            {"id": before + i + 1, "image_id": number, "category_id": int(truth.labels[i]) + 1,
             "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1),
             "iscrowd": int(truth.crowd[i]), "ignore": int(truth.difficult[i])}
        )  # fmt: skip
    return found


def to_yolo(data: BoxDataSet, out: Path) -> None:
    """data.yaml, images/SPLIT/ and labels/SPLIT/; difficult and crowd boxes are left out."""
    names = image_names(data)
    for split in SPLITS:
        for image in data.images(split):
            name = names[image.path]
            place(image.path, out / "images" / split / name)
            kept = image.truth.take(~(image.truth.difficult | image.truth.crowd))
            lines = []
            for box, label in zip(kept.boxes.astype(float), kept.labels, strict=True):
                x1, y1, x2, y2 = box / [image.width, image.height, image.width, image.height]
                values = ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
                lines.append(" ".join([str(int(label)), *(f"{v:.12g}" for v in values)]) + "\n")
            path = out / "labels" / split / f"{Path(name).stem}.txt"
            write_text(path, "".join(lines))
    splits = "".join(f"{split}: images/{split}\n" for split in SPLITS if data.images(split))
    listed = "".join(f"  {i}: {json.dumps(c.id)}\n" for i, c in enumerate(data.classes))
    write_text(out / "data.yaml", f"path: .\n{splits}names:\n{listed}")


WRITERS: dict[str, Callable[[BoxDataSet, Path], None]] = {
    "voc": to_voc,
    "coco": to_coco,
    "yolo": to_yolo,
    "csv": to_csv,
}
