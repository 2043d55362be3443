"""What a page of `googlenet export --to web` costs in a headless Chromium on this machine.

    python benchmarks/web_page.py PAGE FOLDER [--repeats N]

PAGE: the HTML file or the folder, served on this machine.  FOLDER: of JPEGs.  Prints, as medians
over the repeats with the lowest and the highest: seconds from opening the page until the network
is ready and until the first image has its answer, and milliseconds per image after the first, from
its file to the answer; memory: the largest resident size of the tab's process, in MB.
"""

from __future__ import annotations

import argparse
import time
from base64 import b64encode
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from playwright.sync_api import sync_playwright

from googlenet.export.web.parity import FLAGS, STARTED, address_of, find_browser

CLASSIFY = """async (texts) => {
    const times = [];
    for (const text of texts) {
        const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        const began = performance.now();
        await classify(new Blob([bytes]));
        times.push(performance.now() - began);
    }
    return times;
}"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("page", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    images = [b64encode(p.read_bytes()).decode() for p in sorted(args.folder.glob("*.JPEG"))]
    runs = [measure(args.page, images) for _ in range(args.repeats)]
    for name in runs[0]:
        values = [run[name] for run in runs]
        print(f"{name:28} {median(values):8.2f}  ({min(values):.2f}–{max(values):.2f})")


def measure(page_at: Path, images: list[str]) -> dict[str, float]:
    program = find_browser()
    if program is None:
        raise SystemExit("Chromium is not installed")
    with address_of(page_at) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        page = browser.new_page()
        began = time.perf_counter()
        page.goto(address)
        failure = page.evaluate(STARTED)
        assert not failure, failure
        ready = time.perf_counter() - began
        page.evaluate(CLASSIFY, images[:1])
        first = time.perf_counter() - began
        busy = cpu_seconds(tabs())
        times = page.evaluate(CLASSIFY, images[1:])
        processes = tabs()
        found = {
            "ready, s": ready,
            "first answer, s": first,
            "per image, ms": median(times),
            "CPU per image, ms": 1000 * (cpu_seconds(processes) - busy) / len(times),
            "peak memory of the tab, MB": max(map(peak_mb, processes)),
        }
        browser.close()
    return found


def tabs() -> list[Any]:
    """The browser's processes that show pages, among those that this program started."""
    found = psutil.Process().children(recursive=True)
    return [each for each in found if "--type=renderer" in each.cmdline()]


def cpu_seconds(processes: list[Any]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def peak_mb(process: Any) -> float:
    """VmHWM: the largest resident size so far."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    (line,) = (each for each in lines if each.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
