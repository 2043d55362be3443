"""Recall of a source of proposals on annotated images, as a table and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from googlenet.detection.annotations import AnnotatedImage
from googlenet.detection.proposals.cache import ProposalCache
from googlenet.detection.proposals.recall import Recall, recalls
from googlenet.images.decode import ImageError
from googlenet.images.turbo_jpeg import load_image
from googlenet.runtime.console import Console
from googlenet.runtime.files import write_bytes
from googlenet.runtime.watchdog import beat

# Section 8: coverage of ILSVRC's boxes by the paper's proposals, and with MultiBox's 200 more.
PAPER_COVERAGE = (0.92, 0.93)


@dataclass(frozen=True)
class Measured:
    """A source's recall; CPU seconds per image, of those that were not kept from before."""

    name: str
    recalls: list[Recall]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        rows = [each._asdict() for each in self.recalls]
        return {"name": self.name, "recall": rows, "cpu_seconds_per_image": self.seconds}

    def lines(self) -> list[str]:
        return [
            f"{self.name:<24}{r.limit:>7,}{r.proposals:>9,.0f}{r.recall50:>9.3f}{r.recall70:>8.3f}"
            f"{r.overlap:>8.3f}{self.seconds:>8.3f}"
            for r in self.recalls
        ]


def measure(
    cache: ProposalCache, images: Sequence[AnnotatedImage], counts: Sequence[int], console: Console
) -> Measured:
    """Raises KeyboardInterrupt after a signal; a cache on disk keeps what was found."""
    truths, found, seconds = [], [], 0.0
    with console.bar(len(images), cache.name, unit=" images") as bar:
        for image in images:
            try:
                pixels = np.asarray(load_image(image.path))
            except ImageError as error:
                console.say(str(error))
                continue
            began = process_time()
            found.append(cache.boxes(pixels))
            seconds += process_time() - began
            truths.append(image.truth)
            bar.update()
            beat()
            if console.interrupted:
                raise KeyboardInterrupt
    return Measured(
        cache.name, recalls(truths, found, counts), round(seconds / max(1, len(found)), 4)
    )


def plot(found: Sequence[Measured], path: Path) -> None:
    """Recall at IoU 0.5 against the mean number of proposals, the paper's coverage beside it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for each in found:
        numbers = [r.proposals for r in each.recalls]
        axes.plot(numbers, [100 * r.recall50 for r in each.recalls], marker="o", label=each.name)
    for share in PAPER_COVERAGE:
        axes.axhline(100 * share, color="gray", linewidth=0.8, linestyle="--")
    axes.set(xscale="log", xlabel="proposals per image", ylabel="recall at IoU 0.5, percent")
    axes.set_title("dashed: ILSVRC 2014, 92 %, with MultiBox 93 % (section 8)", fontsize=9)
    axes.legend()
    stream = BytesIO()
    figure.savefig(stream, format=path.suffix.removeprefix(".") or "png", dpi=130)
    write_bytes(path, stream.getvalue())
