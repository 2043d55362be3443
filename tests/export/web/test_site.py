"""The page of a small model: written, checked, and used in a browser.

SCREENSHOTS=folder keeps pictures of it, for somebody to look at.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from googlenet import Classifier
from googlenet.export import parity as limits
from googlenet.export.export import ExportOptions
from googlenet.export.parity_images import generated_images
from googlenet.export.web import site
from googlenet.export.web.graph import web_network
from googlenet.export.web.page import write_page
from googlenet.export.web.parity import address_of
from googlenet.export.web.site import export_web
from googlenet.insight.cam import cam
from tests.cli.conftest import command
from tests.export.test_export import classifier
from tests.fixtures import encoded, noise, photo_folder, tiny_classifier

pytestmark = pytest.mark.slow

PHONE, DESKTOP = (360, 740), (1280, 900)
OPTIONS = ExportOptions("web")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, runtime: dict[str, bytes]) -> Path:
    """A folder with the model's page as `site` and as `page.html`."""
    folder = tmp_path_factory.mktemp("web")
    model = classifier(size=64)
    model.save(folder / "m.safetensors")
    for out in (folder / "site", folder / "page.html"):
        report = export_web(model, OPTIONS, runtime, out, generated_images(4))
        assert report["passed"], report["failure"]
        assert report["browser"] is None or report["browser"]["images"] == 4
    return folder


@contextmanager
def opened(
    browser: Browser, page_at: Path, size: tuple[int, int] = DESKTOP, dark: bool = False,
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
    with address_of(page_at) as address:
        page.goto(address)
        expect(page.locator("#status")).to_have_text("Ready.")
        yield page
        context.close()
    outside = [url for url in asked if not url.startswith((address, "blob:", "data:"))]
    assert (outside, complaints) == ([], [])


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def photos(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"photo, {number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        noise(90 + 10 * number, 80, number).save(path)
    return paths


@pytest.mark.parametrize("name", ["site", "page.html"])
def test_images_in_answers_out(name: str, made: Path, browser: Browser, tmp_path: Path) -> None:
    paths = photos(tmp_path, 3)
    expected = list(Classifier.load(made / "m.safetensors").predict(paths))
    bad = [tmp_path / "broken.jpg", tmp_path / "strip.png"]
    bad[0].write_bytes(b"no image")
    noise(202, 2).save(bad[1])
    with opened(browser, made / name) as page:
        assert page.locator("input[type=file]").count() == 1
        page.set_input_files("input[type=file]", [*paths, *bad])
        expect(page.locator("#status")).to_have_text("5 images classified on this device.")
        for path, prediction in zip(paths, expected, strict=True):
            card = page.locator(".card", has_text=path.name)
            shown = "Not sure" if prediction.unknown else str(prediction.label)
            expect(card.locator("h2")).to_have_text(shown)
            first = f"{prediction.label}{100 * (prediction.probability or 0):.1f} %"
            expect(card.locator("li").first).to_have_text(first)
        failed = page.locator(".card.failed .notice")
        expect(failed.first).to_have_text("This browser cannot read it as an image.")
        expect(failed.last).to_have_text("An image may be at most 100 times as long as wide.")
        with page.expect_download() as download:
            page.get_by_role("button", name="Save as CSV").click()
        with Path(download.value.path()).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [path.name for path in (*paths, *bad)]
    for row, prediction in zip(rows, expected, strict=False):
        assert row["label"] == prediction.label
        assert float(row["probability"]) == pytest.approx(prediction.probability, abs=1e-5)
        assert row["unknown"] == str(prediction.unknown)
        assert float(row["score"]) == pytest.approx(prediction.score, abs=1e-3)
    assert rows[-1]["label"] == ""
    assert "cannot read it" in rows[-2]["error"]


PASTE_AND_DROP = """async () => {
    const canvas = new OffscreenCanvas(80, 60);
    canvas.getContext("2d").fillRect(0, 0, 40, 60);
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([await canvas.convertToBlob()], "it.png"));
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
    document.dispatchEvent(new DragEvent("drop", { dataTransfer: clipboardData }));
}"""


def test_paste_drop_and_a_phones_camera(made: Path, browser: Browser) -> None:
    with opened(browser, made / "page.html", PHONE, touch=True) as page:
        page.evaluate(PASTE_AND_DROP)
        expect(page.locator("#status")).to_have_text("2 images classified on this device.")
        with page.expect_file_chooser():
            page.get_by_role("button", name="Take a photo").tap()
        expect(page.locator("#choose")).to_have_attribute("capture", "environment")
        page.locator("#choose").dispatch_event("cancel")
        assert page.locator("#choose").get_attribute("capture") is None


def test_the_maps_are_those_of_explain(made: Path, browser: Browser) -> None:
    model = Classifier.load(made / "m.safetensors")
    image = np.asarray(noise(64, 64, 5).resize((72, 72)))  # only cropped: the same pixels
    found = asked(browser, made / "page.html", encoded(noise(64, 64, 5).resize((72, 72))))
    x = model.preprocessing.normalize(torch.from_numpy(model.load_input(image).copy())[None])
    for entry, grid in zip(found["top"], found["maps"], strict=True):
        index = [one.name for one in model.classes].index(entry["label"])
        with torch.no_grad():
            expected = cam(model.network, x, index)[0].numpy()
        assert np.allclose(grid, expected, atol=1e-4)


ANSWER = """async (bytes) => {
    const found = await classify(new Blob([new Uint8Array(bytes)]));
    return {...found, probabilities: [...found.probabilities]};
}"""


def asked(browser: Browser, page_at: Path, content: bytes) -> dict[str, Any]:
    with opened(browser, page_at) as page:
        found: dict[str, Any] = page.evaluate(ANSWER, list(content))
        return found


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_the_screen_and_the_keyboard(
    size: tuple[int, int], dark: bool, made: Path, browser: Browser, tmp_path: Path
) -> None:
    name = f"{'phone' if size == PHONE else 'desktop'}-{'dark' if dark else 'light'}"
    with opened(browser, made / "page.html", size, dark, touch=size == PHONE) as page:
        page.set_input_files("input[type=file]", photos(tmp_path, 2))
        expect(page.locator("#status")).to_have_text("2 images classified on this device.")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        answer = page.locator(".card").first.locator("button.answer").nth(1)
        answer.focus()
        page.keyboard.press("Enter")
        expect(answer).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#said")).to_contain_text("photo, 0.png: ")
        label = page.locator("canvas.photo").first.get_attribute("aria-label")
        assert label is not None
        assert "where the network looked for" in label
        picture(page, name)
        page.get_by_role("button", name="Clear").click()
        expect(page.locator(".card")).to_have_count(0)


def test_it_opens_without_its_host_the_second_time(made: Path, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(60_000)
    with address_of(made / "site") as address:
        page.goto(address)
        page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    page.goto(address)  # the host is gone
    expect(page.locator("#status")).to_have_text("Ready.")
    context.close()


def test_a_page_that_disagrees_is_not_written(
    made: Path, tmp_path: Path, runtime: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the page's network is of another model: only the browser can notice."""
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed (on Debian: apt-get install chromium)")
    other = tiny_classifier(3, size=64, seed=9)

    def wrong(model: Classifier, network: bytes, *rest: Any) -> None:
        del network
        write_page(model, web_network(other, OPTIONS), *rest)

    monkeypatch.setattr(site, "write_page", wrong)
    out = tmp_path / "page.html"
    model = tiny_classifier(3, size=64)
    report = export_web(model, OPTIONS, runtime, out, generated_images(8))
    assert report["failure"].startswith("in Chromium ")
    assert not list(tmp_path.iterdir())


def test_no_browser_is_said(
    tmp_path: Path, runtime_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "missing_browser", lambda: "none is here")
    tiny_classifier().save(tmp_path / "m.safetensors")
    options = ("--to", "web", "--images", 2, "--out", tmp_path / "site")
    arguments = ("export", tmp_path / "m.safetensors", *options, "--runtime", runtime_archive)
    assert "not checked: none is here" in command(*arguments).out
    report = json.loads(command(*arguments, "--json").out)  # in place of the first page
    assert report["browser"] is None
    assert report["agreement"] == 100


def test_int8_that_disagrees_becomes_fp32(
    tmp_path: Path, runtime_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "missing_browser", lambda: "none is here")
    impossible = limits.LIMITS | {"int8": limits.Limits(101.0)}
    monkeypatch.setattr(site, "LIMITS", impossible)
    tiny_classifier().save(tmp_path / "m.safetensors")
    photo_folder(tmp_path / "data", {"train/name0": 3, "train/name1": 3, "val/name0": 1})
    found = command(
        "export", tmp_path / "m.safetensors", "--to", "web", "--out", tmp_path / "site",
        "--calibration-data", tmp_path / "data", "--runtime", runtime_archive, "--images", 2,
    )  # fmt: skip
    assert "int8 disagrees" in found.out
    assert "web, fp32" in found.out
