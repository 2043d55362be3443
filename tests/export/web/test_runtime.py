"""Which onnxruntime-web is taken, and from where."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from googlenet.export.web import parity, runtime
from googlenet.runtime.errors import GoogLeNetError
from googlenet.weights.registry import ONNXRUNTIME_WEB
from tests.cli.conftest import command

CONTENTS = {"runtime.mjs": b"export {}", "runtime.wasm": b"\0asm"}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of two small files in place of the published one."""
    pinned = {
        name: (runtime.FILES[name][0], hashlib.sha256(content).hexdigest())
        for name, content in CONTENTS.items()
    }
    monkeypatch.setattr(runtime, "FILES", pinned)


def package_folder(root: Path) -> Path:
    for name, content in CONTENTS.items():
        path = root / runtime.FILES[name][0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


@pytest.mark.usefixtures("small")
def test_a_folder_one_that_holds_it_and_an_archive(tmp_path: Path) -> None:
    inner = package_folder(tmp_path / "node_modules" / "onnxruntime-web")
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as archive:
        for name, content in CONTENTS.items():
            member = tarfile.TarInfo(f"package/{runtime.FILES[name][0]}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    for path in (inner, tmp_path, tmp_path / "package.tgz"):
        assert runtime.read_runtime(path) == CONTENTS


def test_another_version_is_named(tmp_path: Path) -> None:
    with pytest.raises(GoogLeNetError, match=r"must be onnxruntime-web 1\.30\.0: its dist/"):
        runtime.read_runtime(package_folder(tmp_path))


@pytest.mark.parametrize("content", [None, b"", b"not an archive", b"\x1f\x8b\x08"])
def test_what_is_no_package_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "given"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(GoogLeNetError, match=r"given: must be the folder or the \.tgz of"):
        runtime.read_runtime(path)


def test_the_download_is_the_same_version() -> None:
    assert ONNXRUNTIME_WEB.url.endswith(f"/{runtime.PACKAGE}-{runtime.VERSION}.tgz")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--to", "web", "--out", "page.html"), "must be a folder without --single-file"),
        (("--to", "web", "--out", "page", "--single-file"), "must be a file that ends in .html"),
        (("--to", "onnx", "--out", "m.onnx", "--single-file"), "--single-file must go with --to"),
        (("--to", "onnx", "--out", "m.onnx", "--runtime", "x"), "--runtime must go with --to web"),
        (("--to", "web", "--out", "page", "--fixed"), "--fixed must go with --to onnx"),
        (("--to", "web", "--out", "page", "--precision", "bf16"), "precision must be fp32 or int8"),
        (("--to", "web", "--out", "page", "--with-preprocessing"), "must go with onnx or openvino"),
    ],
)
def test_options_that_do_not_fit(options: tuple[str, ...], said: str) -> None:
    found = command("export", "m.safetensors", *options)
    assert found.code == 2
    assert said in found.err


def test_a_folder_of_something_else_is_kept(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    found = command("export", "m.safetensors", "--to", "web", "--out", tmp_path)
    assert found.code == 2
    assert "must be a new folder" in found.err


def test_why_a_page_cannot_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "PROGRAMS", ("no-such-browser",))
    assert parity.missing_browser() == "none of no-such-browser is on the PATH"
    monkeypatch.setattr(parity, "find_spec", lambda name: None)
    assert "playwright is not installed" in str(parity.missing_browser())
