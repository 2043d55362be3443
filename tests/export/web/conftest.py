"""A page of a small model, in Debian's Chromium."""

from __future__ import annotations

from pathlib import Path

import pytest

from googlenet.export.web.runtime import read_runtime
from googlenet.runtime.files import cache_dir
from googlenet.weights.download import DownloadError, fetch
from googlenet.weights.registry import ONNXRUNTIME_WEB
from tests.conftest import in_ci


@pytest.fixture(scope="session")
def runtime_archive() -> Path:
    """onnxruntime-web's .tgz from the cache, which CI fills; elsewhere tests download nothing."""
    path = cache_dir() / ONNXRUNTIME_WEB.file
    if not path.is_file() and not in_ci():
        pytest.skip(f"{path} is missing: googlenet export --to web downloads it")
    try:
        return fetch(ONNXRUNTIME_WEB)
    except DownloadError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def runtime(runtime_archive: Path) -> dict[str, bytes]:
    return read_runtime(runtime_archive)
