"""Rendering: the same bits whatever stands beside, resumed or not; dreams; galleries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from googlenet import Classifier
from googlenet.data.labels import Class
from googlenet.images.preprocess import Preprocessing
from googlenet.insight.gallery import make, open_gallery, sheet
from googlenet.insight.objectives import energy
from googlenet.insight.render import DreamSettings, RenderSettings, dream, evaluate, to_inputs
from googlenet.insight.render import visualize as rendered
from googlenet.models.registry import build_network
from googlenet.runtime.errors import UsageError
from tests.fixtures import noise, tiny_classifier

SETTINGS = RenderSettings(size=32, steps=6)


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_unit_s_image_does_not_depend_on_the_others(one_thread: None) -> None:
    classifier = tiny_classifier()
    first = {r.unit: r for r in rendered(classifier, "4a", [0, 1, 2, 3, 4, 5], SETTINGS)}
    for units in ([5], [4, 1], [3, 2, 1, 0, 5]):
        for found in rendered(classifier, "inception_4a", units, SETTINGS):
            np.testing.assert_array_equal(found.image, first[found.unit].image)
            assert found.activation == first[found.unit].activation


@pytest.mark.parametrize("parameterization", ["fourier", "pixels", "maco"])
@pytest.mark.parametrize("of", ["channel", "neuron"])
def test_steps_excite_and_the_opposite_silences(parameterization: str, of: str) -> None:
    classifier = tiny_classifier(variant="paper" if of == "neuron" else "bn")
    settings = {"size": 64, "steps": 24, "of": of, "parameterization": parameterization}
    excited, silenced = (
        next(rendered(classifier, "4a", [7], RenderSettings(sign=sign, **settings)))  # type: ignore[arg-type]
        for sign in (1, -1)
    )
    assert excited.activation > silenced.activation + 0.1 * abs(silenced.activation)


def test_no_unit_starts_dead() -> None:
    """Every unit of a module, of a network as drawn: its ReLU is not in the way."""
    classifier = tiny_classifier(variant="paper", size=64)
    settings = RenderSettings(size=64, steps=1)
    units = list(range(20))
    before = [r.activation for r in rendered(classifier, "4b", units, settings)]
    after = [
        r.activation for r in rendered(classifier, "4b", units, RenderSettings(size=64, steps=8))
    ]
    assert all(b != a for b, a in zip(before, after, strict=True))


def test_a_dream_raises_what_the_layer_sees() -> None:
    classifier = tiny_classifier(size=64)
    image = np.asarray(noise(70, 64, seed=1))
    dreamed = dream(classifier, image, DreamSettings("4a", octaves=2, steps=4))
    assert dreamed.shape == image.shape

    def seen(pixels: np.ndarray) -> float:
        inputs = torch.tensor(pixels).permute(2, 0, 1)[None] / 255
        return float(
            evaluate(
                classifier.network,
                energy("inception_4a"),
                to_inputs(inputs, classifier.preprocessing),
            )
        )

    with torch.no_grad():
        assert seen(dreamed) > 1.05 * seen(image)
    again = dream(classifier, image, DreamSettings("4a", octaves=2, steps=4))
    np.testing.assert_array_equal(again, dreamed)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 15}, "size must be 16 or more, got 15"),
        ({"seed": 2**63}, "seed must be from 0 to 2"),
        ({"of": "unit"}, "of must be one of channel, neuron, got 'unit'"),
        ({"parameterization": "x"}, "must be one of fourier, pixels, maco, got 'x'"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RenderSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [32, 47])
@pytest.mark.parametrize("layer", ["classifier", "conv1", "3a.pool_proj", "aux_4a", "aux_4a.fc"])
def test_a_unit_of_any_layer(layer: str, size: int) -> None:
    classifier = tiny_classifier(variant="paper", heads=True)
    first, last = (
        next(rendered(classifier, layer, [1], RenderSettings(size, steps))) for steps in (1, 8)
    )
    assert last.image.shape == (size, size, 3)
    assert last.activation > first.activation


def test_a_network_of_one_size() -> None:
    network = build_network("lenet5", 3, size=32, in_channels=1, width=0.2)
    classes = [Class(str(i), str(i)) for i in range(3)]
    p = Preprocessing(32, 32, channel_order="L", mean=(117.0,), scale=(0.02,))
    classifier = Classifier.from_network(network, classes, p)
    assert next(rendered(classifier, "classifier", [2], RenderSettings(32, 1))).unit == 2
    assert next(rendered(classifier, "conv1", [0], RenderSettings(48, 1))).image.shape == (48, 48)
    with pytest.raises(UsageError, match=r"size 48×48 does not fit classifier .* model's own, 32"):
        next(rendered(classifier, "classifier", [2], RenderSettings(48, 1)))


def test_an_image_too_small_to_dream() -> None:
    with pytest.raises(UsageError, match="image must be 16 pixels or more a side, got 40×10"):
        dream(tiny_classifier(), np.zeros((10, 40, 3), np.uint8), DreamSettings("4a"))


def test_the_network_is_as_before() -> None:
    network = (classifier := tiny_classifier()).network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UsageError):
        next(rendered(classifier, "4a", [999], SETTINGS))
    next(rendered(classifier, "4a", [0], SETTINGS))
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    for name, value in network.state_dict().items():
        assert value.equal(before[name])


def gallery_bytes(folder: Path, processes: int = 1, stop_after: int = 99) -> dict[str, bytes]:
    classifier: Classifier = tiny_classifier()
    gallery = open_gallery(classifier, "inception_4a", SETTINGS, folder)
    made: list[int] = []
    for count in make(gallery, range(10), processes, lambda: len(made) >= stop_after):
        made.append(count)
    if stop_after < 99:
        assert sum(gallery.activation(unit) is None for unit in range(10)) == 6
    else:
        sheet(gallery, range(10))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_interrupted_and_resumed_gives_the_same_bytes(tmp_path: Path) -> None:
    whole = gallery_bytes(tmp_path / "whole")
    assert len(whole) == 11
    gallery_bytes(tmp_path / "parts", stop_after=1)
    assert gallery_bytes(tmp_path / "parts") == whole


@pytest.mark.slow
def test_several_processes_give_the_same_bytes(tmp_path: Path) -> None:
    assert gallery_bytes(tmp_path / "two", 2) == gallery_bytes(tmp_path / "one")


def test_files_of_other_settings_are_made_anew(tmp_path: Path) -> None:
    gallery_bytes(tmp_path)
    other = open_gallery(
        tiny_classifier(), "inception_4a", RenderSettings(size=32, steps=2), tmp_path
    )
    assert other.activation(0) is None
    assert sum(make(other, [0, 1], 1, lambda: False)) == 2
    assert other.activation(0) is not None
