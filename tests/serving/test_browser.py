"""The page in a real browser: Debian's Chromium, without a screen.

SCREENSHOTS=folder keeps a picture of each kind of page, for somebody to look at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, expect

from googlenet.images.decode import decode
from googlenet.inference.calibration import Calibration, OODDetector
from tests.fixtures import encoded, noise, set_header
from tests.serving.conftest import Running, running, until

pytestmark = pytest.mark.slow

PHONE, DESKTOP = (360, 740), (1280, 900)


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running(max_body=2_000_000, max_pixels=4_000_000) as one:
        yield one


@contextmanager
def opened(
    browser: Browser, service: Running, size: tuple[int, int] = DESKTOP, dark: bool = False,
    touch: bool = False,
) -> Iterator[Page]:  # fmt: skip
    """The page, which must ask nobody else and complain of nothing."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        has_touch=touch,
        is_mobile=touch,
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(service.at)
    expect(page.get_by_text(", 7 classes")).to_be_visible()
    yield page
    outside = [url for url in asked if not url.startswith((service.at, "blob:", "data:"))]
    # The browser itself remarks on each refused image.
    said = [text for text in complaints if "the server responded with a status of" not in text]
    assert (outside, said) == ([], [])
    context.close()


def payload(name: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": content}


def picture(width: int, height: int) -> Image.Image:
    """Red above, blue below, so that a turn is seen."""
    photo = Image.new("RGB", (width, height), (200, 30, 30))
    photo.paste((30, 30, 200), (0, height // 2, width, height))
    return photo


LANDSCAPE = payload("landscape.png", encoded(picture(600, 400), "PNG"))
TALL = payload("tall.png", encoded(noise(200, 420, 4), "PNG"))
BROKEN = payload("broken.jpg", encoded(noise(90, 90), "JPEG")[:700])
HUGE = payload("huge.png", encoded(Image.new("L", (3000, 3000)), "PNG"))
LARGE = payload("large.png", bytes(2_500_000))


def add(page: Page, *photos: FilePayload) -> None:
    page.get_by_label("Choose images").set_input_files(photos)


def card(page: Page, name: str) -> Any:
    return page.get_by_role("listitem").filter(has=page.get_by_text(name, exact=True))


def keep(page: Page, name: str) -> None:
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def pixel(page: Page, name: str, kind: str, x: float, y: float) -> list[int]:
    """The color of a canvas at a place given as shares of its sides."""
    colour: list[int] = card(page, name).locator(f"canvas.{kind}").evaluate(
        """(canvas, [x, y]) => [...canvas.getContext("2d").getImageData(
            Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data]""",
        [x, y],
    )  # fmt: skip
    return colour


def test_answers_as_the_service_gives_them(browser: Browser, service: Running) -> None:
    content = LANDSCAPE["buffer"]
    (expected,) = service.predict(content).json()["results"]
    with opened(browser, service) as page:
        add(page, LANDSCAPE)
        one = card(page, "landscape.png")
        expect(one.get_by_role("heading")).to_have_text(expected["label"])
        rows = one.get_by_role("list", name="Predictions").get_by_role("listitem")
        expect(rows).to_have_count(5)
        for row, entry in zip(rows.all(), expected["top"], strict=True):
            expect(row).to_have_text(f"{entry['label']}{100 * entry['probability']:.1f} %")
            box, bar = row.bounding_box(), row.locator(".bar").bounding_box()
            assert bar["width"] == pytest.approx(box["width"] * entry["probability"], abs=4)
        expect(one.locator(".time")).to_contain_text("600 × 400 pixels · ")
        expect(page.locator("[aria-live=polite]")).to_contain_text(
            f"landscape.png: {expected['label']}, {100 * expected['probability']:.1f} %"
        )


def test_map_lies_over_what_the_network_saw(browser: Browser, service: Running) -> None:
    """600×400 resized to 56×37, of which the middle 32×32: from 0.214 to 0.786 across."""
    with opened(browser, service) as page:
        add(page, LANDSCAPE)
        expect(card(page, "landscape.png").get_by_role("button").first).to_be_visible()
        shade = [0, 0, 0, 115]  # 45 % black
        for x, y in ((0.1, 0.5), (0.2, 0.5), (0.8, 0.5), (0.5, 0.03), (0.5, 0.97)):
            assert pixel(page, "landscape.png", "map", x, y) == shade
        for x, y in ((0.23, 0.5), (0.77, 0.5), (0.5, 0.1), (0.5, 0.9)):
            assert pixel(page, "landscape.png", "map", x, y) != shade
        photo = card(page, "landscape.png").locator("canvas.photo").bounding_box()
        assert card(page, "landscape.png").locator("canvas.map").bounding_box() == pytest.approx(
            photo, abs=0.1
        )


def test_image_turned_by_exif_is_upright(browser: Browser, service: Running) -> None:
    for orientation in range(2, 9):
        stored = picture(300, 200) if orientation < 5 else picture(200, 300)
        exif = Image.Exif()
        exif[0x0112] = orientation
        content = encoded(stored, "JPEG", exif=exif, quality=95)
        with opened(browser, service) as page:
            add(page, payload("turned.jpg", content))
            one = card(page, "turned.jpg")
            expect(one.get_by_role("button").first).to_be_visible()
            size = one.locator("canvas.photo").evaluate("c => [c.width, c.height]")
            expect(one.locator(".time")).to_contain_text(f"{size[0]} × {size[1]} pixels")
            assert size == [300, 200]
            upright = np.asarray(decode(content))
            for x, y in ((0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9)):
                there = upright[int(y * upright.shape[0]), int(x * upright.shape[1])]
                seen = pixel(page, "turned.jpg", "photo", x, y)[:3]
                assert np.abs(there.astype(int) - seen).max() < 12


@pytest.mark.parametrize(("size", "touch"), [(PHONE, True), (DESKTOP, False)])
@pytest.mark.parametrize("dark", [False, True])
def test_many_images_and_errors(
    browser: Browser, service: Running, size: tuple[int, int], touch: bool, dark: bool
) -> None:
    name = f"{'phone' if touch else 'desktop'}-{'dark' if dark else 'light'}"
    with opened(browser, service, size, dark, touch) as page:
        keep(page, f"{name}-empty")
        expect(page.get_by_text("Take a photo")).to_be_visible(visible=touch)
        more = [payload(f"{n}.png", encoded(noise(90, 60, n), "PNG")) for n in range(9)]
        add(page, LANDSCAPE, TALL, BROKEN, HUGE, LARGE, *more)
        for photo in (LANDSCAPE, TALL, *more):
            expect(card(page, photo["name"]).get_by_role("button")).to_have_count(5)
        for file, sentence in (
            ("broken.jpg", "The image is damaged or incomplete."),
            ("huge.png", "An image may have 4000000 pixels, this has 3000×3000."),
            ("large.png", "This image has 2.4 MiB; the limit is 1.9 MiB."),
        ):
            expect(card(page, file).get_by_role("heading")).to_have_text("No prediction")
            expect(card(page, file)).to_contain_text(sentence)
        keep(page, name)
        widths = page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1]
        assert page.evaluate(LOW_CONTRAST) == []
        assert page.evaluate(SMALL_TARGETS) == []
        page.get_by_role("button", name="Clear").click()
        expect(page.locator("#photos").get_by_role("listitem")).to_have_count(0)


# Texts whose contrast with what is behind them is under WCAG 2.2's 4.5 (success criterion 1.4.3).
LOW_CONTRAST = """
() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
  };
  const low = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest(".hidden, canvas")) continue;
    const bars = node.parentElement.querySelectorAll(":scope > .bar");
    const backs = [behind(node), ...[...bars].map((bar) => behind(bar))];
    for (const back of backs) {
      const pair = [light(parse(getComputedStyle(node).color)), light(back)].sort((a, b) => b - a);
      const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
      if (ratio < 4.5) low.push(`${node.className || node.tagName}: ${ratio.toFixed(2)}`);
    }
  }
  return low;
}
"""
# What is to be hit and is smaller than WCAG 2.2's 24 pixels (2.5.8).
SMALL_TARGETS = """
() => [...document.querySelectorAll("button, .button, label.switch")]
  .filter((node) => node.checkVisibility())
  .filter((node) => {
    const box = node.getBoundingClientRect();
    return Math.min(box.width, box.height) < 24;
  })
  .map((node) => node.textContent)
"""


def test_keyboard_alone(browser: Browser, service: Running) -> None:
    with opened(browser, service) as page:
        page.on("filechooser", lambda _: None)  # asked for early, or the first one may slip through
        page.keyboard.press("Tab")
        expect(page.get_by_label("Choose images")).to_be_focused()
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Enter")
        chooser.value.set_files([TALL])
        rows = card(page, "tall.png").get_by_role("button")
        expect(rows).to_have_count(5)
        expect(rows.nth(0)).to_have_attribute("aria-pressed", "true")
        page.get_by_label("Show where the network looked").focus()
        page.keyboard.press("Space")
        expect(card(page, "tall.png").locator("canvas.map")).to_be_hidden()
        expect(rows.nth(0)).to_have_attribute("aria-pressed", "false")
        page.keyboard.press("Tab")  # Clear
        page.keyboard.press("Tab")
        expect(rows.nth(0)).to_be_focused()
        page.keyboard.press("Tab")
        outline = rows.nth(1).evaluate("node => getComputedStyle(node).outlineStyle")
        assert outline == "solid"
        page.keyboard.press("Enter")
        expect(page.get_by_label("Show where the network looked")).to_be_checked()
        expect(rows.nth(1)).to_have_attribute("aria-pressed", "true")
        expect(card(page, "tall.png").locator("canvas.map")).to_be_visible()


def test_screen_reader_has_a_name_for_everything(browser: Browser, service: Running) -> None:
    with opened(browser, service) as page:
        add(page, TALL)
        label = service.predict(TALL["buffer"]).json()["results"][0]["label"]
        photo = page.get_by_role(
            "img", name=f"tall.png, where the network looked for {label}: most"
        )
        expect(photo).to_be_visible()
        page.get_by_label("Show where the network looked").uncheck()
        expect(page.get_by_role("img", name="tall.png", exact=True)).to_be_visible()
        for role in ("button", "checkbox", "img", "heading", "list"):
            for node in page.get_by_role(role).all():
                assert node.aria_snapshot().split('"')[1:2], f"a {role} without a name"
        assert page.locator("html").get_attribute("lang") == "en"


TRANSFER = """
([kind, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "given.png", {type: "image/png"}));
  const event = kind === "paste"
    ? new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true})
    : new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
  return document.body.dispatchEvent(event);
}
"""


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_images_that_are_pasted_or_dropped(kind: str, browser: Browser, service: Running) -> None:
    with opened(browser, service) as page:
        untouched = page.evaluate(TRANSFER, [kind, list(TALL["buffer"])])
        assert not untouched  # the browser does not open the image itself
        expect(card(page, "given.png").get_by_role("button")).to_have_count(5)


def test_unknown_verdict(browser: Browser) -> None:
    with running() as service:
        calibration = Calibration(ood=OODDetector("energy", threshold=1e9, target_fpr=5.0))
        set_header(service.service.default.classifier, calibration=calibration)
        with opened(browser, service) as page:
            add(page, TALL)
            one = card(page, "tall.png")
            expect(one.get_by_role("heading")).to_have_text("Not sure")
            expect(one).to_contain_text("This image may not belong to any class of the model.")
            expect(one.get_by_role("button")).to_have_count(5)
            keep(page, "unknown")


def test_model_without_maps(browser: Browser) -> None:
    with running() as service:
        until(lambda: service.service.ready)  # which finds out whether there are maps
        service.service.default.has_cam = False
        with opened(browser, service) as page:
            add(page, TALL)
            expect(page.get_by_text("This model cannot show where it looked.")).to_be_visible()
            expect(page.get_by_label("Show where the network looked")).to_be_hidden()
            one = card(page, "tall.png")
            rows = one.get_by_role("list", name="Predictions").get_by_role("listitem")
            expect(rows).to_have_count(5)
            expect(one.get_by_role("button")).to_have_count(0)


def test_token_is_asked_for(browser: Browser) -> None:
    with running(token="sesame") as service:
        context = browser.new_context()
        page = context.new_page()
        page.goto(service.at)
        field = page.get_by_label("This service requires a token")
        expect(field).to_be_focused()
        add(page, TALL)
        for token in ("wrong", "sesame"):
            field.fill(token)
            keep(page, f"token-{token}")
            page.keyboard.press("Enter")
            if token == "wrong":
                expect(page.get_by_role("alert")).to_have_text("Wrong token.")
        expect(page.get_by_text(", 7 classes")).to_be_visible()
        expect(card(page, "tall.png").get_by_role("button")).to_have_count(5)
        context.close()


def test_busy_service_is_asked_again(browser: Browser) -> None:
    with running(max_queue=1, max_images=1) as service, opened(browser, service) as page:
        service.gate.close()
        add(page, LANDSCAPE, TALL)
        expect(page.get_by_role("heading", name="The service is busy …")).to_be_visible()
        service.gate.open.set()
        for name in ("landscape.png", "tall.png"):
            expect(card(page, name).get_by_role("button")).to_have_count(5)
