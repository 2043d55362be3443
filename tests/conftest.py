"""What every test shares: few threads, the same random numbers, the data beside the repository."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import settings

from googlenet.images import library as pixels
from googlenet.kernels import library as network

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
SHARED_DATA = Path(os.environ.get("GOOGLENET_DATA") or BESIDE)


def pytest_configure() -> None:
    # The networks of the tests are too small for more, and the commands that tests start must
    # sum in the same order as the tests themselves.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    # Whoever starts the tests in the background of a script has them ignore Ctrl-C, or with `nohup`
    # the terminal's end, and with them every command that they start.
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)
    # The same examples on every machine, however slow it is.
    settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=50)
    settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Each test draws the same random numbers, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The public data of docs/test_data.md; the test is skipped where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"{SHARED_DATA} is missing: see docs/test_data.md, set GOOGLENET_DATA")
    return SHARED_DATA


@pytest.fixture
def public_folder() -> Generator[Path, None, None]:
    """An empty folder that every user of the machine may enter, unlike pytest's own."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def in_ci() -> bool:
    return os.environ.get("CI") == "true"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_if_skipped(report)
    return report


def fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI everything must run: a skip there is a failure that gives the skip's reason."""
    if in_ci() and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped under CI=true: {reason}"


@pytest.fixture
def kernels() -> None:
    """Skips the test where the kernels cannot be had (a failure in CI)."""
    if network.library() is None or pixels.library() is None:
        pytest.skip("the kernels are switched off or no C++ compiler builds them")


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine without a compiler."""
    monkeypatch.setenv("GOOGLENET_NATIVE", "0")
    for each in (network.LIBRARY, pixels.LIBRARY):
        each.forget()
    yield
    for each in (network.LIBRARY, pixels.LIBRARY):
        each.forget()


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


# Nothing of the browser's own may ask anybody outside.
BROWSER_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a screen."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed (on Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        yield one
        one.close()
