"""PyTorch's backend: the fast form where it may be used, the plain network everywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from googlenet import Classifier
from googlenet.cli import main
from googlenet.inference.backends.torch import TorchBackend
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.device import ComputeDevice
from tests.fixtures import noise, tiny_classifier


def backend_of(classifier: Classifier) -> TorchBackend:
    assert isinstance(classifier.backend, TorchBackend)
    return classifier.backend


@pytest.mark.parametrize("variant", ["bn", "paper", "slim", "google2014"])
def test_fast_form_agrees_with_the_network(variant: str) -> None:
    """Logits and out-of-distribution features, in fp32: rounding differences only."""
    classifier = tiny_classifier(variant=variant, size=64, heads=variant == "bn")
    network = classifier.network
    assert isinstance(network, GoogLeNet)
    x = np.random.default_rng(0).normal(size=(3, 3, 64, 64)).astype(np.float32)
    found = classifier.backend.run(x)
    assert backend_of(classifier).fast is not None
    with torch.inference_mode():
        features, means = network.features_and_summary(torch.from_numpy(x))
        logits = network.classify(features)
    np.testing.assert_allclose(found.logits, logits, rtol=1e-4, atol=1e-4)
    assert found.ood_features is not None
    np.testing.assert_allclose(found.ood_features, means, rtol=1e-4, atol=1e-4)
    assert classifier.network is network


def test_changed_weights_are_seen() -> None:
    classifier, crop = tiny_classifier(), np.array(noise(32, 32))[None]
    before = classifier.outputs(crop).logits
    fast = backend_of(classifier).fast
    np.testing.assert_array_equal(classifier.outputs(crop).logits, before)
    assert backend_of(classifier).fast is fast  # made once
    with torch.no_grad():
        classifier.network.get_parameter("classifier.bias").add_(1)
    np.testing.assert_allclose(classifier.outputs(crop).logits, before + 1, rtol=1e-4, atol=1e-4)
    assert backend_of(classifier).fast is not fast


def test_a_tapped_network_runs_itself() -> None:
    classifier, crop = tiny_classifier(), np.array(noise(32, 32))[None]
    with classifier.network.tap("inception_4a.5x5") as activations:
        tapped = classifier.outputs(crop).logits
    assert set(activations) == {"inception_4a.5x5"}
    assert backend_of(classifier).fast is None
    np.testing.assert_allclose(classifier.outputs(crop).logits, tapped, rtol=1e-4, atol=1e-4)


def test_bf16_is_close() -> None:
    classifier, crop = tiny_classifier(), np.array(noise(32, 32))[None]
    rough = classifier.to(ComputeDevice("cpu", "bf16"))
    assert rough.backend.precision == "bf16"
    difference = np.abs(rough.probabilities(crop) - classifier.probabilities(crop)).max()
    assert 0 < difference < 0.05


def test_a_model_file_is_opened_once_for_a_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "m.safetensors"
    tiny_classifier().save(model)
    noise(40, 40).save(tmp_path / "a.png")
    opened: list[Path] = []
    original: Any = Path.open

    def counted(self: Path, *arguments: Any, **options: Any) -> Any:
        opened.append(self)
        return original(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", counted)
    assert main(["predict", str(model), str(tmp_path / "a.png"), "--precision", "auto"]) == 0
    assert opened.count(model) == 1
