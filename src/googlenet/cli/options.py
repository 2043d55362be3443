"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

import argparse
from math import inf, nan

MODEL = (
    "a model file, a run folder, a published weight file, "
    "or one by name: bvlc, inception5h, torchvision"
)


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, got {text!r}")
    return value


def minutes(text: str) -> float:
    """A number of minutes, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not 0 <= value < inf:
        raise argparse.ArgumentTypeError(f"must be a number of minutes, 0 or more, got {text!r}")
    return value


def view_list(text: str) -> tuple[int, ...]:
    """Numbers of views, separated by commas: "1,10,144"."""
    allowed = {"1": 1, "10": 10, "144": 144}
    try:
        return tuple(dict.fromkeys(allowed[part.strip()] for part in text.split(",")))
    except KeyError:
        raise argparse.ArgumentTypeError(
            f"must be 1, 10 or 144, or several of them with commas, got {text!r}"
        ) from None


def add_json(
    parser: argparse.ArgumentParser, summary: str = "print one JSON value on stdout"
) -> None:
    parser.add_argument("--json", action="store_true", help=summary)


def add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=positive, default=2, help="threads that read photos (default: 2)"
    )
