"""The paper's network, LRN included, leaves PyTorch as ordinary operators: ONNX Runtime runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from programs import Program, run
from tests.fixtures import tiny_classifier
from topology import photos

from googlenet.export.export import ExportOptions, export
from googlenet.export.parity_images import parity_images
from googlenet.images.view import to_nchw


@pytest.mark.slow
def test_the_exported_network_is_ordinary_onnx_and_computes_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "photos.npy", photos(2, 64))
    run(Program("onnx", "onnx_export.py", here=True), tmp_path)
    with np.load(tmp_path / "outputs.npz") as outputs:
        domains = {name.split("::")[0] for name in outputs["operators"]}
        ours, theirs = outputs["ours"], outputs["theirs"]
    assert domains == {""}
    assert ours.std() > 0.01
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["paper", "bn"])
def test_opencv_runs_a_file_of_one_shape(tmp_path: Path, variant: str) -> None:
    classifier = tiny_classifier(variant=variant, size=64)
    options = ExportOptions("onnx", fixed=True)
    images = parity_images(classifier, None, False, 3)
    assert export(classifier, options, tmp_path / "model.onnx", images)["passed"]
    crops = np.asarray(photos(3, 64), np.uint8)
    np.save(tmp_path / "inputs.npy", to_nchw(crops, classifier.preprocessing))
    run(Program("opencv", "onnx_opencv.py"), tmp_path)
    expected = classifier.probabilities([*crops])
    np.testing.assert_allclose(np.load(tmp_path / "probabilities.npy"), expected, atol=1e-5)
