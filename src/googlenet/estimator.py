"""A classifier of images as scikit-learn has them: `fit`, `predict`, `predict_proba`, `score`.

from googlenet.estimator import GoogLeNetClassifier
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from googlenet.data.dataset import DataSet, Samples
from googlenet.data.labels import Class, DataError
from googlenet.data.split import random_split
from googlenet.images import turbo_jpeg
from googlenet.load import Classifier
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.console import Console
from googlenet.runtime.errors import UsageError
from googlenet.training.defaults import head_only_recipe, preprocessing_for, recipe_for
from googlenet.training.epochs import Interrupted
from googlenet.training.plan import Plan
from googlenet.training.recipes import recipe_named
from googlenet.training.run import train
from googlenet.training.run_folder import RunFolder
from googlenet.training.settings import Settings
from googlenet.training.setup import prepare

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "googlenet.estimator needs scikit-learn: pip install 'googlenet[sklearn]'"
    ) from error


class GoogLeNetClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Trains a network on images: paths, or uint8 arrays (H, W, 3) or (H, W), each of any size.

    The parameters are the options of `googlenet train`: weights: a model to fine-tune (a path, a
    folder, a repository, or a known name); head_only: fit its last layer alone, in seconds;
    variant, recipe, size, width, epochs, batch: None for their defaults; mirror: whether a
    mirror image has the same class; random_state: the seed.  A fifth of the images of `fit` is
    held out to calibrate the probabilities and measure the errors in the model's header.

    Fitted: `classes_`, sorted, and `classifier_`, a `googlenet.Classifier`, which can be saved.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        head_only: bool = False,
        variant: str | None = None,
        recipe: str = "modern",
        size: int | None = None,
        width: float | None = None,
        epochs: int | None = None,
        batch: int | None = None,
        mirror: bool = True,
        random_state: int = 0,
        workers: int = 2,
        verbose: bool = False,
    ) -> None:
        self.weights, self.head_only, self.variant = weights, head_only, variant
        self.recipe, self.size, self.width = recipe, size, width
        self.epochs, self.batch, self.mirror = epochs, batch, mirror
        self.random_state, self.workers, self.verbose = random_state, workers, verbose

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Train on images and their classes, one each.

        Raises UsageError for parameters, DataError for images and classes that cannot be used.
        """
        data = data_set(X, y, self.random_state)
        source = None if self.weights is None else Classifier.from_pretrained(self.weights)
        settings = self.settings(source)
        plan = Plan(scale_epochs=self.epochs is None and not self.head_only)
        console = Console(sys.stdout if self.verbose else StringIO())
        with TemporaryDirectory() as folder:
            run = prepare(
                settings, RunFolder(Path(folder) / "run"), console, False, plan, source, data
            )
            try:
                self.classifier_ = train(run).classifier
            except Interrupted as stop:
                raise KeyboardInterrupt from stop
        self.classes_ = np.unique(np.asarray(y))
        return self

    def settings(self, source: Classifier | None) -> Settings:
        """The settings of a run.  Raises UsageError."""
        if self.head_only and source is None:
            raise UsageError("head_only needs weights, the model that computes the features")
        if self.head_only and source and not isinstance(source.network, GoogLeNet):
            raise UsageError(f"head_only needs a GoogLeNet as weights, got {source.variant}")
        if source and self.variant not in (None, source.variant):
            raise UsageError(
                f"variant must be that of weights, {source.variant}, got {self.variant}"
            )
        recipe = recipe_for(recipe_named(self.recipe), source, self.variant, self.batch)
        if self.epochs is not None:
            recipe = recipe.with_settings({"epochs": self.epochs})
        width = source.header.width if source else 1.0
        return Settings(
            "arrays or paths",
            head_only_recipe(recipe) if self.head_only else recipe,
            preprocessing_for(
                recipe, source.preprocessing if source else None, self.size, mirror=self.mirror
            ),
            width=width if self.width is None else self.width,
            seed=self.random_state,
            weights=None if self.weights is None else str(self.weights),
            workers=self.workers,
            head_only=self.head_only,
            decoder="turbo" if turbo_jpeg.available() else "pillow",
        )

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803
        """The class of each image: (N,) of `classes_`."""
        best = self.predict_proba(X).argmax(1)
        found: NDArray[Any] = self.classes_[best]
        return found

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803
        """(N, classes) probabilities, calibrated.  Raises DataError for an unreadable image."""
        check_is_fitted(self)
        images = sources(X)
        found = np.zeros((len(images), len(self.classes_)))
        answers = self.classifier_.predict(images, len(self.classes_), workers=self.workers)
        for number, (row, answer) in enumerate(zip(found, answers, strict=True)):
            if answer.error is not None:
                raise DataError(f"image {number}: {answer.error}")
            row[list(answer.indices)] = [p for _, p in answer.top]
        return found


def data_set(X: Any, y: Any, seed: int) -> DataSet:  # noqa: N803
    """The images and classes, a fifth of each class held out.  Raises DataError."""
    images, labels = sources(X), np.asarray(y)
    if labels.ndim != 1 or len(labels) != len(images):
        raise DataError(f"y must be a class for each of {len(images)} images, got {labels.shape}")
    check_classification_targets(labels)
    names, indices = np.unique(labels, return_inverse=True)
    classes = tuple(Class(str(name), str(name)) for name in names)
    samples = Samples(tuple(images), tuple(int(index) for index in indices))
    data = random_split(DataSet("arrays or paths", classes, samples, Samples()), seed)
    if data.unusable():
        raise DataError(data.unusable())
    return data


def sources(X: Any) -> Sequence[Path | NDArray[np.uint8]]:  # noqa: N803
    """The images in X, a sequence or an array of them.  Raises UsageError for anything else."""
    if isinstance(X, str | bytes | Path):
        raise UsageError(f"X must be a sequence of images, got one {type(X).__name__}")
    found: list[Path | NDArray[np.uint8]] = []
    for number, image in enumerate(X):
        if isinstance(image, str | Path):
            found.append(Path(image))
        elif is_image(image):
            found.append(image)
        else:
            shape = f" of {image.dtype}, {image.shape}" if isinstance(image, np.ndarray) else ""
            raise UsageError(
                f"X must have paths or uint8 arrays (H, W, 3) or (H, W), "
                f"image {number} is {type(image).__name__}{shape}"
            )
    return found


def is_image(value: object) -> bool:
    """Whether a value is the pixels of an image."""
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8:
        return False
    return value.ndim == 2 or (value.ndim == 3 and value.shape[2] == 3)
