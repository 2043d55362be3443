"""What several tests work on: images, folders of images, a classifier of little work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from googlenet import Classifier
from googlenet.data.labels import Class
from googlenet.images.preprocess import Preprocessing, resize_size
from googlenet.images.turbo_jpeg import DecodedImage
from googlenet.inference import classifier as inference
from googlenet.models.registry import build_network
from googlenet.training.averaging import recompute_bn_stats

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

COLOURS = {"red": (200, 60, 60), "green": (60, 200, 60), "blue": (60, 60, 200)}


def slow(*values: object) -> ParameterSet:
    """Parameters for a test that `make test` leaves to `make slow`."""
    return pytest.param(*values, marks=pytest.mark.slow)


def noise(width: int, height: int, seed: int = 0, mode: str = "RGB") -> Image.Image:
    """An image of random pixels, so that no two places of it look alike."""
    rng = np.random.default_rng(seed)
    bands = len(Image.new(mode, (1, 1)).getbands())
    shape = (height, width) if bands == 1 else (height, width, bands)
    raw = rng.integers(0, 256, shape, dtype=np.uint8)
    return Image.frombytes(mode, (width, height), raw.tobytes())


def tinted(colour: str, seed: int, side: int = 40) -> Image.Image:
    """A noisy image in which one color prevails: a class that can be learned."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(COLOURS[colour], 40, (side, side + 8, 3)).clip(0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The image as the bytes of a file."""
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels(image: DecodedImage) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(image)


def photo_folder(root: Path, photos: Mapping[str, int], seed: int = 0) -> Path:
    """Folders of tinted images: {"train/red": 4} makes four, named 0.png to 3.png."""
    for at, (name, count) in enumerate(photos.items()):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            own = seed + 1000 * at + number
            colour = Path(name).name
            image = tinted(colour, own) if colour in COLOURS else noise(40, 36, own)
            image.save(folder / f"{number}.png")
    return root


def tiny_classifier(
    classes: int = 3,
    *,
    size: int = 32,
    seed: int = 0,
    variant: str = "bn",
    heads: bool = False,
    mirror: bool = True,
) -> Classifier:
    """A network of a twentieth of the width, whose answers differ from image to image."""
    generator = torch.Generator().manual_seed(seed)
    network = build_network(
        variant, classes, size=size, width=0.05, with_aux_heads=heads, generator=generator
    )
    network.eval()
    # As drawn it says nearly the same of everything: statistics of its own spread its features.
    colors = torch.randn(16, 3, 1, 1, generator=generator)
    recompute_bn_stats(network, [colors + torch.randn(16, 3, size, size, generator=generator)])
    with torch.no_grad():
        network.get_parameter("classifier.weight").normal_(0, 0.15, generator=generator)
    return Classifier.from_network(
        network,
        tuple(Class(f"id{i}", f"name{i}") for i in range(classes)),
        Preprocessing(size=size, resize_size=resize_size(size), hflip=mirror),
    )


def disturb_norms(network: nn.Module, generator: torch.Generator) -> None:
    """Draw every number of batch normalization, so that each of them matters."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
            layer.bias.data.normal_(generator=generator)
            if layer.weight is not None:
                layer.weight.data.uniform_(-1, 2, generator=generator)


def set_header(classifier: inference.Classifier, **fields: Any) -> None:
    """Change fields of a classifier's header."""
    classifier.header = replace(classifier.header, **fields)
