"""Pictures inside a page: no other file, no request."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import Any

from PIL import Image

OPTIONS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 85}, "PNG": {"optimize": True}}


def data_url(image: Image.Image, form: str = "JPEG") -> str:
    """The image as a URL: a small JPEG, or a PNG for what is drawn."""
    stream = io.BytesIO()
    image.save(stream, form, **OPTIONS[form])
    return f"data:image/{form.lower()};base64," + b64encode(stream.getvalue()).decode()
