"""The images of an export: those on which parity is measured, those that calibrate int8."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from googlenet.data.dataset import Samples
from googlenet.data.load_data import load_data
from googlenet.data.loader import prefetch
from googlenet.images.decode import ImageError
from googlenet.images.turbo_jpeg import DecodedImage, load_image
from googlenet.inference.classifier import Classifier
from googlenet.inference.held_out import choose_held_out, default_split
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.watchdog import beat

GENERATED_IMAGES = 64


@dataclass(frozen=True)
class ParityImages:
    """`name` says whose they are; `labelled` whether the labels mean anything."""

    name: str
    samples: Samples
    labelled: bool = True
    lines: tuple[str, ...] = ()  # how they were read, for the user


def generated_images(count: int = GENERATED_IMAGES) -> ParityImages:
    """Generated images, where no others are at hand: noise with the spectrum of natural images.

    Amplitude falls as 1/frequency, each color drawn anew, sides of 96 to 383 pixels.  They say
    that two programs compute the same, and nothing of accuracy.
    """
    photos = []
    for number in range(count):
        rng = np.random.default_rng((2014, number))
        height, width = rng.integers(96, 384, 2)
        frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
        frequency[0, 0] = np.inf
        noise = rng.normal(size=(3, height, frequency.shape[1])) * np.exp(
            2j * np.pi * rng.random((3, height, frequency.shape[1]))
        )
        waves = np.fft.irfft2(noise / frequency, s=(height, width))
        waves = waves / waves.std() * rng.uniform(20, 70) + rng.uniform(40, 215, (3, 1, 1))
        photos.append(waves.clip(0, 255).astype(np.uint8).transpose(1, 2, 0))
    return ParityImages("generated images", Samples(tuple(photos), (0,) * count), labelled=False)


def parity_images(
    classifier: Classifier, data: str | None, held_out: bool, limit: int
) -> ParityImages:
    """The images on which parity is measured: those that the model was not trained on.

    That is the validation part where the data has one or has trained the model, or where the
    rest calibrates (`held_out`); else all of it.  Of more than `limit`, that many spread evenly.
    """
    if data is None:
        return generated_images(min(GENERATED_IMAGES, limit))
    header = classifier.header
    found = load_data(data, header.split_seed, classifier.classes, split_rule=header.split_rule)
    part = "val" if held_out else default_split(found, header)
    samples, lines = choose_held_out(found, [header], part)
    return ParityImages(
        f"{found.name} ({part})",
        samples.take(spread(len(samples), limit)),
        lines=(*found.account.lines(), *lines),
    )


def spread(count: int, limit: int) -> list[int]:
    """At most `limit` indices of `count`, evenly spread."""
    taken = min(count, limit)
    return [i * count // taken for i in range(taken)]


def calibration_crops(
    classifier: Classifier, data: str, count: int, seed: int = 0
) -> NDArray[np.uint8]:
    """Crops of `count` images of the data's training part, drawn by the seed: (N, H, W, C)."""
    header = classifier.header
    samples = load_data(data, header.split_seed, split_rule=header.split_rule).train
    order = np.random.default_rng(seed).permutation(len(samples))
    crops: list[NDArray[np.uint8]] = []
    for found in (crop_of(classifier, samples, int(i)) for i in order):
        if found is not None:
            crops.append(found)
        if len(crops) == count:
            break
    if not crops:
        raise GoogLeNetError(f"{data}: none of the calibration images can be read")
    return np.stack(crops)


def crop_of(classifier: Classifier, samples: Samples, index: int) -> NDArray[np.uint8] | None:
    beat()
    try:
        return classifier.crops(load_image(samples.sources[index]))[0]
    except ImageError:
        return None


def decode_images(
    photos: ParityImages, workers: int, on_unreadable: Callable[[str], object]
) -> Iterator[tuple[int, DecodedImage]]:
    """Each readable image with its index; `on_unreadable` gets the errors of the others."""

    def one(index: int) -> tuple[int, DecodedImage | str]:
        try:
            return index, load_image(photos.samples.sources[index])
        except ImageError as error:
            return index, str(error)

    for index, found in prefetch(one, range(len(photos.samples)), workers):
        if isinstance(found, str):
            on_unreadable(found)
        else:
            yield index, found
