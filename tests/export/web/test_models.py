"""Pages of every kind of model: multilabel, grayscale, without calibration or maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from googlenet import Classifier
from googlenet.export.parity_images import generated_images
from googlenet.export.web.site import export_web
from googlenet.images.preprocess import LUMA_MEAN, LUMA_SCALE, Preprocessing
from googlenet.inference.calibration import Calibration, OODDetector
from googlenet.models.registry import build_network
from tests.export.web.test_site import OPTIONS, asked
from tests.fixtures import encoded, noise, set_header, tiny_classifier

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["multilabel", "gray", "letterbox", "alexnet", "uncalibrated"])
def test_other_kinds_of_models(
    kind: str, browser: Browser, tmp_path: Path, runtime: dict[str, bytes]
) -> None:
    model = model_of(kind)
    out = tmp_path / "page.html"
    report = export_web(model, OPTIONS, runtime, out, generated_images(2))
    assert report["passed"], report["failure"]
    content = encoded(noise(120, 90, 3))
    found = asked(browser, out, content)
    (expected,) = model.predict([content])
    assert found["top"][0]["label"] == expected.label
    assert found["top"][0]["probability"] == pytest.approx(expected.probability, abs=1e-5)
    assert found["unknown"] == expected.unknown
    assert (found["maps"] is None) == (kind == "alexnet")
    labels = None if found["labels"] is None else [one["label"] for one in found["labels"]]
    assert labels == (None if expected.labels is None else [name for name, _ in expected.labels])


def model_of(kind: str) -> Classifier:
    if kind == "alexnet":
        return tiny_classifier(7, variant="alexnet", size=64)
    model = tiny_classifier(7, size=64)
    if kind == "multilabel":
        set_header(model, multilabel=True, threshold=0.3)
    if kind == "letterbox":
        p = replace(model.preprocessing, mode="letterbox", interpolation="bicubic")
        set_header(model, preprocessing=p)
    if kind == "gray":
        p = Preprocessing(64, 72, channel_order="L", mean=LUMA_MEAN, scale=LUMA_SCALE)
        network = build_network("bn", 7, size=64, width=0.05, in_channels=1).eval()
        return Classifier.from_network(network, model.classes, p)
    return model


def test_a_score_of_energy_alone(
    browser: Browser, tmp_path: Path, runtime: dict[str, bytes]
) -> None:
    model = tiny_classifier(size=64)
    set_header(model, calibration=Calibration(1.5, OODDetector("energy", 100.0, 5.0, {})))
    out = tmp_path / "page.html"
    assert export_web(model, OPTIONS, runtime, out, generated_images(2))["passed"]
    assert asked(browser, out, encoded(noise(90, 70, 1)))["unknown"] is True
