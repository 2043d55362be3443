"""`googlenet export --to web`: a page that computes on the visitor's device, kept if it agrees."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from googlenet.export.export import ExportOptions, compare, load_for_parity, staging_dir
from googlenet.export.parity import LIMITS, RAW_IMAGE_LIMITS, Parity
from googlenet.export.parity_images import ParityImages
from googlenet.export.web.graph import web_network
from googlenet.export.web.page import INDEX, NETWORK, write_page
from googlenet.export.web.parity import BrowserParity, browser_parity, missing_browser
from googlenet.inference.classifier import Classifier
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.files import parent_dir


def export_web(
    classifier: Classifier,
    options: ExportOptions,
    runtime: Mapping[str, bytes],
    out: Path,
    images: ParityImages,
    *,
    workers: int = 2,
    progress: Callable[[], object] = lambda: None,
    on_unreadable: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Write the page, run its network here and the page in a browser; the report for `--json`.

    The page appears under its name only if both agree with the classifier: see `passed`, and
    `failure` for why not.  An earlier page of that name then stays.
    """
    options.check()
    single = out.suffix == ".html"
    try:
        with parent_dir(out), staging_dir(out) as folder:
            network = folder / NETWORK
            network.write_bytes(web_network(classifier, options))
            as_onnx = replace(options, to="onnx")
            parity = compare(classifier, as_onnx, network, images, workers, progress, on_unreadable)
            failure = parity.failure(LIMITS[options.precision])
            made = folder / "page" / (INDEX if single else "site")
            made.parent.mkdir()
            write_page(classifier, network.read_bytes(), runtime, made, single)
            size = sum(path.stat().st_size for path in made.parent.rglob("*") if path.is_file())
            browser, unchecked = None, missing_browser()
            if failure is None and unchecked is None:
                # Beside the same network here: how far it is from the model, `parity` has said.
                same = load_for_parity(classifier, as_onnx, network)
                browser = browser_parity(same, made, images)
                failure = browser_failure(browser, options.precision)
            if failure is None:
                put(made, out)
    except OSError as error:
        raise GoogLeNetError(f"{out}: cannot be written ({error})") from error
    return {
        **page_report(options, out, images, parity),
        "browser": browser and browser_report(browser),
        "browser_unchecked": unchecked,
        "bytes": size,
        "passed": failure is None,
        "failure": failure,
    }


def page_report(
    options: ExportOptions, out: Path, images: ParityImages, parity: Parity
) -> dict[str, Any]:
    """What was written, and how its network compares in Python."""
    return {
        "out": str(out),
        "format": options.to,
        "precision": options.precision,
        "single_file": out.suffix == ".html",
        "data": images.name,
        **parity.to_json(),
        "calibration_images": 0 if options.calibration is None else len(options.calibration),
    }


def browser_failure(browser: BrowserParity, precision: str) -> str | None:
    """Which limit the page misses in the browser; the images whose answers changed are named."""
    failure = browser.parity.failure(RAW_IMAGE_LIMITS[precision])
    if failure is None:
        return None
    changed = ", ".join(changed_images(browser.parity)[:5])
    return f"in {browser.name}: {failure}{f' ({changed})' if changed else ''}"


def changed_images(parity: Parity) -> list[str]:
    """The images whose likeliest class is another one."""
    before, after = parity.before.argmax(1), parity.after.argmax(1)
    return [name for name, same in zip(parity.names, before == after, strict=True) if not same]


def browser_report(browser: BrowserParity) -> dict[str, Any]:
    return {
        "name": browser.name,
        "images": len(browser.parity.names),
        "agreement": browser.parity.agreement,
        "max_difference": browser.parity.max_difference,
        "mean_difference": browser.parity.mean_difference,
        "changed": changed_images(browser.parity),
        "skipped": browser.skipped,
    }


def put(made: Path, out: Path) -> None:
    """Move the finished page to its name, in place of an earlier page."""
    if made.is_dir() and out.exists():
        earlier = made.parent / "earlier"
        out.replace(earlier)
        made.replace(out)
        shutil.rmtree(earlier)
    else:
        made.replace(out)
