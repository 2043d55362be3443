"""Explanations of a classifier: every method, whatever state its network is in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from googlenet import Classifier
from googlenet.data.labels import Class
from googlenet.images.preprocess import Preprocessing
from googlenet.insight import attribution, explain
from googlenet.insight.explain import METHODS, Explainer, Question
from googlenet.insight.image_map import Map
from googlenet.kernels.optimize import optimize
from googlenet.models.registry import build_network
from googlenet.models.table import VARIANTS
from googlenet.runtime.errors import UsageError
from tests.fixtures import encoded, noise, set_header, slow, tiny_classifier

FUNCTIONS = {
    "cam": explain.class_activation_map,
    "gradcam": explain.grad_cam,
    "ig": explain.integrated_gradients,
    "smoothgrad": explain.smooth_grad,
    "guided": explain.guided_backprop,
    "occlusion": explain.occlusion,
}
IMAGE = noise(50, 40)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that were never trained need more steps than they are worth here."""
    monkeypatch.setattr(attribution, "MAX_STEPS", 50)


def classifier_of(variant: str, size: int, channels: int = 3, width: float = 0.05) -> Classifier:
    network = build_network(
        variant, 3, size=size, in_channels=channels, width=width,
        generator=torch.Generator().manual_seed(1),
    ).eval()  # fmt: skip
    gray = {"channel_order": "L", "mean": (117.0,), "scale": (1 / 57.5,)} if channels == 1 else {}
    return Classifier.from_network(
        network,
        [Class(name, name) for name in "abc"],
        Preprocessing(size=size, resize_size=size, **gray),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_the_image_s_own_pixels(method: str) -> None:
    classifier = tiny_classifier()
    found = FUNCTIONS[method](classifier, IMAGE, "name0")
    assert found.shape == (40, 50)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.abs(found).max() > 0
    np.testing.assert_array_equal(found, FUNCTIONS[method](classifier, encoded(IMAGE), 0))


@pytest.mark.parametrize(
    "method", ["cam", "gradcam", "ig", "guided", slow("smoothgrad"), slow("occlusion")]
)
def test_the_network_s_state_changes_nothing_and_is_as_before(method: str) -> None:
    def found() -> Map:
        return FUNCTIONS[method](classifier, IMAGE, 1, 2)

    classifier = tiny_classifier()
    expected, network = found(), classifier.network
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    network.train()
    network.conv1.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.inference_mode():
        np.testing.assert_array_equal(found(), expected)
    assert all(module.training for module in network.modules())
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, torch.ones_like(parameter))
    frozen = {name for name, each in network.named_parameters() if not each.requires_grad}
    assert frozen == {name for name in before if name.startswith("conv1.") and "running" not in name
                      and "num_batches" not in name}  # fmt: skip
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not any(m._forward_hooks or m._backward_hooks for m in network.modules())
    optimize(network)
    np.testing.assert_array_equal(found(), expected)


def test_weights_that_were_loaded_in_inference_mode() -> None:
    with torch.inference_mode():
        classifier = tiny_classifier()
    expected = explain.grad_cam(tiny_classifier(), IMAGE, 1)
    np.testing.assert_allclose(explain.grad_cam(classifier, IMAGE, 1), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("variant", "size", "channels"),
    [
        *(slow(name, 64, 3) for name in VARIANTS if name != "paper"),
        ("paper", 64, 3),
        ("bn", 64, 1),
        ("lenet5", 32, 1),
        slow("nin", 96, 3),
    ],
)
def test_every_network(variant: str, size: int, channels: int) -> None:
    explainer = Explainer(classifier_of(variant, size, channels, 0.1))
    pixels = explainer.load(IMAGE).pixels
    for method in METHODS:
        if explainer.why_not(method):
            assert (variant, method) == ("lenet5", "cam")
            continue
        found = explainer.map(pixels, method, Question(1))
        assert np.isfinite(found).all(), method


def test_auxiliary_heads() -> None:
    classifier = tiny_classifier(variant="paper", size=64, heads=True)
    explainer = Explainer(classifier, "4a")
    assert explainer.last_map == "inception_4a"
    found = explain.grad_cam(classifier, IMAGE, 0, head="4a")
    assert not np.array_equal(found, explain.grad_cam(classifier, IMAGE, 0))
    with pytest.raises(UsageError, match="average pool"):
        explainer.map(explainer.load(IMAGE).pixels, "cam", Question(0))
    with pytest.raises(UsageError, match=r"head must be one of main, 4a, 4d, got '9'"):
        Explainer(classifier, "9")


def test_the_predicted_class_is_explained() -> None:
    classifier = tiny_classifier()
    (prediction,) = classifier.predict([IMAGE])
    expected = explain.grad_cam(classifier, IMAGE, prediction.label)
    np.testing.assert_array_equal(explain.grad_cam(classifier, IMAGE), expected)


def test_what_the_model_does_not_have() -> None:
    classifier = tiny_classifier()
    with pytest.raises(UsageError, match=r"class must be .*name1.*got 'nam1'"):
        explain.grad_cam(classifier, IMAGE, "nam1")
    with pytest.raises(UsageError, match=r"class must be an index from 0 to 2, got 3"):
        explain.grad_cam(classifier, IMAGE, 3)
    with pytest.raises(UsageError, match=r"layer must be .*inception_4e.*got 'inceptoin_4e'"):
        explain.grad_cam(classifier, IMAGE, 1, layer="inceptoin_4e")


def test_hooks_are_gone_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    explainer = Explainer(tiny_classifier())

    def fail(*_: object, **_options: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(torch.autograd, "grad", fail)
    for method in ("gradcam", "guided"):
        with pytest.raises(RuntimeError, match="no"):
            explainer.map(explainer.load(IMAGE).pixels, method, Question(0))
        modules: list[nn.Module] = list(explainer.network.modules())
        assert not any(module._forward_hooks for module in modules)


def test_an_exported_file_has_no_gradients() -> None:
    classifier = tiny_classifier()
    set_header(classifier, export={"format": "torch"})
    with pytest.raises(UsageError, match=r"model file, got an exported one, .*no gradients"):
        Explainer(classifier)
