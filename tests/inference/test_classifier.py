"""One file is a whole classifier: round trips, refusals, predictions."""

from __future__ import annotations

import json
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from googlenet import Classifier
from googlenet.images.decode import Source
from googlenet.inference.calibration import Calibration
from googlenet.inference.header import KEY
from googlenet.inference.model_file import model_path, read_header
from googlenet.inference.prediction import Prediction
from googlenet.models import table
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.errors import GoogLeNetError, ModelFileError, UsageError
from tests.fixtures import noise, pixels, set_header, tiny_classifier


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.safetensors"


TABLE = table.variant(json.dumps(table.table_json("mine", "bn", table.TABLE_1))).key


@pytest.mark.parametrize("variant", ["bn", "paper", "slim", TABLE])
@pytest.mark.parametrize("heads", [True, False])
def test_round_trip_is_bit_for_bit(path: Path, variant: str, heads: bool) -> None:
    classifier = tiny_classifier(variant=variant, heads=heads)
    set_header(classifier, metrics={"1": {"top1_error": 1 / 3}})
    set_header(classifier, provenance={"seed": 5})
    set_header(classifier, licence="CC0-1.0", calibration=Calibration(1.5))
    classifier.save(path)
    loaded = Classifier.load(path)
    state = loaded.network.state_dict()
    for name, tensor in classifier.network.state_dict().items():
        assert torch.equal(state[name], tensor), name
    assert loaded.header.to_json() == classifier.header.to_json()
    assert not loaded.network.training
    again = path.with_name("again.safetensors")
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


def test_tensors_have_the_paper_s_names(path: Path) -> None:
    tiny_classifier(heads=True).save(path)
    names = set(load_file(path))
    assert names > {
        "conv1.conv.weight", "conv1.bn.running_mean", "conv2_reduce.conv.weight",
        "inception_4a.5x5_reduce.conv.weight", "inception_4a.5x5_reduce.bn.bias",
        "inception_5b.pool_proj.conv.weight", "aux_4a.fc.weight", "aux_4d.classifier.bias",
        "classifier.weight",
    }  # fmt: skip


def test_run_folder_means_its_last_model(tmp_path: Path) -> None:
    tiny_classifier().save(tmp_path / "last.safetensors")
    assert len(Classifier.load(tmp_path).classes) == 3
    assert model_path(tmp_path) == tmp_path / "last.safetensors"
    with pytest.raises(UsageError, match=r"got .*last.safetensors: no such file"):
        Classifier.load(tmp_path.parent / "nothing" / "last.safetensors")


def rewrite(path: Path, tensors: dict[str, Tensor], **changes: Any) -> None:
    """The model file with other tensors, and other values in its header."""
    header = read_header(path) | changes
    save_file(tensors, path, {KEY: json.dumps(header)})


def test_missing_extra_and_misshapen_tensors(path: Path) -> None:
    tiny_classifier().save(path)
    tensors = load_file(path)
    bias = tensors.pop("classifier.bias")
    rewrite(path, tensors)
    with pytest.raises(
        ModelFileError, match=r"m.safetensors: 1 missing tensor \(classifier.bias\)"
    ):
        Classifier.load(path)
    rewrite(path, tensors | {"classifier.bias": bias, "extra": bias.clone()})
    with pytest.raises(ModelFileError, match=r"m.safetensors: 1 unexpected tensor \(extra\)"):
        Classifier.load(path)
    rewrite(path, tensors | {"classifier.bias": torch.zeros(4)})
    with pytest.raises(ModelFileError, match=r"classifier.bias must have shape \(3,\), has \(4,\)"):
        Classifier.load(path)


def test_missing_and_unexpected_tensors_are_named_together(path: Path) -> None:
    tiny_classifier().save(path)
    renamed = {f"module.{name}": tensor for name, tensor in load_file(path).items()}
    rewrite(path, renamed)
    count = len(renamed)
    with pytest.raises(
        ModelFileError,
        match=rf"m.safetensors: {count} missing tensors \(classifier.bias, .*, …\); "
        rf"{count} unexpected tensors \(module.classifier.bias, .*, …\)$",
    ):
        Classifier.load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"variant": "vgg19"}, {"variant": None}, {"variant": ["bn"]},
        {"classes": 3}, {"classes": ["a", "b", "c"]}, {"classes": {"a": 1}}, {"classes": []},
        {"classes": [{"id": "a"}]},
        {"preprocessing": []}, {"preprocessing": None}, {"preprocessing": {"size": 4}},
        {"preprocessing": {"mean": "RGB"}},
        {"width": None}, {"width": "wide"}, {"width": 0}, {"width": 1e400},
        {"metrics": 5}, {"provenance": "mine"},
    ],
)  # fmt: skip
def test_header_that_cannot_be_used_is_one_sentence(path: Path, changes: dict[str, Any]) -> None:
    tiny_classifier().save(path)
    rewrite(path, load_file(path), **changes)
    with pytest.raises(ModelFileError, match=r"m.safetensors: its header cannot be used") as caught:
        Classifier.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["variant", "classes", "preprocessing"])
def test_header_without_what_it_must_have(path: Path, key: str) -> None:
    tiny_classifier().save(path)
    header = read_header(path)
    del header[key]
    save_file(load_file(path), path, {KEY: json.dumps(header)})
    with pytest.raises(ModelFileError, match=f"its header cannot be used .*{key}"):
        Classifier.load(path)


def test_model_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GoogLeNetError, match="cannot be written"):
        tiny_classifier().save(tmp_path / "file" / "m.safetensors")


def test_probabilities_are_the_network_s_softmax() -> None:
    """The oracle is the pipeline in single steps: Pillow, NumPy, the bare network."""
    classifier, photo = tiny_classifier(), noise(60, 48)
    resized = photo.resize((46, 37), 2)  # bilinear; round(32 · 256/224) = 37
    crop = pixels(resized)[2:34, 7:39].astype(np.float32)
    p = classifier.preprocessing
    normal = (crop - np.array(p.mean, np.float32)) * np.array(p.scale, np.float32)
    with torch.inference_mode():
        logits = classifier.network(torch.from_numpy(normal.transpose(2, 0, 1)[None].copy()))
    expected = np.exp(logits[0].double().numpy())
    expected /= expected.sum()
    (result,) = classifier.predict([photo], top=3)
    assert [name for name, _ in result.top] == [f"name{i}" for i in np.argsort(-expected)]
    assert np.abs(np.sort(expected)[::-1] - [value for _, value in result.top]).max() < 1e-5


def test_bf16_agrees_roughly_and_is_returned_in_fp32() -> None:
    classifier = tiny_classifier()
    crops = np.stack([pixels(noise(32, 32, seed)) for seed in range(4)])
    exact = classifier.probabilities(crops)
    rough = classifier.to(ComputeDevice("cpu", "bf16")).probabilities(crops)
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.1


def test_predictions_come_in_order_with_bad_images_among_them(tmp_path: Path) -> None:
    classifier = tiny_classifier()
    good = tmp_path / "good.png"
    noise(50, 40).save(good)
    bad = tmp_path / "bad.jpg"
    bad.write_text("no photo")
    sources: list[Source] = [good, bad, good.read_bytes(), pixels(noise(50, 40)), b"", str(good)]
    results = list(classifier.predict(sources, batch=2))
    assert [r.path for r in results] == [
        str(good), str(bad), f"image of {good.stat().st_size} bytes", "array", "image of 0 bytes",
        str(good),
    ]  # fmt: skip
    assert [r.error is None for r in results] == [True, False, True, True, False, True]
    assert str(results[1].error).startswith(f"{bad}: cannot be read as an image")
    assert (results[1].label, results[1].probability, results[1].top) == (None, None, ())
    tops = [r.top for r in results if r.error is None]
    assert all(np.allclose([v for _, v in top], [v for _, v in tops[0]], atol=1e-6) for top in tops)


def test_top_is_sorted_cut_and_never_longer_than_the_classes() -> None:
    classifier = tiny_classifier(classes=4)
    (two,), (all_of_them,) = (list(classifier.predict([noise(40, 40)], top=n)) for n in (2, 9))
    values = [value for _, value in all_of_them.top]
    assert len(two.top) == 2
    assert two.top == all_of_them.top[:2]
    assert values == sorted(values, reverse=True)
    assert abs(sum(values) - 1) < 1e-6
    assert (two.label, two.probability) == two.top[0]


def test_endless_sources_are_read_as_needed() -> None:
    photos = (noise(40, 40, seed) for seed in count())
    assert len(list(islice(tiny_classifier().predict(photos, batch=2), 5))) == 5


@pytest.mark.parametrize("single", ["cat.jpg", Path("cat.jpg"), b"bytes"])
def test_single_image_is_no_list(single: Any) -> None:
    with pytest.raises(UsageError, match="predict takes a list of images, got one"):
        list(tiny_classifier().predict(single))


def test_nothing_to_predict() -> None:
    assert list(tiny_classifier().predict([])) == []
    assert Prediction("x").label is None
