"""The kernels are built once, for this processor, and absent without complaint."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from googlenet import GoogLeNet
from googlenet.kernels import build


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache."""
    monkeypatch.setenv("GOOGLENET_CACHE", str(tmp_path))
    build.library.cache_clear()
    yield tmp_path / "native"
    build.library.cache_clear()


@pytest.mark.slow
def test_built_once(kernels: None, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build.built(fresh)
    assert [path] == list(fresh.glob("*.so"))
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(build, "compile_kernels", lambda *_: pytest.fail("built twice"))
    assert build.built(fresh) == path
    assert path.stat().st_mtime_ns == before
    assert build.library() is not None


def test_each_source_and_compiler_has_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build.fingerprint("g++")
    assert first == build.fingerprint("g++")
    assert first != build.fingerprint("clang++")
    changed = tmp_path / "kernels.cpp"
    changed.write_bytes(build.NETWORK[0].read_bytes() + b"\n")
    assert first != build.fingerprint("g++", (changed,))
    assert first != build.fingerprint("g++", build.PHOTOS)


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_compiler_there_is_none(
    compiler: str, fresh: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", compiler)
    assert build.library() is None
    assert capfd.readouterr() == ("", "")
    assert not list(fresh.glob("*.so"))


def test_a_damaged_file_is_none(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh.mkdir(parents=True)
    path = fresh / "kernels.so"
    path.write_bytes(b"not a library")
    monkeypatch.setattr(build, "built", lambda _folder, _sources: path)
    assert build.library() is None


def test_a_cache_that_cannot_be_written_is_none(fresh: Path) -> None:
    fresh.write_text("a file where the folder should be", encoding="utf-8")
    assert build.library() is None


def test_switched_off(no_kernels: None) -> None:
    assert build.library() is None
    network = GoogLeNet("bn", 3, width=0.125)
    network(torch.randn(2, 3, 64, 64)).sum().backward()


def test_nothing_is_built_at_import(tmp_path: Path) -> None:
    code = "import googlenet.models.googlenet, os; print(os.listdir(os.environ['GOOGLENET_CACHE']))"
    variables = os.environ | {"GOOGLENET_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
