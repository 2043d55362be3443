"""A page with an image and its nearest neighbors, in one file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import jinja2

from googlenet.images.archived import ArchivedImage
from googlenet.images.decode import ImageError, decode
from googlenet.runtime.errors import printable
from googlenet.runtime.files import write_text

THUMBNAIL = 224


def write_page(
    path: Path, image: str, neighbors: Sequence[tuple[Path | ArchivedImage, float]], layer: str
) -> None:
    """neighbors: images and their similarities.  Raises WriteError where it cannot be written."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("googlenet.insight", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("neighbors.html.jinja").render(
        image=printable(image),
        picture=thumbnail(Path(image)),
        layer=layer,
        neighbors=[(printable(str(each)), thumbnail(each), value) for each, value in neighbors],
    )
    write_text(path, page)


def thumbnail(source: Path | ArchivedImage) -> str:
    """A small JPEG as a data URL; "" for an image that cannot be read any more."""
    try:
        image = decode(source).convert("RGB")
    except ImageError:
        return ""
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
