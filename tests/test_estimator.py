"""The estimator is one for scikit-learn's own tools, over arrays and over paths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from googlenet import Classifier
from googlenet.data.labels import DataError
from googlenet.estimator import GoogLeNetClassifier
from googlenet.runtime.errors import UsageError
from tests.fixtures import photo_folder, tinted, tiny_classifier

COLORS = ("blue", "red")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_classifier().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Ten images of two colors each, (20, 40, 48, 3)."""
    images = [np.asarray(tinted(color, n)) for n in range(10) for color in COLORS]
    return np.stack(images), np.array(COLORS * 10)


def test_arrays(weights: Path, arrays: tuple[Any, Any], tmp_path: Path) -> None:
    x, y = arrays
    model = GoogLeNetClassifier(weights, head_only=True).fit(x, y)
    assert model.classes_.tolist() == list(COLORS)
    assert model.score(x, y) >= 0.9
    p = model.predict_proba(x)
    assert p.shape == (20, 2)
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
    assert (model.predict(x) == np.array(COLORS)[p.argmax(1)]).all()
    model.classifier_.save(tmp_path / "model.safetensors")
    again = Classifier.load(tmp_path / "model.safetensors").predict(list(x))
    assert [each.label for each in again] == model.predict(x).tolist()


def test_paths_and_classes_that_are_numbers(weights: Path, tmp_path: Path) -> None:
    root = photo_folder(tmp_path, {"red": 6, "blue": 6})
    paths = sorted(str(path) for path in root.rglob("*.png"))
    y = [7 if "red" in Path(path).parts else 3 for path in paths]
    model = GoogLeNetClassifier(str(weights), head_only=True).fit(paths, y)
    assert model.classes_.tolist() == [3, 7]
    assert set(model.predict([Path(path) for path in paths])) <= {3, 7}
    with pytest.raises(DataError, match="image 1: "):
        model.predict([paths[0], tmp_path / "none.png"])


def test_clone_and_cross_validation(weights: Path, arrays: tuple[Any, Any]) -> None:
    model = GoogLeNetClassifier(weights, head_only=True, random_state=5)
    copy = clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()
    assert is_classifier(model)
    scores = cross_val_score(model, *arrays, cv=2, error_score="raise")
    assert (scores >= 0.7).all()


def test_training_from_scratch_is_repeatable(arrays: tuple[Any, Any]) -> None:
    settings: dict[str, Any] = {"size": 32, "width": 0.05, "epochs": 1, "batch": 8}
    first, second = (GoogLeNetClassifier(**settings).fit(*arrays) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(arrays[0]), second.predict_proba(arrays[0]))
    assert first.classifier_.header.width == 0.05
    assert first.classifier_.preprocessing.size == 32


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ("photo.jpg", "X must be a sequence of images, got one str"),
        (np.zeros((4, 64)), r"image 0 is ndarray of float64, \(64,\)"),
        (np.zeros((4, 9, 9, 3)), r"image 0 is ndarray of float64, \(9, 9, 3\)"),
        ([np.zeros((9, 9), np.uint8), 3, "x", "y"], "image 1 is int"),
    ],
)
def test_images_that_are_none(x: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        GoogLeNetClassifier().fit(x, [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1], "y must be a class for each of 4 images"),
        ([[0, 1]] * 4, "y must be a class for each of 4 images"),
        ([1, 1, 1, 1], "must have two classes or more, has 1"),
    ],
)
def test_classes_that_are_none(y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        GoogLeNetClassifier().fit(np.zeros((4, 9, 9, 3), np.uint8), y)


def test_a_regression_is_none() -> None:
    with pytest.raises(ValueError, match="continuous"):
        GoogLeNetClassifier().fit(np.zeros((4, 9, 9, 3), np.uint8), [0.1, 0.2, 0.3, 0.4])


def test_parameters_that_cannot_be(weights: Path, arrays: tuple[Any, Any]) -> None:
    with pytest.raises(UsageError, match="head_only needs weights"):
        GoogLeNetClassifier(head_only=True).fit(*arrays)
    with pytest.raises(UsageError, match="variant must be that of weights, bn, got paper"):
        GoogLeNetClassifier(weights, variant="paper").fit(*arrays)
    with pytest.raises(NotFittedError):
        GoogLeNetClassifier().predict(arrays[0])


def test_without_scikit_learn() -> None:
    program = "import sys; sys.modules['sklearn'] = None\nimport googlenet.estimator"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "needs scikit-learn: pip install 'googlenet[sklearn]'" in done.stderr
