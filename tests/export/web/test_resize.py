"""resize.js beside Pillow, and the whole view beside Python's: in a browser, bit for bit."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page

from googlenet.export.web.page import asset, pillow_takes_rows_first
from googlenet.images.preprocess import INTERPOLATIONS, Preprocessing
from googlenet.images.view import center_view, to_nchw

pytestmark = pytest.mark.slow

SIZES = [(1, 1), (7, 5), (64, 64), (64, 40), (40, 64), (300, 17), (17, 300), (99, 201), (203, 100)]
RESIZE = """([text, width, height, size, interpolation, rowsFirst]) => {
    const data = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const window = [0, 0, ...size];
    return [...resizeWindow({data, width, height}, size, window, interpolation, rowsFirst).data];
}"""
VIEW = """([text, width, height, p]) => {
    const data = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return [...normalized(centerView({data, width, height}, p), p)];
}"""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.add_script_tag(content=asset("resize.js"))
    yield page
    page.close()


def image_of(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise of all levels: every rounding happens."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image: NDArray[np.uint8]) -> list[Any]:
    return [b64encode(image.tobytes()).decode(), image.shape[1], image.shape[0]]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_resizing_is_pillows(interpolation: str, page: Page) -> None:
    for seed, (width, height) in enumerate(SIZES):
        image = image_of(width, height, seed)
        for size in [(32, 32), (45, 20), (20, 45), (width, 24), (24, height), (250, 130)]:
            expected = Image.fromarray(image).resize(size, INTERPOLATIONS[interpolation])
            rows_first = pillow_takes_rows_first()
            found = page.evaluate(RESIZE, [*encoded(image), size, interpolation, rows_first])
            same = np.array_equal(np.array(found, np.uint8), np.asarray(expected).ravel())
            assert same, ((width, height), size)


def test_the_order_of_the_passes_is_pillows(page: Page) -> None:
    """Sizes on both sides of the rule's limit, 2 · columns lost = rows lost."""
    rng = np.random.default_rng(1)
    for seed in range(40):
        width, height = rng.integers(8, 90, 2).tolist()
        image = image_of(width, height, seed)
        lost = int(rng.integers(1, width - 1)) if width > 2 else 1
        for rows in (2 * lost, 2 * lost + 1):
            size = (width - lost, max(1, height - rows))
            expected = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
            value = [*encoded(image), size, "bicubic", pillow_takes_rows_first()]
            assert page.evaluate(RESIZE, value) == expected.ravel().tolist(), (width, height, size)


@pytest.mark.parametrize("mode", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize("order", ["RGB", "BGR", "L"])
def test_the_networks_input_is_pythons(mode: str, order: str, page: Page) -> None:
    channels = 1 if order == "L" else 3
    mean, scale = (117.3, 104.2, 99.9)[:channels], (0.017, 0.0175, 0.01743)[:channels]
    for size, resize_size in ((32, 36), (31, 40), (28, 28)):
        p = Preprocessing(size, resize_size, mode, "bilinear", order, mean, scale)
        more = {"padding": p.padding_color(), "rowsFirst": pillow_takes_rows_first()}
        for seed, (width, height) in enumerate(SIZES):
            image = image_of(width, height, seed)
            expected = to_nchw([center_view(image, p)], p)
            found = page.evaluate(VIEW, [*encoded(image), p.to_json() | more])
            assert np.array_equal(np.array(found, np.float32), expected.ravel()), (width, height)
