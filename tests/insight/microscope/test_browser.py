"""The site in a real browser, opened from a file: Debian's Chromium, without a screen.

SCREENSHOTS=folder keeps an image of each page, for somebody to look at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from googlenet.data.dataset import Samples
from googlenet.insight.microscope.build import build
from tests.fixtures import tinted
from tests.insight.microscope.small import small_plan

pytestmark = pytest.mark.slow

PHONE, DESKTOP = (360, 740), (1280, 900)
PAGES = ("", "layer/inception_3a", "unit/inception_3a/3", "unit/inception_5b/2", "polysemantic",
         "classes", "class/1", "images", "images/wrong", "image/4", "atlas/inception_5b",
         "search/name1", "search/nothing at all")  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    colors = ["red", "green", "blue"]
    images = tuple(np.asarray(tinted(colors[n % 3], n)) for n in range(20))
    samples = Samples(images, tuple(n % 3 for n in range(20)))
    folder = tmp_path_factory.mktemp("microscope") / "site"
    assert build(small_plan(folder, samples, layers=("3a", "3b", "5b"), atlas=("5b",))).complete
    return folder


@contextmanager
def opened(
    browser: Browser, site: Path, size: tuple[int, int] = DESKTOP, dark: bool = False,
    page: str = "",
) -> Iterator[Page]:  # fmt: skip
    """The site, which must ask nobody else and complain of nothing."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        is_mobile=size == PHONE,
    )
    one = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    one.on("pageerror", lambda error: complaints.append(str(error)))
    one.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    one.on("request", lambda request: asked.append(request.url))
    one.goto(f"{site.as_uri()}/index.html#/{page}")
    expect(one.get_by_role("heading", level=1)).to_be_visible()
    yield one
    outside = [url for url in asked if not url.startswith((site.as_uri(), "data:"))]
    assert (outside, complaints) == ([], [])
    context.close()


def go(page: Page, to: str) -> None:
    page.evaluate("to => { location.hash = `#/${to}`; }", to)
    page.locator(f"main[data-page='{to.split('/')[0]}']").wait_for()
    page.wait_for_load_state()


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
@pytest.mark.parametrize("dark", [False, True])
def test_every_page_fits(browser: Browser, site: Path, size: tuple[int, int], dark: bool) -> None:
    with opened(browser, site, size, dark) as page:
        for number, name in enumerate(PAGES):
            go(page, name)
            expect(page.get_by_role("heading", level=1)).not_to_have_text("Not found")
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0], name
            for image in page.locator("main img").all()[:4]:
                image.scroll_into_view_if_needed()
                expect(image).not_to_have_js_property("naturalWidth", 0)
            if folder := os.environ.get("SCREENSHOTS"):
                kind = f"{'phone' if size == PHONE else 'desktop'}-{'dark' if dark else 'light'}"
                page.screenshot(path=Path(folder) / f"{kind}-{number}.png", full_page=True)


def test_by_keyboard(browser: Browser, site: Path) -> None:
    with opened(browser, site, page="unit/inception_3a/3") as page:
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_have_text("3a:3")
        page.keyboard.press("ArrowRight")
        expect(heading).to_have_text("3a:4")
        page.keyboard.press("ArrowLeft")
        expect(heading).to_have_text("3a:3")
        page.keyboard.press("/")
        page.keyboard.type("5b:7")
        page.keyboard.press("Enter")
        found = page.locator("main").get_by_role("link", name="5b:7")
        expect(found).to_be_visible()
        found.focus()
        page.keyboard.press("Enter")
        expect(heading).to_have_text("5b:7")


def test_a_crop_shows_what_the_unit_sees(browser: Browser, site: Path) -> None:
    """The image is drawn so that the receptive field fills the tile: 32 of 32 pixels here."""
    with opened(browser, site, page="unit/inception_3a/3") as page:
        crop = page.locator(".nine .crop").first
        tile, image = crop.bounding_box(), crop.locator("img").bounding_box()
        assert tile is not None
        assert image is not None
        assert image["width"] == pytest.approx(tile["width"], abs=1)
        page.get_by_role("button", name="Whole images").click()
        expect(page.locator(".nine .mark").first).to_be_visible()


def test_a_unit_leads_to_what_it_is_made_of(browser: Browser, site: Path) -> None:
    with opened(browser, site, page="unit/inception_3b/3") as page:
        section = page.locator("section", has=page.get_by_role("heading", name="Made of: 3a"))
        expect(section.locator("canvas").first).to_be_visible()
        section.get_by_role("link", name=re.compile("^3a:")).first.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^3a:"))


def test_while_it_is_made_the_site_shows_what_is_there(browser: Browser, tmp_path: Path) -> None:
    plan = small_plan(tmp_path / "site")
    calls = iter([False, False, True])
    build(plan, should_stop=lambda: next(calls, True))
    with opened(browser, plan.folder) as page:
        expect(page.get_by_role("status")).to_contain_text("parts are there")
        go(page, "unit/inception_3a/1")
        expect(page.get_by_text("not made yet").first).to_be_visible()
