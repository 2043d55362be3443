"""The calibration that a model file keeps: applied everywhere, and refused where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy.special import logsumexp

from googlenet import Classifier
from googlenet.data.dataset import Samples
from googlenet.evaluation.accuracy import score
from googlenet.inference.calibration import (
    ENERGY,
    ENERGY_AND_ANGLES,
    Calibration,
    OODDetector,
    residual_angle,
)
from googlenet.inference.outputs import Outputs, softmax
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.errors import ModelFileError
from tests.evaluation.test_accuracy import photos
from tests.fixtures import noise, pixels, set_header, tiny_classifier
from tests.inference.test_classifier import rewrite


def ood_tensors(*widths: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Three orthonormal directions in each part, and a slope."""
    generator = torch.Generator().manual_seed(seed)
    bases = [torch.linalg.qr(torch.randn(width, 3, generator=generator))[0] for width in widths]
    found = {f"directions.{i}": basis.contiguous().numpy() for i, basis in enumerate(bases)}
    return found | {"slopes": np.arange(2, 2 + len(widths), dtype=np.float32)}


def calibrated(**unknown: Any) -> Classifier:
    classifier = tiny_classifier()
    assert isinstance(classifier.network, GoogLeNet)
    values: dict[str, Any] = {
        "score": ENERGY_AND_ANGLES, "threshold": 0.5, "target_fpr": 5.0,
        "tensors": ood_tensors(*classifier.network.ood_widths),
    }  # fmt: skip
    set_header(
        classifier,
        calibration=Calibration(1.7, OODDetector(**(values | unknown)), {"images": 9}),
    )
    return classifier


def test_probabilities_are_the_softmax_of_divided_logits() -> None:
    classifier = calibrated()
    crops = np.stack([pixels(noise(32, 32, seed)) for seed in range(6)])
    logits = classifier.outputs(crops).logits.astype(np.float64)
    expected = np.exp(logits / 1.7 - logsumexp(logits / 1.7, axis=1, keepdims=True))
    np.testing.assert_allclose(classifier.probabilities(crops), expected, atol=1e-6)
    plain = tiny_classifier().probabilities(crops)
    np.testing.assert_array_equal(plain, softmax(classifier.outputs(crops).logits))
    found = classifier.probabilities(crops)
    np.testing.assert_array_equal(plain.argsort(1), found.argsort(1))


def test_outputs_are_the_network_s() -> None:
    """The summary has the means of what taps of the modules show."""
    classifier = tiny_classifier()
    crops = np.stack([pixels(noise(32, 32, seed)) for seed in range(3)])
    outputs = classifier.outputs(crops)
    with torch.inference_mode():
        normal = classifier.preprocessing.normalize(torch.from_numpy(crops))
        np.testing.assert_allclose(outputs.logits, classifier.network(normal), rtol=1e-4, atol=1e-4)
        assert isinstance(classifier.network, GoogLeNet)
        with classifier.network.tap("inception_4a", "inception_5a") as maps:
            classifier.network(normal)
    means = [maps[name].mean((2, 3)) for name in ("inception_4a", "inception_5a")]
    assert outputs.widths == tuple(each.shape[1] for each in means)
    assert outputs.ood_features is not None
    np.testing.assert_allclose(outputs.ood_features, torch.cat(means, 1), rtol=1e-4, atol=1e-4)


def test_temperature_of_mean_probabilities_keeps_every_order() -> None:
    """Over views the mean is tempered: of one view that is the ordinary temperature."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (40, 10, 7))
    for temperature in (0.3, 1.0, 4.0):
        calibration = Calibration(temperature)
        one = calibration.temperature_scaled(softmax(logits[:, 0]))
        np.testing.assert_allclose(one, softmax(logits[:, 0] / temperature))
        mean = np.mean([softmax(logits[:, view]) for view in range(10)], axis=0)
        scaled = calibration.temperature_scaled(mean)
        np.testing.assert_array_equal(scaled.argsort(1), mean.argsort(1))
        np.testing.assert_allclose(scaled.sum(1), np.ones(40))


def test_temperature_changes_no_answer_of_any_number_of_views() -> None:
    plain, warm, samples = tiny_classifier(), calibrated(), photos(4)
    for views in (1, 10):
        before, after = score(plain, samples, views), score(warm, samples, views)
        assert torch.equal(before.probabilities, after.probabilities)  # as they come
        tempered = after.temperature_scaled(warm.calibration)
        assert torch.equal(tempered.predicted(), before.predicted())
        assert not torch.allclose(tempered.probabilities, before.probabilities)
    crops = [warm.preprocessing.pixels(p) for p in map(as_image, samples.sources)]
    one = score(warm, samples, 1).temperature_scaled(warm.calibration).probabilities
    np.testing.assert_allclose(one, warm.probabilities(np.stack(crops)), atol=1e-5, rtol=1e-4)


def as_image(source: Any) -> Any:
    from googlenet.images.decode import decode
    from googlenet.images.views import center

    return next(center(decode(source), tiny_classifier().preprocessing))


def test_score_is_numpy_s() -> None:
    rng = np.random.default_rng(1)
    logits, parts = rng.normal(size=(20, 5)), [rng.normal(size=(20, width)) for width in (8, 6)]
    features = np.concatenate(parts, 1).astype(np.float32)
    outputs = Outputs(logits.astype(np.float32), features, (8, 6))
    held, sines = ood_tensors(8, 6), []
    for i, part in enumerate(parts):
        basis = held[f"directions.{i}"]
        outside = part @ (np.eye(part.shape[1]) - basis @ basis.T)
        sines.append(np.linalg.norm(outside, axis=1) / np.linalg.norm(part, axis=1))
        angles = residual_angle(part.astype(np.float32), held[f"directions.{i}"])
        np.testing.assert_allclose(angles, sines[i], rtol=1e-4)
    known = logsumexp(logits, axis=1)
    found = OODDetector(ENERGY_AND_ANGLES, 0.0, 5.0, held).id_scores(outputs)
    np.testing.assert_allclose(found, known - 2 * sines[0] - 3 * sines[1], rtol=1e-4)
    alone = OODDetector(ENERGY, 0.0, 5.0).id_scores(outputs)
    np.testing.assert_allclose(alone, known, rtol=1e-5)
    assert residual_angle(np.zeros((1, 8), np.float32), held["directions.0"]).tolist() == [1]


def test_round_trip(tmp_path: Path) -> None:
    classifier, path = calibrated(), tmp_path / "m.safetensors"
    classifier.save(path)
    loaded = Classifier.load(path)
    assert loaded.header.to_json() == classifier.header.to_json()
    assert loaded.header.to_json()["calibration"] == {
        "temperature": 1.7, "images": 9,
        "unknown": {"score": ENERGY_AND_ANGLES, "threshold": 0.5, "false_alarms": 5.0},
    }  # fmt: skip
    sources = [noise(40, 40, seed) for seed in range(3)]
    for ours, theirs in zip(loaded.predict(sources), classifier.predict(sources), strict=True):
        assert ours.label == theirs.label
        assert (ours.score, ours.probability) == pytest.approx(
            (theirs.score, theirs.probability), abs=1e-4
        )
    again = tmp_path / "again.safetensors"
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("named", [True, False])
def test_image_below_the_threshold_is_unknown(named: bool) -> None:
    classifier = calibrated(threshold=1e9 if named else -1e9)
    (found,) = classifier.predict([noise(40, 40)])
    (plain,) = tiny_classifier().predict([noise(40, 40)])
    assert found.unknown is named
    assert found.score is not None
    assert (found.label, len(found.top)) == (plain.label, 3)  # what it is most like all the same
    assert (plain.unknown, plain.score) == (None, None)
    bad = next(iter(classifier.predict([b"no photo"])))
    assert (bad.unknown, bad.score) == (None, None)


def test_score_of_views_is_their_mean() -> None:
    classifier = calibrated()
    sample = Samples(photos(1).sources, (0,))
    found = score(classifier, sample, 10)
    from googlenet.images.decode import decode
    from googlenet.images.views import VIEWS

    p = classifier.preprocessing
    crops = np.stack([p.pixels(v) for v in VIEWS[10](decode(sample.sources[0]), p)])
    ood = classifier.calibration and classifier.calibration.ood
    assert ood
    assert found.known is not None
    expected = ood.id_scores(classifier.outputs(crops)).mean()
    assert float(found.known[0]) == pytest.approx(float(expected), rel=1e-4)


def test_network_without_a_last_layer_is_scored_by_its_logits(tmp_path: Path) -> None:
    classifier = tiny_classifier(variant="nin", size=64)
    set_header(classifier, calibration=Calibration(1.0, OODDetector(ENERGY, 0.5, 5.0)))
    classifier.save(tmp_path / "m.safetensors")
    (found,) = Classifier.load(tmp_path / "m.safetensors").predict([noise(80, 80)])
    assert found.score is not None


UNKNOWN = {"score": ENERGY_AND_ANGLES, "threshold": 0.5, "false_alarms": 5.0}


@pytest.mark.parametrize(
    ("value", "changed"),
    [
        ({"temperature": 0}, {}), ({"temperature": -1}, {}), ({"temperature": "warm"}, {}),
        ({"temperature": float("nan")}, {}), ({"temperature": None}, {}), ({}, {}), (5, {}),
        ("x", {}),
        ({"temperature": 1, "unknown": 3}, {}),
        ({"temperature": 1, "unknown": {}}, {}),
        ({"temperature": 1, "unknown": UNKNOWN | {"score": "mine"}}, {}),
        ({"temperature": 1, "unknown": UNKNOWN | {"score": ["energy"]}}, {}),
        ({"temperature": 1, "unknown": UNKNOWN | {"threshold": "low"}}, {}),
        ({"temperature": 1, "unknown": UNKNOWN | {"threshold": 1e999}}, {}),
        ({"temperature": 1, "unknown": UNKNOWN | {"score": ENERGY}}, {}),
        ({"temperature": 1, "unknown": UNKNOWN}, {"unknown.directions.0": torch.zeros(3, 3)}),
        ({"temperature": 1, "unknown": UNKNOWN}, {"unknown.slopes": torch.zeros(3)}),
        ({"temperature": 1, "unknown": UNKNOWN}, {"unknown.slopes": torch.zeros(2).bool()}),
        ({"temperature": 1, "unknown": UNKNOWN}, {"unknown.directions.1": torch.zeros(0)}),
        ({"temperature": 1, "unknown": UNKNOWN}, {"unknown.more": torch.zeros(1)}),
    ],
)  # fmt: skip
def test_calibration_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, value: Any, changed: dict[str, torch.Tensor]
) -> None:
    path = tmp_path / "m.safetensors"
    calibrated().save(path)
    rewrite(path, load_file(path) | changed, calibration=value)
    with pytest.raises(ModelFileError, match=r"m.safetensors: its header cannot be used") as caught:
        Classifier.load(path)
    assert "\n" not in str(caught.value)
