"""JSON that a client sent, and the images in it as base64 text."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

from googlenet.serving.http_error import HTTPError

MAX_VALUES = 10_000  # of a body: each takes up to a hundred bytes of memory once it is read
SHOWN = 60  # characters of a wrong value


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object.  Raises HTTPError: 400 for anything else, 413 for too many values."""
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise HTTPError(413, f"a JSON body may have {MAX_VALUES} values, this has more")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPError(400, "the body is not valid JSON") from error
    if not isinstance(value, dict):
        raise HTTPError(400, f"the body must be a JSON object, got {shown(value)}")
    return value


def image_of(text: object, name: str) -> bytes:
    """The image in base64 text.  Raises HTTPError (400), which calls the value by its name."""
    if not isinstance(text, str):
        raise HTTPError(400, f"{name} must be an image as base64 text, got {shown(text)}")
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise HTTPError(
            400, f"{name} must be an image as base64 text, got {shown(text)}"
        ) from error


def whole_number(value: object, name: str, most: int) -> int:
    """A number from 1 to `most`.  Raises HTTPError (400)."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise HTTPError(400, f"{name} must be a whole number from 1 to {most}, got {shown(value)}")
    return value


def object_in(value: dict[str, Any], name: str) -> dict[str, Any]:
    """The object under that name, empty for none.  Raises HTTPError (400)."""
    found = value.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise HTTPError(400, f"{name} must be an object, got {shown(found)}")
    return found


def shown(value: object) -> str:
    """A value as an error's sentence has it: on one line, in JSON, its beginning only."""
    match value:
        case dict():
            return "an object"
        case list() if not all(type(each) is int for each in value):
            return "a list"
        case list():
            value = value[:SHOWN]
        case str():
            value = value[: SHOWN + 1]
    text = json.dumps(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
