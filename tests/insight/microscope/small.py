"""A small model and few images, of which a microscope is made in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from googlenet.data.dataset import Samples
from googlenet.insight.microscope.plan import Plan, Settings, make_plan
from tests.fixtures import noise, tiny_classifier

LAYERS = ("3a", "5b")


def samples(count: int = 12, classes: int = 3) -> Samples:
    images = tuple(np.asarray(noise(40, 36, n)) for n in range(count))
    return Samples(images, tuple(n % classes for n in range(count)))


def small_plan(
    folder: Path, images: Samples | None = None, labeled: bool = True, classes: int = 3,
    variant: str = "bn", at_most: int = 1000, **settings: Any,
) -> Plan:  # fmt: skip
    classifier = tiny_classifier(classes, variant=variant)
    chosen = Settings(**{"layers": LAYERS, "images": at_most, "steps": 0, **settings})
    return make_plan(classifier, images or samples(), labeled, chosen, folder)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
