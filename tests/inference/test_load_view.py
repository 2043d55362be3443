"""One way from a file to what the network sees: predict, evaluate, serve and export agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from googlenet.data.dataset import Samples
from googlenet.evaluation.accuracy import image_crops
from googlenet.export.parity_images import crop_of
from googlenet.images import turbo_jpeg
from googlenet.images.decode import decode
from googlenet.images.view import load_view
from googlenet.images.views import center
from googlenet.serving.input_image import read_image_bytes
from tests.fixtures import encoded, noise, tiny_classifier


def scene(width: int, height: int) -> Image.Image:
    """Something like an image: noise of large grains."""
    return noise(width // 12, height // 12).resize((width, height), Image.Resampling.BICUBIC)


def with_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(scene(150, 100), "JPEG", exif=exif)


def with_profile() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return encoded(scene(150, 100), "JPEG", icc_profile=profile.tobytes())


FILES: dict[str, Callable[[], bytes]] = {
    "baseline": lambda: encoded(scene(150, 100), "JPEG"),
    "progressive": lambda: encoded(scene(150, 100), "JPEG", progressive=True),
    "full color": lambda: encoded(scene(150, 100), "JPEG", subsampling=0),
    "grayscale": lambda: encoded(scene(150, 100).convert("L"), "JPEG"),
    "CMYK": lambda: encoded(scene(150, 100).convert("CMYK"), "JPEG"),
    "profile": with_profile,
    "large": lambda: encoded(scene(2400, 1800), "JPEG"),
    "high": lambda: encoded(scene(100, 350), "JPEG"),
    "PNG": lambda: encoded(scene(150, 100), "PNG"),
    **{f"EXIF {n}": (lambda n=n: with_exif(n)) for n in range(1, 9)},  # type: ignore[misc]
}


@pytest.mark.parametrize("turbo", [True, False])
@pytest.mark.parametrize("kind", FILES)
def test_every_verb_sees_the_same_pixels(
    kind: str,
    turbo: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if turbo:
        pytest.importorskip("simplejpeg")
    monkeypatch.setattr(turbo_jpeg, "available", lambda: turbo)
    classifier = tiny_classifier(size=64)
    p = classifier.preprocessing
    content = FILES[kind]()
    path = tmp_path / "image"
    path.write_bytes(content)
    samples = Samples((path,), (0,))
    expected = load_view(path, p)
    ((_, evaluated),) = image_crops(classifier, samples, [0], 1, 1)
    for found in (
        classifier.load_input(content),
        evaluated[0],
        read_image_bytes(content, p, 10**8).pixels,
        crop_of(classifier, samples, 0),
    ):
        np.testing.assert_array_equal(found, expected)
    pillow = p.pixels(next(center(decode(content), p)))
    assert np.abs(expected.astype(int) - pillow).max() <= 1  # the decoders' difference
