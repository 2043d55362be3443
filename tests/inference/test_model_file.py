"""The model file: what is written is read back; other files give a one-line error."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from googlenet.inference.header import FORMAT, KEY
from googlenet.inference.model_file import read_header, read_tensors, write_tensors
from googlenet.runtime.errors import ModelFileError, UsageError

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor(7, dtype=torch.int64)}


def write_header(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """A file of ours with any header."""
    write_tensors(path, tensors, {KEY: json.dumps({"format": FORMAT} | header)})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.safetensors"


def test_what_is_written_is_read(path: Path) -> None:
    header = {"classes": [{"id": "n01", "name": "naïve — 犬"}], "metrics": {"1": 0.1}}
    write_header(path, TENSORS, header)
    assert read_header(path) == header | {"format": FORMAT}
    tensors = read_tensors(path)
    assert {name: (t.dtype, t.tolist()) for name, t in tensors.items()} == {
        name: (t.dtype, t.tolist()) for name, t in TENSORS.items()
    }


def test_others_read_it_with_safetensors_and_json_alone(path: Path) -> None:
    write_header(path, TENSORS, {"variant": "bn"})
    with safe_open(path, framework="np") as file:
        assert json.loads(file.metadata()["googlenet"])["variant"] == "bn"
        assert file.get_tensor("b").tolist() == TENSORS["b"].tolist()


def test_tensors_of_any_layout_are_written(path: Path) -> None:
    weight = torch.randn(4, 3, 5, 5)
    last: Tensor = weight.to(memory_format=torch.channels_last)
    write_header(path, {"w": last.requires_grad_()}, {})
    assert torch.equal(read_tensors(path)["w"], weight)


def test_others_may_read_the_file_if_they_may_read_new_files(path: Path) -> None:
    write_header(path, TENSORS, {})
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_name_that_is_no_text_survives(path: Path) -> None:
    """A folder of classes may be called by bytes that are no UTF-8."""
    write_header(path, TENSORS, {"classes": ["caf\udce9"]})
    assert read_header(path)["classes"] == ["caf\udce9"]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"MODEL must be a model file or a run folder, got .*no such"
    ):
        read_header(tmp_path / "none.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.99])
def test_truncated_file(path: Path, share: float) -> None:
    write_header(path, {"w": torch.zeros(1000)}, {})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    for read in (read_header, read_tensors):
        with pytest.raises(
            ModelFileError, match=r"m.safetensors: is not a complete safetensors file"
        ):
            read(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04 a pickle in a zip", b"text", bytes(1000)])
def test_foreign_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="is not a complete safetensors file"):
        read_header(path)


def test_safetensors_of_another_program(path: Path) -> None:
    save_file(TENSORS, path, {"format": "pt"})
    with pytest.raises(
        ModelFileError, match="has no 'googlenet' metadata, so it is not a model of"
    ):
        read_header(path)
    save_file(TENSORS, path)
    with pytest.raises(ModelFileError, match="has no 'googlenet' metadata"):
        read_header(path)


@pytest.mark.parametrize("metadata", ["", "{", "[]", "3", "null", '"format"', "{}", "[" * 100_000])
def test_damaged_metadata(path: Path, metadata: str) -> None:
    save_file(TENSORS, path, {KEY: metadata})
    with pytest.raises(ModelFileError, match="its 'googlenet' metadata is damaged"):
        read_header(path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_format_of_another_version(path: Path, version: Any) -> None:
    save_file(TENSORS, path, {KEY: json.dumps({"format": version})})
    with pytest.raises(
        ModelFileError, match=f"is of format {version!r}, this version reads format 1"
    ):
        read_header(path)
