"""Every format is recognized by its content; whatever is damaged gives one sentence in time."""

from __future__ import annotations

import gzip
import tracemalloc
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from googlenet.runtime.errors import GoogLeNetError
from googlenet.weights import archive, weight_file
from googlenet.weights.detect import CHECKPOINT_END, read_weight_file
from googlenet.weights.weight_file import WeightFile, WeightFileError
from tests.weights.protos import caffe_model, onnx_model, tensorflow_graph

TENSORS = {"conv1/weight": torch.randn(4, 3, 3, 3), "conv1/bias": torch.randn(4)}


def torch_bytes(tensors: dict[str, Tensor], *, legacy: bool) -> bytes:
    stream = BytesIO()
    torch.save(tensors, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def zipped(name: str, data: bytes, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        file.writestr(name, data)
    return stream.getvalue()


FILES: dict[str, tuple[str, bytes]] = {
    "caffe": ("Caffe model", caffe_model(TENSORS).SerializeToString()),
    "caffe-v1": ("Caffe model", caffe_model(TENSORS, old=True).SerializeToString()),
    "tensorflow": ("TensorFlow graph", tensorflow_graph(TENSORS).SerializeToString()),
    "tensorflow-zip": (
        "TensorFlow graph",
        zipped("graph.pb", tensorflow_graph(TENSORS).SerializeToString()),
    ),
    "onnx": ("ONNX model", onnx_model(TENSORS).SerializeToString()),
    "safetensors": ("safetensors file", safetensors_bytes(TENSORS)),
    "torch": ("PyTorch file", torch_bytes(TENSORS, legacy=False)),
    "torch-legacy": ("PyTorch file", torch_bytes(TENSORS, legacy=True)),
}


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "weights.dat"
    path.write_bytes(data)
    return path


def outcome(path: Path) -> WeightFile | str:
    """What is in the file, or the sentence that says why nothing is."""
    try:
        return read_weight_file(path)
    except GoogLeNetError as error:
        return str(error)


@pytest.mark.parametrize("kind", FILES)
def test_a_format_is_told_by_its_content(kind: str, tmp_path: Path) -> None:
    expected, data = FILES[kind]
    file = read_weight_file(written(tmp_path, data))
    assert file.format == expected
    assert file.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(file.tensors[name].reshape(tensor.shape), tensor)


@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_anywhere_gives_one_sentence(kind: str, tmp_path: Path) -> None:
    """A cut between two tensors of a protocol buffer cannot be seen: fewer of them are there."""
    _, data = FILES[kind]
    step = max(1, len(data) // 60)
    for end in range(0, len(data), step):
        path = written(tmp_path, data[:end])
        found = outcome(path)
        if isinstance(found, str):
            assert found.startswith(f"{path}: ")
            assert "\n" not in found
        else:
            assert found.tensors.keys() < TENSORS.keys()


@pytest.mark.parametrize("kind", ["caffe", "caffe-v1", "tensorflow", "onnx"])
def test_a_truncated_protocol_buffer_says_so(kind: str, tmp_path: Path) -> None:
    _, data = FILES[kind]
    with pytest.raises(WeightFileError, match="is truncated"):
        read_weight_file(written(tmp_path, data[: len(data) // 2]))


@pytest.mark.parametrize("kind", FILES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_changed_file_is_read_or_refused(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(FILES[kind][1])
    places = st.integers(0, len(content) - 1)
    for at in data.draw(st.lists(places, min_size=1, max_size=6)):
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed"
    path.write_bytes(content)
    found = outcome(path)
    assert isinstance(found, WeightFile) or "\n" not in found


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "the file is empty"),
        (
            b"hello, this is text and no weights at all",
            "is not a weight file that this program",
        ),
        (bytes(1000), "is not a weight file that this program"),
        (b"\xff" * 1000, "is not a weight file that this program"),
        (b"<!DOCTYPE html><html>", "is a web page: the download has failed"),
        # Without a time: the two test processes must make the same test of it.
        (gzip.compress(b"weights", mtime=0), "compressed with gzip: unpack it first"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "pointer of Git LFS"),
        (bytes(100) + CHECKPOINT_END, "is a TensorFlow checkpoint"),
        (zipped("readme.txt", b"hello"), "is a zip file without weights"),
        (b"PK\x03\x04" + bytes(100), "is a damaged zip file"),
    ],
)
def test_what_people_have_in_its_place(data: bytes, rule: str, tmp_path: Path) -> None:
    with pytest.raises(WeightFileError, match=rule):
        read_weight_file(written(tmp_path, data))


def test_a_folder_is_no_weight_file(tmp_path: Path) -> None:
    with pytest.raises(WeightFileError):
        read_weight_file(tmp_path)


def test_a_file_too_large_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(weight_file.MAX_BYTES + 1)  # takes no place on the disk
    with pytest.raises(WeightFileError, match="may have 268,435,456 bytes, this has 268,435,457"):
        read_weight_file(path)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "safetensors header": lambda: (1 << 40).to_bytes(8, "little") + b'{"a":',
    "caffe layer": lambda: b"\x0a\x03net" + b"\xa2\x06\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    "onnx graph": lambda: b"\x08\x03\x3a\xff\xff\xff\xff\x7f",
    "zip bomb": lambda: zipped("graph.pb", bytes(20 << 20)),
    "bomb that lies": lambda: lying_zip(zipped("graph.pb", bytes(8 << 20))),
    "zip of many": lambda: many_entries(),
}


def lying_zip(data: bytes) -> bytes:
    """The declared size of the zip's one entry made a hundredth, in both of its headers."""
    size = (8 << 20).to_bytes(4, "little")
    assert data.count(size) == 2
    return data.replace(size, (80 << 10).to_bytes(4, "little"))


def many_entries() -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for index in range(archive.MAX_ENTRIES + 1):
            file.writestr(str(index), b"")
    return stream.getvalue()


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_costs_little(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path, HOSTILE[kind]())
    tracemalloc.start()
    try:
        with pytest.raises(WeightFileError):
            read_weight_file(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
