"""Paths and known names to classifiers; the way to Caffe's names and back."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from googlenet import Classifier, GoogLeNet
from googlenet.data.labels import Class
from googlenet.images.preprocess import Preprocessing
from googlenet.load import convert_source
from googlenet.models.registry import build_network
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.weights import registry
from googlenet.weights.caffe_named import HEADER, write_caffe_named
from googlenet.weights.provenance import fingerprint
from tests.weights.foreign import BY_NAME, foreign_tensors
from tests.weights.protos import caffe_model


@pytest.fixture(scope="module")
def small() -> Classifier:
    """A narrow model of the paper's variant, of two classes, with heads."""
    return Classifier.from_network(
        build_network("paper", 2, size=64, width=0.1),
        (Class("a", "ä"), Class("b", "b")),
        Preprocessing(size=64, resize_size=73, channel_order="BGR"),
        metrics={"top1_error": 12.5},
        provenance={"data": "test"},
        licence="CC0-1.0",
    )


def test_a_foreign_file_loads_like_a_model_of_ours(bvlc: Classifier, bvlc_data: Path) -> None:
    assert bvlc.variant == "paper"
    assert bvlc.classes[0] == Class("n01440764", "tench, Tinca tinca")
    assert len(bvlc.classes) == 1000
    assert bvlc.preprocessing.channel_order == "BGR"
    assert bvlc.network.aux_heads == ()
    assert bvlc.network.training is False


def test_weights_are_known_whatever_file_they_come_in(bvlc: Classifier, bvlc_data: Path) -> None:
    """The shared file is not BVLC's own, but its weights are."""
    released = registry.KNOWN["bvlc"]
    assert fingerprint(bvlc.network.state_dict()) == released.fingerprint
    assert bvlc.licence == "released for unrestricted use"
    assert bvlc.provenance["weights"] == released.title
    assert bvlc.provenance["url"] == released.url
    data = (bvlc_data / "weights.safetensors").read_bytes()
    assert bvlc.provenance["sha256"] == sha256(data).hexdigest()
    assert bvlc.provenance["file"] == "weights.safetensors"


def test_the_converted_file_says_the_same(bvlc: Classifier, tmp_path: Path) -> None:
    bvlc.save(tmp_path / "bvlc.safetensors")
    again = Classifier.load(tmp_path / "bvlc.safetensors")
    assert again.header.to_json() == bvlc.header.to_json()
    for name, tensor in bvlc.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor)


def test_the_released_weights_as_a_caffemodel(
    bvlc: Classifier, bvlc_data: Path, tmp_path: Path
) -> None:
    """The real weights, written in the old layers by Google's protobuf library."""
    path = tmp_path / "bvlc_googlenet.caffemodel"
    tensors = load_file(bvlc_data / "weights.safetensors")
    path.write_bytes(caffe_model(tensors, old=True).SerializeToString())
    classifier, report = convert_source(path)
    assert report.format == "Caffe model"
    assert len(report.kept) == 116
    assert fingerprint(classifier.network.state_dict()) == fingerprint(bvlc.network.state_dict())
    assert classifier.licence == "released for unrestricted use"


def test_a_known_name_is_the_file_in_the_cache(
    bvlc: Classifier, bvlc_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = bvlc_data / "weights.safetensors"
    digest = sha256(source.read_bytes()).hexdigest()
    entry = replace(registry.KNOWN["bvlc"], file="there", sha256=digest, url="http://127.0.0.1:9/")
    monkeypatch.setitem(registry.KNOWN, "bvlc", entry)
    monkeypatch.setenv("GOOGLENET_CACHE", str(tmp_path))
    (tmp_path / "there").symlink_to(source)
    assert fingerprint(Classifier.load("bvlc").network.state_dict()) == fingerprint(
        bvlc.network.state_dict()
    )


def test_a_path_comes_before_a_known_name(
    small: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small.save("bvlc")
    assert Classifier.load("bvlc").classes == small.classes


@pytest.mark.parametrize("source", ["nowhere.safetensors", "nowhere"])
def test_a_file_that_does_not_exist(source: str, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"or one of bvlc, inception5h, torchvision, got .*no such"
    ):
        Classifier.load(tmp_path / source)


def test_an_error_names_the_file_once(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"fc.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(GoogLeNetError) as caught:
        Classifier.load(path)
    assert str(caught.value).startswith(f"{path}: holds 1 tensors (fc.weight), not those of a Goog")
    assert str(caught.value).count(str(path)) == 1


def test_a_stated_licence_is_kept(tmp_path: Path) -> None:
    network = GoogLeNet("slim", 5)
    path = tmp_path / "slim.safetensors"
    save_file(foreign_tensors(network, BY_NAME["slim"]), path, {"license": "MIT"})
    classifier, report = convert_source(path)
    assert classifier.licence == "MIT"
    assert classifier.provenance["scheme"] == report.scheme == "slim"
    assert "weights" not in classifier.provenance


def test_to_caffe_s_names_and_back_bit_for_bit(small: Classifier, tmp_path: Path) -> None:
    first, between, last = (tmp_path / name for name in ("a", "b", "c"))
    small.save(first)
    write_caffe_named(small.header, small.network.state_dict(), between)
    assert "loss3/classifier/weight" in load_file(between)
    classifier, report = convert_source(between)
    assert (report.scheme, report.dropped, report.missing) == ("caffe", {}, [])
    classifier.save(last)
    assert last.read_bytes() == first.read_bytes()


def test_the_released_weights_go_to_caffe_s_names_unchanged(
    bvlc: Classifier, bvlc_data: Path, tmp_path: Path
) -> None:
    write_caffe_named(bvlc.header, bvlc.network.state_dict(), tmp_path / "again.safetensors")
    ours = load_file(tmp_path / "again.safetensors")
    theirs = load_file(bvlc_data / "weights.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_only_the_paper_s_network_has_caffe_s_names(tmp_path: Path) -> None:
    model = Classifier.from_network(
        build_network("bn", 2, size=64, width=0.1),
        (Class("a", "a"), Class("b", "b")),
        Preprocessing(size=64, resize_size=73),
    )
    with pytest.raises(UsageError, match="--to caffe needs a model of variant 'paper', got 'bn'"):
        write_caffe_named(model.header, model.network.state_dict(), tmp_path / "x")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"width": 16}, r"describes a network of [\d,]+ parameters, the tensors hold"),
        ({"variant": "nonsense"}, "variant must be one of"),
        ({"classes": 3}, "metadata cannot be used"),
        ({"preprocessing": None}, "metadata cannot be used"),
    ],
)
def test_a_carried_header_that_lies(
    change: dict[str, object], rule: str, small: Classifier, tmp_path: Path
) -> None:
    path = tmp_path / "lie.safetensors"
    write_caffe_named(small.header, small.network.state_dict(), path)
    header = json.dumps(small.header.to_json() | change)
    save_file(load_file(path), path, {HEADER: header})
    with pytest.raises(GoogLeNetError, match=rule):
        Classifier.load(path)


def test_a_model_file_of_ours_that_declares_a_huge_network(
    small: Classifier, tmp_path: Path
) -> None:
    path = tmp_path / "huge.safetensors"
    header = {"format": 1} | small.header.to_json() | {"width": 16.0}
    save_file({"w": torch.zeros(3)}, path, {"googlenet": json.dumps(header)})
    with pytest.raises(GoogLeNetError, match="parameters, the tensors hold 3"):
        Classifier.load(path)
