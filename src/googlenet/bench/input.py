"""How fast images become crops for training, beside a plain Pillow pipeline, a core each.

Everything reads the same files and draws the same random crops.  What is counted is the time of
the one thread that works, so that other programs on the machine matter less; repetitions of the
pipelines alternate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import median
from time import thread_time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from googlenet.data.cache import MemoryCache
from googlenet.data.dataset import Samples
from googlenet.data.loader import TrainingLoader
from googlenet.images import turbo_jpeg
from googlenet.images.archived import ArchivedImage
from googlenet.images.augment import Augmentation, HorizontalFlip, RandomResizedCrop
from googlenet.images.color import srgb_transform
from googlenet.images.decode import open_image
from googlenet.images.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, resize_size
from googlenet.runtime.device import one_thread
from googlenet.runtime.errors import GoogLeNetError

UNIT = "images/s per core"
BATCH = 32
UNLIMITED_BYTES = 1 << 40  # for a cache that holds every image

Source = Path | ArchivedImage
Pipeline = Callable[[int], Any]  # epoch -> whatever all the images became


@dataclass(frozen=True)
class InputImages:
    """JPEGs to read, and the random crops to take of them."""

    samples: Samples
    crop: RandomResizedCrop

    @property
    def sources(self) -> list[Source]:
        return [s for s in self.samples.sources if isinstance(s, Path | ArchivedImage)]


def synthetic(count: int, width: int = 500, height: int = 375) -> Samples:
    """JPEGs in memory of soft random patterns, for who has no images at hand."""
    rng = np.random.default_rng(0)
    sources = []
    for number in range(count):
        grains = rng.integers(0, 256, (height // 6, width // 6, 3), dtype=np.uint8)
        soft = Image.fromarray(grains).resize((width, height), Image.Resampling.BICUBIC)
        stream = BytesIO()
        soft.save(stream, "JPEG", quality=90)
        shard = InMemoryShard(stream.getvalue())
        sources.append(ArchivedImage(shard, 0, len(shard.content), f"{number}.jpg"))
    return Samples(tuple(sources), (0,) * count)


@dataclass(frozen=True)
class InMemoryShard:
    """A shard in memory."""

    content: bytes

    def read(self, offset: int, size: int) -> bytes:
        return self.content[offset : offset + size]


def sample(samples: Samples, count: int) -> Samples:
    """So many images from all over the data, fewer where some would be no comparison.

    That is: arrays, which need no file reads, and images with a color profile that `decode`
    converts and a plain pipeline ignores.
    """
    at = np.unique(np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int))
    chosen = [int(i) for i in at if comparable(samples.sources[int(i)])]
    if not chosen:
        raise GoogLeNetError("the data must hold images as files to measure reading them, has none")
    return samples.take(chosen)


def comparable(source: Source | NDArray[np.uint8]) -> bool:
    if isinstance(source, np.ndarray):
        return False
    with open_image(source.read() if isinstance(source, ArchivedImage) else source) as image:
        profile = image.info.get("icc_profile")
        return image.mode == "RGB" and (not profile or srgb_transform(profile, "RGB") is None)


def measure(
    samples: Samples, size: int, repeats: int, progress: Callable[[], object] = lambda: None
) -> dict[str, Any]:
    """Every pipeline `repeats` times in turn: the value that `googlenet bench input` prints."""
    images = InputImages(samples, RandomResizedCrop(size, (0.08, 1.0)))
    with one_thread():
        pipelines = build(images)
        speeds = alternate(pipelines, len(samples), repeats, progress)
        copies = [copy_speed() for _ in range(repeats)]
    decoding = {name: median(found) for name, found in speeds.items() if name in CEILINGS}
    best = max(decoding.values())
    rows = [
        row(name, found, median(speeds[peer_of(name)]), best)
        for name, found in speeds.items()
        if name not in CEILINGS
    ]
    return {
        "kind": "input",
        "unit": UNIT,
        "photos": len(samples),
        "size": size,
        "repeats": repeats,
        "ceiling": {
            **{name: round(speed, 1) for name, speed in decoding.items()},
            "memory copy, GB/s": round(median(copies), 2),
        },
        "results": rows,
    }


CEILINGS = ("decoding alone, libjpeg-turbo", "decoding alone, Pillow")
CROPS, TENSORS = "uint8 crops", "float batches"


def peer_of(name: str) -> str:
    """Pillow's pipeline to what that one makes."""
    return f"Pillow, {name.rsplit(', ', 1)[1]}"


def row(name: str, speeds: list[float], peer: float, ceiling: float) -> dict[str, Any]:
    """`ratio` is to Pillow's pipeline to the same output, `of_ceiling` to decoding alone."""
    speed = median(speeds)
    return {
        "name": name,
        "median": round(speed, 1),
        "low": round(min(speeds), 1),
        "high": round(max(speeds), 1),
        "ratio": round(speed / peer, 3),
        "of_ceiling": round(speed / ceiling, 3),
    }


def build(images: InputImages) -> dict[str, Pipeline]:
    """The pipelines by name; those of libjpeg-turbo where it is installed."""
    found: dict[str, Pipeline] = {
        "decoding alone, Pillow": lambda epoch: [decode_plainly(s) for s in images.sources],
        f"Pillow, {CROPS}": lambda epoch: [crop_plainly(images, i, epoch) for i in indices(images)],
        f"Pillow, {TENSORS}": lambda epoch: [
            tensor_plainly(crop_plainly(images, i, epoch)) for i in indices(images)
        ],
    }
    for decoder in ("pillow", *(["turbo"] if turbo_jpeg.available() else [])):
        crops, tensors = ours(images, decoder)
        found[f"googlenet {decoder}, {CROPS}"] = crops
        found[f"googlenet {decoder}, {TENSORS}"] = tensors
    best = "turbo" if turbo_jpeg.available() else "pillow"
    found[f"googlenet {best} cached, {CROPS}"] = ours(images, best, MemoryCache(UNLIMITED_BYTES))[0]
    if turbo_jpeg.available():
        found["decoding alone, libjpeg-turbo"] = lambda epoch: [
            turbo_jpeg.decode_turbo(s) for s in images.sources
        ]
    return found


def indices(images: InputImages) -> range:
    return range(len(images.samples))


def ours(
    images: InputImages, decoder: str, cache: MemoryCache | None = None
) -> tuple[Pipeline, Pipeline]:
    """Training's own loader: to crops in bytes, and on to normalized batches."""
    size = images.crop.size
    preprocessing = Preprocessing(size=size, resize_size=resize_size(size))
    augmentation = Augmentation((images.crop, HorizontalFlip()), seed=0)
    loader = TrainingLoader(images.samples, preprocessing, augmentation, decoder, cache)

    def crops(epoch: int) -> list[object]:
        return [loader.load(epoch, part).pixels for part in batches(images)]

    def tensors(epoch: int) -> list[object]:
        loaded = (loader.load(epoch, part).pixels for part in batches(images))
        return [preprocessing.normalize(torch.from_numpy(pixels)) for pixels in loaded]

    return crops, tensors


def batches(images: InputImages) -> Iterator[range]:
    count = len(images.samples)
    for begin in range(0, count, BATCH):
        yield range(begin, min(begin + BATCH, count))


def decode_plainly(source: Source) -> Image.Image:
    """What most loaders do: `Image.open(…).convert("RGB")`."""
    stream = BytesIO(source.read()) if isinstance(source, ArchivedImage) else source
    with Image.open(stream) as image:
        return image.convert("RGB")


def crop_plainly(images: InputImages, index: int, epoch: int) -> Image.Image:
    """torchvision's RandomResizedCrop and RandomHorizontalFlip on Pillow images, step by step."""
    image = decode_plainly(images.sources[index])
    rng = np.random.default_rng((0, epoch, index))
    box = images.crop.box(*image.size, rng)
    side = (images.crop.size, images.crop.size)
    crop = image.crop(box).resize(side, Image.Resampling.BILINEAR)
    return ImageOps.mirror(crop) if rng.random() < 0.5 else crop


def tensor_plainly(crop: Image.Image) -> Tensor:
    """torchvision's ToTensor and Normalize, step by step."""
    pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1).contiguous()
    numbers = pixels.to(torch.float32).div(255)
    mean, std = (torch.tensor(v).view(3, 1, 1) / 255 for v in (IMAGENET_MEAN, IMAGENET_STD))
    return numbers.sub_(mean).div_(std)


def alternate(
    pipelines: dict[str, Pipeline],
    images: int,
    repeats: int,
    progress: Callable[[], object],
) -> dict[str, list[float]]:
    """Images a second of each pipeline in each repetition; one more before them does not count."""
    speeds: dict[str, list[float]] = {name: [] for name in pipelines}
    for repeat in range(repeats + 1):
        for name, pipeline in pipelines.items():
            began = thread_time()
            pipeline(repeat)
            seconds = thread_time() - began
            if repeat:
                speeds[name].append(images / max(seconds, 1e-9))
            progress()
    return speeds


def copy_speed(size: int = 64 << 20) -> float:
    """Gigabytes a second that one thread copies: read once and written once."""
    source, target = np.ones(size, np.uint8), np.empty(size, np.uint8)
    np.copyto(target, source)
    began = thread_time()
    np.copyto(target, source)
    return size / max(thread_time() - began, 1e-9) / 1e9
