"""A page with an image and its nearest neighbors, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from googlenet.images.archived import ArchivedImage
from googlenet.images.data_url import data_url
from googlenet.images.decode import ImageError, decode
from googlenet.insight.heat import shrunk
from googlenet.runtime.errors import printable
from googlenet.runtime.files import write_text
from googlenet.runtime.template import render_template

THUMBNAIL = 224


def write_page(
    path: Path, image: str, neighbors: Sequence[tuple[Path | ArchivedImage, float]], layer: str
) -> None:
    """neighbors: images and their similarities.  Raises WriteError where it cannot be written."""
    page = render_template(
        "googlenet.insight",
        "neighbors.html.jinja",
        image=printable(image),
        picture=thumbnail(Path(image)),
        layer=layer,
        neighbors=[(printable(str(each)), thumbnail(each), value) for each, value in neighbors],
    )
    write_text(path, page)


def thumbnail(source: Path | ArchivedImage) -> str:
    """A small JPEG as a data URL; "" for an image that cannot be read any more."""
    try:
        return data_url(shrunk(decode(source), THUMBNAIL))
    except ImageError:
        return ""
