"""Whether the page gives Python's answers: asked in a real browser, where one is installed."""

from __future__ import annotations

import shutil
import threading
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from googlenet.export.parity import Parity
from googlenet.export.parity_images import ParityImages, spread
from googlenet.images.archived import ArchivedImage
from googlenet.images.decode import ImageError, Source
from googlenet.inference.classifier import Classifier
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.watchdog import beat

if TYPE_CHECKING:
    from playwright.sync_api import Page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Nothing of the browser's own may ask anybody outside.
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
IMAGES = 50  # compared at most
START_SECONDS = 120

STARTED = f"""() => Promise.race([
    networkStarted.then(() => "", (error) => `its network does not start: ${{error.message}}`),
    new Promise((done) => setTimeout(done, {START_SECONDS * 1000},
                                     "its network does not start within {START_SECONDS} s")),
])"""
ANSWER = """async (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    try {
        return [...(await classify(new Blob([bytes]))).probabilities];
    } catch (error) {
        return String(error.message);
    }
}"""


class BrowserParity(NamedTuple):
    """name: the browser, with its version.  parity: calibrated probabilities in Python and there.
    skipped: images that only Python can read, each with the browser's reason."""

    name: str
    parity: Parity
    skipped: list[str]


def missing_browser() -> str | None:
    """Why the page cannot be checked on this machine; None if it can."""
    if find_spec("playwright") is None:
        return "playwright is not installed (pip install playwright)"
    if find_browser() is None:
        return f"none of {', '.join(PROGRAMS)} is on the PATH"
    return None


def find_browser() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def browser_parity(classifier: Classifier, page_at: Path, images: ParityImages) -> BrowserParity:
    """The page's answers beside the classifier's, for at most IMAGES of the images.

    classifier: with the page's network, in its own engine.  page_at: the HTML file, or the
    folder, which is then served on this machine.
    Raises GoogLeNetError if the page does not start, or asks anybody but its own host.
    """
    # Playwright refuses a thread that has an event loop, such as a notebook's.
    with ThreadPoolExecutor(1) as own_thread:
        return own_thread.submit(compare_in_browser, classifier, page_at, images).result()


def compare_in_browser(
    classifier: Classifier, page_at: Path, images: ParityImages
) -> BrowserParity:
    before, after, names, skipped = [], [], [], []
    with opened(page_at) as (name, page):
        for index in spread(len(images.samples), IMAGES):
            beat()
            content = image_bytes(images.samples.sources[index])
            try:
                pixels = classifier.load_input(content)
            except ImageError:
                continue  # reported by the comparison in Python
            found = page.evaluate(ANSWER, b64encode(content).decode())
            label = images.samples.name(index)
            if isinstance(found, str):
                skipped.append(f"{label}: {found}")
                continue
            names.append(label)
            before.append(classifier.probabilities([pixels])[0].astype(np.float64))
            after.append(np.array(found))
    if not names:
        raise GoogLeNetError(f"{name}: reads none of the images: {'; '.join(skipped[:3])}")
    return BrowserParity(name, Parity(np.stack(before), np.stack(after), names), skipped)


def image_bytes(source: Source) -> bytes:
    """An image as a file's bytes; arrays as PNG."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, ArchivedImage):
        return source.read()
    if isinstance(source, str | Path):
        return Path(source).read_bytes()
    file = BytesIO()
    image = Image.fromarray(source) if isinstance(source, np.ndarray) else source
    image.save(file, "PNG")
    return file.getvalue()


@contextmanager
def opened(page_at: Path) -> Iterator[tuple[str, Page]]:
    """The page, its network started, in a headless browser whose name comes with it."""
    from playwright.sync_api import Error, sync_playwright

    program = find_browser()
    assert program is not None
    try:
        with address_of(page_at) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
            page = browser.new_page()
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.goto(address)
            failure = page.evaluate(STARTED)
            if failure:
                raise GoogLeNetError(f"the page: {failure}")
            yield f"Chromium {browser.version}", page
            outside = [url for url in asked if not url.startswith((address, "blob:", "data:"))]
            browser.close()
    except Error as error:
        reason = str(error).splitlines()[0]
        raise GoogLeNetError(f"the page cannot be checked in {program} ({reason})") from error
    if outside:
        raise GoogLeNetError(f"the page asks others than its own host: {', '.join(outside[:3])}")


@contextmanager
def address_of(page_at: Path) -> Iterator[str]:
    """The page's address: the file's own, or that of a static host for the folder."""
    if page_at.is_file():
        yield page_at.resolve().as_uri()
        return
    handler = partial(QuietHandler, directory=str(page_at))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class QuietHandler(SimpleHTTPRequestHandler):
    """Python's static host, without its log on stderr."""

    def log_message(self, format: str, *args: Any) -> None:
        del format, args
