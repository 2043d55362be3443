"""Detectors on the images of a split: what they find, how good it is, and how long it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np

from googlenet.detection.annotations import AnnotatedImage
from googlenet.detection.detections import Detections
from googlenet.detection.detector import Detector, detect
from googlenet.detection.metrics.evaluate import Result, evaluate
from googlenet.images.decode import ImageError
from googlenet.images.turbo_jpeg import load_image
from googlenet.runtime.console import Console
from googlenet.runtime.errors import UsageError
from googlenet.runtime.watchdog import beat


def require_alike(detectors: Sequence[Detector]) -> None:
    """Raises UsageError unless the detectors of an ensemble can be averaged."""
    first = detectors[0].header
    for other in (each.header for each in detectors[1:]):
        if [c.id for c in other.classes] != [c.id for c in first.classes]:
            raise UsageError("the detectors of an ensemble must have the same classes")
        if (other.regions.proposals, other.regions.count) != (
            first.regions.proposals,
            first.regions.count,
        ):
            raise UsageError("the detectors of an ensemble must look at the same proposals")


def detect_all(
    detectors: Sequence[Detector],
    images: Sequence[AnnotatedImage],
    console: Console,
    cache: Path | None = None,
    soft: bool = False,
) -> Iterator[Detections]:
    """What the detectors find in each image, with progress; nothing in an unreadable one."""
    require_alike(detectors)
    proposals = detectors[0].proposals(cache)
    with console.bar(len(images), "detect", unit=" images") as bar:
        for image in images:
            try:
                pixels = np.asarray(load_image(image.path))
            except ImageError as error:
                console.say(str(error))
                yield Detections.none()
            else:
                yield detect(detectors, pixels, proposals.boxes(pixels), soft)
            bar.update()
            beat()


def evaluate_detectors(
    detectors: Sequence[Detector],
    images: Sequence[AnnotatedImage],
    metric: str,
    console: Console,
    cache: Path | None = None,
    soft: bool = False,
) -> tuple[Result, list[Detections]]:
    """The result and the detections it is of."""
    began = perf_counter()
    found = list(detect_all(detectors, images, console, cache, soft))
    seconds = (perf_counter() - began) / max(1, len(images))
    truths = [image.truth for image in images]
    result = evaluate(truths, found, detectors[0].header.classes, metric)
    return replace(result, seconds_per_image=round(seconds, 4)), found
