"""The images that excite each unit most, and those of its middle range.

The images are read once, in chunks; what is kept of a chunk is one number per image and unit.  The
chunks are then merged one after the other, so that memory does not grow with the data.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from googlenet.images.decode import ImageError
from googlenet.images.preprocess import Preprocessing
from googlenet.images.view import load_view
from googlenet.insight.chunks import Chunk
from googlenet.insight.microscope.plan import Plan
from googlenet.runtime.files import write_atomically, write_bytes
from googlenet.runtime.watchdog import beat

BATCH = 16
SHOWN = 9  # images per unit
SAMPLED = 1000  # images at most whose activations tell a unit's middle range
QUALITY = 80  # of the JPEG files
COST = 0.08  # CPU-seconds per image, about

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]


def example_chunks(plan: Plan) -> list[Chunk]:
    return [
        Chunk(plan.work / f"examples-{n:04}.npz", collect, (n,), COST * len(images))
        for n, images in enumerate(plan.chunks())
    ]


def collect(plan: Plan, number: int) -> None:
    """What the units make of a chunk's images; the images themselves are stored on the way."""
    images, views, errors = load_views(plan, plan.chunks()[number])
    for image, view in zip(images, views, strict=True):
        path = plan.folder / "images" / f"{image:06}.jpg"
        write_bytes(path, as_jpeg(view, plan.header.preprocessing))
    parts = [activations_of(plan, part) for part in batches(views)]
    arrays: dict[str, Any] = {"images": images, "errors": json.dumps(errors)}
    arrays |= {
        name: np.concatenate([part[name] for part in parts])
        for name in ("highest", "places", "means", "logits")
        if parts
    }
    save(plan.work / f"examples-{number:04}.npz", **arrays)


def save(path: Path, **arrays: Any) -> None:
    """Write arrays for later parts."""

    def write(beside: Path) -> None:
        with beside.open("wb") as file:
            np.savez(file, **arrays)

    write_atomically(path, write)


def load_views(
    plan: Plan, images: Iterable[int]
) -> tuple[list[int], list[NDArray[np.uint8]], dict[int, str]]:
    """The readable images' numbers and what the network sees of each; the others' errors."""
    numbers, views, errors = [], [], {}
    for image in images:
        beat()
        try:
            views.append(load_view(plan.samples.sources[image], plan.header.preprocessing))
            numbers.append(image)
        except ImageError as error:
            errors[image] = str(error)
    return numbers, views, errors


def batches(views: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    for begin in range(0, len(views), BATCH):
        yield np.stack(views[begin : begin + BATCH])


@torch.inference_mode()
def activations_of(plan: Plan, views: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Each unit's highest activation, its place and its mean over places: (N, units) each."""
    inputs = plan.header.preprocessing.normalize(torch.from_numpy(views))
    highest, places, means = [], [], []
    with plan.network.tap(*(layer.name for layer in plan.layers)) as maps:
        logits = plan.network(inputs)
    for layer in plan.layers:
        flat = maps[layer.name][:, : layer.units].flatten(2)
        value, place = flat.max(2)
        highest.append(value.numpy())
        places.append(place.numpy().astype(np.int32))
        means.append(flat.mean(2).numpy())
    return {
        "highest": np.concatenate(highest, 1),
        "places": np.concatenate(places, 1),
        "means": np.concatenate(means, 1),
        "logits": logits.numpy(),
    }


def as_jpeg(view: NDArray[np.uint8], p: Preprocessing) -> bytes:
    """What the network sees, (size, size, channels), as a file for people."""
    pixels = view[:, :, 0] if p.channels == 1 else view[:, :, ::-1] if is_bgr(p) else view
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def is_bgr(p: Preprocessing) -> bool:
    return p.channel_order == "BGR"


@dataclass
class Top:
    """Each unit's highest activations so far, the highest first: (units, SHOWN) each."""

    values: Floats
    images: Integers
    places: Integers

    @classmethod
    def empty(cls, units: int) -> Top:
        shape = (units, SHOWN)
        return cls(np.zeros(shape, np.float32), np.zeros(shape, int), np.zeros(shape, int))

    def add(self, values: Floats, images: Integers, places: Integers) -> None:
        """values, places: (N, units).  Of equal values the first image's stays."""
        every = np.concatenate([self.values, values.T], 1)
        order = np.argsort(-every, axis=1, kind="stable")[:, :SHOWN]
        beside = np.broadcast_to(images, values.T.shape)
        self.values = np.take_along_axis(every, order, 1)
        self.images = np.take_along_axis(np.concatenate([self.images, beside], 1), order, 1)
        self.places = np.take_along_axis(np.concatenate([self.places, places.T], 1), order, 1)


@dataclass
class Examples:
    """What is known after all images.  Units of all layers side by side.

    images: the numbers of the readable images.  logits: (images, classes).  class_means: a row per
    class, the mean activation over its images and all places, NaN for a class without images;
    class_counts: how many images it has.  means, deviations: of all images.
    """

    top: Top
    middle: Top
    images: Integers
    logits: Floats
    class_means: Floats
    class_counts: Integers
    means: Floats
    deviations: Floats
    errors: dict[int, str]

    @property
    def scales(self) -> Floats:
        """Each unit's highest activation, or 1 if nothing excites it."""
        highest = self.top.values[:, 0]
        return np.where(highest > 0, highest, 1).astype(np.float32)


def merge(plan: Plan) -> Examples:
    """The chunks' results as one."""
    units, classes = plan.units, len(plan.header.classes)
    top, sampled = Top.empty(units), Sampled(-(-len(plan.samples) // SAMPLED))
    sums, squares = np.zeros((classes, units)), np.zeros(units)
    counts, total = np.zeros(classes, int), np.zeros(units)
    numbers, logits, errors = [], [], {}
    for chunk in read_chunks(plan):
        errors.update({int(n): text for n, text in json.loads(str(chunk["errors"])).items()})
        images = chunk["images"].astype(int)
        if not len(images):
            continue
        numbers.append(images)
        logits.append(chunk["logits"])
        top.add(chunk["highest"], images, chunk["places"])
        sampled.add(chunk["highest"], images, chunk["places"])
        means = chunk["means"].astype(np.float64)
        total += means.sum(0)
        squares += np.square(means).sum(0)
        for row, image in enumerate(images):
            for c in classes_of(plan, int(image), chunk["logits"][row]):
                sums[c] += means[row]
                counts[c] += 1
    count = max(1, sum(map(len, numbers)))
    mean = total / count
    return Examples(
        top,
        sampled.middle(units),
        np.concatenate(numbers) if numbers else np.zeros(0, int),
        np.concatenate(logits) if logits else np.zeros((0, classes), np.float32),
        np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], np.nan),
        counts,
        mean,
        np.sqrt(np.maximum(squares / count - mean**2, 0)),
        errors,
    )


def read_chunks(plan: Plan) -> Iterator[Mapping[str, NDArray[Any]]]:
    for chunk in example_chunks(plan):
        with np.load(chunk.path) as arrays:
            yield dict(arrays)


def classes_of(plan: Plan, image: int, logits: Floats) -> list[int]:
    """The classes of an image: its labels, or the prediction where the data have none."""
    return plan.samples.classes_of(image) if plan.labeled else [int(logits.argmax())]


class Sampled:
    """Activations of every `step`-th image, from which each unit's middle range is known."""

    def __init__(self, step: int) -> None:
        self.step = max(1, step)
        self.rows: list[tuple[Floats, Integers, Integers]] = []

    def add(self, values: Floats, images: Integers, places: Integers) -> None:
        kept = images % self.step == 0
        self.rows.append((values[kept], images[kept], places[kept]))

    def middle(self, units: int) -> Top:
        """The images around the median of those that excite a unit at all."""
        found = Top.empty(units)
        if not self.rows:
            return found
        values, images, places = (np.concatenate(part) for part in zip(*self.rows, strict=True))
        order = np.argsort(-values, axis=0, kind="stable")
        excited = (values > 0).sum(0)
        for unit in range(units):
            begin = max(0, (excited[unit] - SHOWN) // 2)
            rows = order[begin : min(begin + SHOWN, excited[unit]), unit]
            found.values[unit, : len(rows)] = values[rows, unit]
            found.images[unit, : len(rows)] = images[rows]
            found.places[unit, : len(rows)] = places[rows, unit]
        return found
