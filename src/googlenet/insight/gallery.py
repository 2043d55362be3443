"""Visualizations of many units as files, by several processes, resumable.

Every file says in its metadata what it was made from, so that finished ones are kept and those of
another model or of other settings are made anew.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngImageFile, PngInfo

from googlenet.inference.classifier import Classifier
from googlenet.insight.chunks import Chunk, Workers
from googlenet.insight.model_digest import model_digest
from googlenet.insight.render import UNITS_PER_BATCH, Image, RenderSettings, visualize
from googlenet.runtime.errors import UsageError
from googlenet.runtime.files import write_bytes

KEY = "googlenet"  # of the metadata of a PNG
SECONDS_PER_UNIT = 2.0  # of CPU, about: for the time left


@dataclass(frozen=True)
class Gallery:
    """What is made, and where: sent to each process that makes some."""

    classifier: Classifier
    layer: str
    settings: RenderSettings
    folder: Path
    key: str

    def path(self, unit: int) -> Path:
        return self.folder / f"{self.layer}-{unit}{self.ending}"

    @property
    def ending(self) -> str:
        return "-opposite.png" if self.settings.sign < 0 else ".png"

    def activation(self, unit: int) -> float | None:
        """The activation that a finished file tells; None where it is still to be made."""
        facts = read_facts(self.path(unit))
        return float(facts["activation"]) if facts.get("key") == self.key else None


def open_gallery(
    classifier: Classifier, layer: str, settings: RenderSettings, folder: Path
) -> Gallery:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out must be a folder, got {folder}, a file")
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"model": model_digest(classifier), "layer": layer, **asdict(settings)}
    key = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    return Gallery(classifier, layer, settings, folder, key)


def make(
    gallery: Gallery, units: Sequence[int], processes: int, should_stop: Callable[[], bool]
) -> Iterator[int]:
    """Make what is missing; gives back how many units each finished part has."""
    missing = [unit for unit in units if gallery.activation(unit) is None]
    groups = [missing[i : i + UNITS_PER_BATCH] for i in range(0, len(missing), UNITS_PER_BATCH)]
    for group in groups:
        gallery.path(group[-1]).unlink(missing_ok=True)  # of other settings
    chunks = [
        Chunk(gallery.path(group[-1]), make_some, (group,), SECONDS_PER_UNIT * len(group))
        for group in groups
    ]
    with Workers(gallery, min(processes, max(1, len(chunks)))) as workers:
        for chunk in workers.run(chunks, should_stop):
            yield len(chunk.arguments[0])


def make_some(gallery: Gallery, units: Sequence[int]) -> None:
    for found in visualize(gallery.classifier, gallery.layer, units, gallery.settings):
        write_png(
            gallery.path(found.unit),
            found.image,
            {"key": gallery.key, "activation": found.activation},
        )


def write_png(path: Path, image: Image, facts: dict[str, Any]) -> None:
    info, stream = PngInfo(), io.BytesIO()
    info.add_text(KEY, json.dumps(facts))
    PillowImage.fromarray(image).save(stream, "PNG", pnginfo=info)
    write_bytes(path, stream.getvalue())


def read_facts(path: Path) -> dict[str, Any]:
    """What `write_png` was told; nothing of a file of another kind, or none."""
    try:
        with PillowImage.open(path, formats=("PNG",)) as image:
            assert isinstance(image, PngImageFile)
            facts = json.loads(str(image.text.get(KEY, "{}")))
        return facts if isinstance(facts, dict) else {}
    except (OSError, ValueError):
        return {}


def sheet(gallery: Gallery, units: Sequence[int]) -> Path:
    """All units on one picture, in rows; returns its file."""
    side, columns = gallery.settings.size, min(8, len(units))
    rows = ceil(len(units) / columns)
    whole = PillowImage.new("RGB", (columns * side, rows * side), "white")
    for at, unit in enumerate(units):
        with PillowImage.open(gallery.path(unit)) as image:
            whole.paste(image.convert("RGB"), (at % columns * side, at // columns * side))
    stream = io.BytesIO()
    whole.save(stream, "PNG")
    path = gallery.folder / f"{gallery.layer}{gallery.ending}"
    write_bytes(path, stream.getvalue())
    return path
