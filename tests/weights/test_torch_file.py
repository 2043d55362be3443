"""Files written by torch.save, and what somebody might make of them to do harm."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from googlenet.weights.detect import read_weight_file
from googlenet.weights.weight_file import WeightFileError

Edit = Callable[[str, bytes], tuple[str, bytes] | None]


def save(content: object, path: Path, *, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def edited(path: Path, edit: Edit, compression: int = zipfile.ZIP_STORED) -> Path:
    """The zip with each entry put through `edit`; None leaves it out."""
    with zipfile.ZipFile(path) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries:
            result = edit(name, data)
            if result:
                archive.writestr(*result)
    return path


class Harmful:
    """Unpickling this would make a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    return {
        "conv1.conv.weight": torch.randn(4, 3, 7, 7),
        "conv1.bn.num_batches_tracked": torch.tensor(7),
        "half": torch.randn(3).half(),
        "bfloat": torch.randn(3).bfloat16(),
        "double": torch.randn(3, dtype=torch.float64),
        "view": torch.randn(4, 6)[1:3, ::2],
    }


@pytest.mark.parametrize("legacy", [False, True])
def test_state_dictionary(tensors: dict[str, Tensor], legacy: bool, tmp_path: Path) -> None:
    file = read_weight_file(save(OrderedDict(tensors), tmp_path / "a.bin", legacy=legacy))
    assert file.format == "PyTorch file"
    assert file.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(file.tensors[name], tensor)
        assert file.tensors[name].dtype == tensor.dtype


@pytest.mark.parametrize("legacy", [False, True])
def test_a_real_module_s_state(legacy: bool, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    file = read_weight_file(save(module.state_dict(), tmp_path / "m.pth", legacy=legacy))
    assert file.tensors.keys() == module.state_dict().keys()


def test_parameters_are_tensors(tmp_path: Path) -> None:
    path = save({"w": nn.Parameter(torch.ones(2))}, tmp_path / "p.pth")
    assert torch.equal(read_weight_file(path).tensors["w"], torch.ones(2))


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_checkpoint_around_it(key: str, tmp_path: Path) -> None:
    path = save({"epoch": 3, key: {"w": torch.ones(2), "note": "x"}}, tmp_path / "c.pth")
    file = read_weight_file(path)
    assert list(file.tensors) == ["w"]
    assert file.unread == {"note": "is not a tensor"}


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, torch.ones(2)])
def test_no_dictionary_of_tensors(content: object, tmp_path: Path) -> None:
    with pytest.raises(WeightFileError, match="without a dictionary of tensors"):
        read_weight_file(save(content, tmp_path / "x.pth"))


@pytest.mark.parametrize("legacy", [False, True])
def test_code_is_named_and_not_run(legacy: bool, tmp_path: Path) -> None:
    target = tmp_path / "made"
    path = save({"w": torch.ones(2), "x": Harmful(target)}, tmp_path / "x.pth", legacy=legacy)
    with pytest.raises(WeightFileError, match=r"x\.pth: its pickle calls (posix|nt)\.mkdir"):
        read_weight_file(path)
    assert not target.exists()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_a_whole_network_is_refused(legacy: bool, tmp_path: Path) -> None:
    path = save(nn.Linear(2, 2), tmp_path / "net.pth", legacy=legacy)
    with pytest.raises(WeightFileError, match=r"save its state_dict\(\) instead"):
        read_weight_file(path)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_bare_pickle_is_not_read(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"w": [1.0]}, protocol))
    with pytest.raises(WeightFileError, match="is a pickle, which may run code"):
        read_weight_file(path)


def test_a_newer_pickle_protocol_inside_is_named(tmp_path: Path) -> None:
    path = tmp_path / "new.pth"
    torch.save({"w": torch.ones(2)}, path, pickle_protocol=4)
    with pytest.raises(WeightFileError, match=r"new\.pth: "):
        read_weight_file(path)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("number", "rule"),
    [
        (b"J\xff\xff\xff\x7f", "is a damaged PyTorch file"),  # 2³¹ − 1
        (b"\x8a\x06\x00\x00\x00\x00\x00\x01", r"declares 1\.1e\+12 of something"),  # 2⁴⁰
    ],
)
def test_a_huge_declared_size(number: bytes, rule: str, legacy: bool, tmp_path: Path) -> None:
    """The storage's ten numbers become very many, in the pickle alone."""
    path = save({"w": torch.arange(10.0)}, tmp_path / "big.pth", legacy=legacy)
    if legacy:
        data = path.read_bytes()
        assert data.count(b"K\nN") == 1
        path.write_bytes(data.replace(b"K\nN", number + b"N"))
    else:
        edited(path, lambda name, data: (name, data.replace(b"K\nt", number + b"t")))
    with pytest.raises(WeightFileError, match=rule):
        read_weight_file(path)


def test_a_storage_shorter_than_declared(tmp_path: Path) -> None:
    path = save({"w": torch.arange(10.0)}, tmp_path / "short.pth")
    edited(path, lambda name, data: (name, data[:8] if name.endswith("data/0") else data))
    with pytest.raises(WeightFileError, match="is a damaged PyTorch file"):
        read_weight_file(path)


def test_what_torch_sees_is_what_was_checked(tmp_path: Path) -> None:
    """Two pickles in one zip: PyTorch takes the first entry's folder, others the first pickle."""
    target = tmp_path / "made"
    clean, foul = tmp_path / "clean.pth", tmp_path / "foul.pth"
    save({"w": torch.ones(2)}, clean)
    save({"x": Harmful(target)}, foul)
    with zipfile.ZipFile(tmp_path / "both.pth", "w") as both:
        both.writestr("foul/first", b"")
        for name in ("clean", "foul"):
            with zipfile.ZipFile(tmp_path / f"{name}.pth") as archive:
                for entry in archive.namelist():
                    both.writestr(entry, archive.read(entry))
    assert torch.equal(read_weight_file(tmp_path / "both.pth").tensors["w"], torch.ones(2))
    assert not target.exists()


def test_a_missing_storage(tmp_path: Path) -> None:
    path = save({"w": torch.arange(10.0)}, tmp_path / "gone.pth")
    edited(path, lambda name, data: None if name.endswith("data/0") else (name, data))
    with pytest.raises(WeightFileError, match="is a damaged PyTorch file"):
        read_weight_file(path)


def test_a_bomb_is_refused_by_what_it_declares(tmp_path: Path) -> None:
    path = save({"w": torch.zeros(1 << 20)}, tmp_path / "bomb.pth")
    edited(path, lambda name, data: (name, data), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    with pytest.raises(WeightFileError, match="is not a zip of weights: it declares"):
        read_weight_file(path)


def test_packed_entries_are_refused(tmp_path: Path) -> None:
    path = save({"w": torch.randn(1000)}, tmp_path / "packed.pth")
    edited(path, lambda name, data: (name, data), zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightFileError, match="has compressed entries"):
        read_weight_file(path)


def test_an_endless_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("googlenet.weights.pickle_check.MAX_INSTRUCTIONS", 50)
    path = save({f"w{i}": torch.ones(1) for i in range(20)}, tmp_path / "long.pth")
    with pytest.raises(WeightFileError, match="more than 50 instructions"):
        read_weight_file(path)


def raw(path: Path, instructions: bytes, *, legacy: bool) -> Path:
    """A file whose dictionary is made by these pickle instructions."""
    pickled = b"\x80\x02" + instructions + b"."
    save({"w": torch.ones(2)}, path, legacy=legacy)
    if not legacy:
        return edited(path, lambda name, data: (name, pickled if "data.pkl" in name else data))
    start = path.read_bytes()
    system = start.index(b".", start.index(b"M\xe9\x03.") + 4) + 1
    path.write_bytes(start[:system] + pickled + b"\x80\x02]q\x00.")
    return path


def doubled(levels: int) -> bytes:
    """A tuple of itself twice, so many levels deep: 2**levels steps to hash."""
    steps = (b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(levels))
    return b")" + b"".join(steps)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("instructions", "rule"),
    [
        (b"}" + doubled(60) + b"Ns", "a key that is neither text nor number"),
        (b"}(" + doubled(60) + b"Nu", "a key that is neither text nor number"),
        (b"}N" + b"\x85" * 200_000 + b"Ns", "a key that is neither text nor number"),
        (b"(X\x07\x00\x00\x00storage" + doubled(60) + b"tQ", "storage without a plain descr"),
        (b"ctorch\nFloatStorage\nJ\xff\xff\xff\x7f\x85R", "a call that makes no tensor"),
        (b"ccollections\nOrderedDict\n](" + doubled(60) + b"N\x86e\x85R", "a call that makes no"),
        (b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R", r"calls builtins\.bytearray"),
        (b"\x8f(" + doubled(60) + b"\x90", "the instruction EMPTY_SET"),
        (b"t", "is a damaged PyTorch file"),
        (b"h\x07", "is a damaged PyTorch file"),
    ],
)
def test_a_pickle_that_would_never_end_is_refused(
    instructions: bytes, rule: str, legacy: bool, tmp_path: Path
) -> None:
    path = raw(tmp_path / "slow.pth", instructions, legacy=legacy)
    with pytest.raises(WeightFileError, match=rule):
        read_weight_file(path)


def test_those_files_are_well_made(tmp_path: Path) -> None:
    """The same frame around harmless instructions reads, so that it is they that are refused."""
    for legacy in (False, True):
        path = raw(tmp_path / "empty.pth", b"}X\x01\x00\x00\x00aK\x01s", legacy=legacy)
        with pytest.raises(WeightFileError, match="without a dictionary of tensors"):
            read_weight_file(path)


def test_a_large_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("googlenet.weights.torch_file.MAX_PICKLE_BYTES", 100)
    path = save({"w": torch.ones(1)}, tmp_path / "large.pth")
    with pytest.raises(WeightFileError, match="its pickle has more than 100 bytes"):
        read_weight_file(path)
