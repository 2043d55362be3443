"""What a detector finds in files, as rows, tables and drawn images."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from googlenet.data.labels import Class
from googlenet.detection.detections import Detections
from googlenet.detection.detector import Detector, detect
from googlenet.images.archived import ArchivedImage
from googlenet.images.decode import ImageError
from googlenet.images.turbo_jpeg import load_image
from googlenet.runtime.errors import UsageError, printable
from googlenet.runtime.files import write_bytes, write_text
from googlenet.runtime.watchdog import beat

COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")


@dataclass(frozen=True)
class DetectedImage:
    """An image's size and what was found in it, or why it could not be read."""

    path: str
    width: int
    height: int
    detections: Detections
    classes: Sequence[Class]
    error: str | None = None

    def items(self) -> Iterator[tuple[str, float, list[float]]]:
        """Label, score, and box of each detection, best first."""
        found = self.detections
        for box, label, score in zip(found.boxes, found.labels, found.scores, strict=True):
            yield (
                self.classes[int(label)].name,
                round(float(score), 4),
                [round(float(side), 2) for side in box],
            )

    def to_line(self) -> str:
        """A line of JSON."""
        found = [{"label": name, "score": score, "box": box} for name, score, box in self.items()]
        value: dict[str, Any] = {
            "path": self.path, "width": self.width, "height": self.height, "detections": found,
            "error": self.error,
        }  # fmt: skip
        return json.dumps(value)

    def lines(self) -> list[str]:
        """The detections in words."""
        head = f"{printable(self.path)}: {len(self.detections)} found"
        rows = (
            f"    {printable(name):<24} {100 * score:5.1f} %  "
            + " ".join(f"{side:.0f}" for side in box)
            for name, score, box in self.items()
        )
        return [head, *rows]


def predict(
    detector: Detector,
    paths: Iterable[str | Path | ArchivedImage],
    threshold: float,
    soft: bool = False,
    draw_to: Path | None = None,
) -> Iterator[DetectedImage]:
    """A row per image; an unreadable one has `error` set.

    draw_to: a folder for the images with their boxes.
    """
    proposals, classes = detector.proposals(), detector.header.classes
    for path in paths:
        try:
            image = np.asarray(load_image(path))
        except ImageError as error:
            yield DetectedImage(str(path), 0, 0, Detections.none(), classes, str(error))
            continue
        found = detect([detector], image, proposals.boxes(image), soft)
        kept = found.best(int((found.scores >= threshold).sum()))
        row = DetectedImage(str(path), image.shape[1], image.shape[0], kept, classes)
        if draw_to is not None:
            write_bytes(draw_to / f"{Path(str(path)).stem}.jpg", jpeg(draw(image, row)))
        beat()
        yield row


def draw(image: NDArray[np.uint8], row: DetectedImage) -> Image.Image:
    """The image with its boxes, each with its class and score."""
    picture = Image.fromarray(image)
    pen, line = ImageDraw.Draw(picture), max(2, round(max(picture.size) / 250))
    font = ImageFont.load_default(max(10, max(picture.size) / 40))
    names = {c.name: i for i, c in enumerate(row.classes)}
    for name, score, (x1, y1, x2, y2) in reversed(list(row.items())):
        color = COLORS[names[name] % len(COLORS)]
        pen.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=color, width=line)
        text = f"{name} {100 * score:.0f} %"
        left, top, right, bottom = pen.textbbox((x1 + line, y1), text, font=font)
        pen.rectangle((left - line, top - line, right + line, bottom + line), fill=color)
        pen.text((x1 + line, y1), text, fill="white", font=font)
    return picture


def jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()


Writer = Callable[[Path, Sequence[DetectedImage], Sequence[Class]], None]


def writer_for(path: Path) -> Writer:
    """Raises UsageError for a file of an unknown extension."""
    writers: dict[str, Writer] = {".csv": to_csv, ".jsonl": to_jsonl, ".json": to_coco}
    if path.suffix not in writers:
        raise UsageError(f"--out must end in .csv, .jsonl or .json, got {path}")
    return writers[path.suffix]


def to_jsonl(path: Path, rows: Sequence[DetectedImage], classes: Sequence[Class]) -> None:
    write_text(path, "".join(row.to_line() + "\n" for row in rows))


def to_csv(path: Path, rows: Sequence[DetectedImage], classes: Sequence[Class]) -> None:
    """Columns path,label,score,x1,y1,x2,y2,error: a row per detection, one for an image without."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("path", "label", "score", "x1", "y1", "x2", "y2", "error"))
    for row in rows:
        for name, score, box in row.items():
            writer.writerow((row.path, name, score, *box, ""))
        if not len(row.detections):
            writer.writerow((row.path, "", "", "", "", "", "", row.error or ""))
    write_text(path, table.getvalue())


def to_coco(path: Path, rows: Sequence[DetectedImage], classes: Sequence[Class]) -> None:
    """COCO results: image_id is the file's stem, a number where it is one; category_id from 1."""
    index = {c.name: i for i, c in enumerate(classes, 1)}
    results = []
    for row in rows:
        stem = Path(row.path).stem
        for name, score, (x1, y1, x2, y2) in row.items():
            results.append(
                {"image_id": int(stem) if stem.isdecimal() else stem, "category_id": index[name],
                 "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)], "score": score}
            )  # fmt: skip
    write_text(path, json.dumps(results) + "\n")
