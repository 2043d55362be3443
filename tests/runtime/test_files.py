"""A crash leaves the old file or the new one, never half of one."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from googlenet.inference.model_file import read_header
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.files import WriteError, parent_dir, write_atomically, write_text
from tests.inference.test_model_file import write_header


def test_text_is_written_in_utf_8_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    write_text(path, "5×5")
    write_text(path, "naïve")
    assert path.read_bytes() == "naïve".encode()
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [OSError("disk full"), ZeroDivisionError(), KeyboardInterrupt()])
def test_writer_that_fails_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(target: Path) -> None:
        target.write_text("half of the n")
        raise error

    with pytest.raises(GoogLeNetError if isinstance(error, OSError) else type(error)):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["file/a.txt", "x" * 300])
def test_place_that_cannot_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(GoogLeNetError, match=f"{name}: cannot be written"):
        write_text(tmp_path / name, "text")


def test_full_disk_is_one_sentence_and_leaves_the_old_model(tmp_path: Path) -> None:
    """The operating system refuses the bytes beyond a limit, as it does on a full disk."""
    path = tmp_path / "m.safetensors"
    write_header(path, {"w": torch.zeros(10)}, {"take": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(
            GoogLeNetError, match=r"m\.safetensors: cannot be written \(.*too large"
        ):
            write_header(path, {"w": torch.zeros(1_000_000)}, {"take": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert read_header(path)["take"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_folder_made_for_nothing_goes_again(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b" / "x"
    with parent_dir(out):
        assert out.parent.is_dir()
    assert list(tmp_path.iterdir()) == []
    with parent_dir(out):
        out.write_text("kept")
    with parent_dir(tmp_path / "a" / "c" / "x"):
        pass
    assert out.read_text() == "kept"
    assert [each.name for each in (tmp_path / "a").iterdir()] == ["b"]


def test_a_file_that_could_not_be_written_leaves_no_folder(tmp_path: Path) -> None:
    def fail(_: Path) -> None:
        raise OSError("full")

    with pytest.raises(WriteError, match="cannot be written"):
        write_atomically(tmp_path / "a" / "x", fail)
    assert list(tmp_path.iterdir()) == []
