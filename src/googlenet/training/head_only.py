"""Train the classifier alone: features are computed once, then a linear model is fitted to them.

For few images this takes seconds where fine-tuning takes minutes.  The linear model is a
multinomial logistic regression (multilabel: one logistic regression per class) with an L2
penalty, whose strength is chosen by cross-validation on the training images.  Deterministic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from googlenet.evaluation.accuracy import crop_batches, image_crops
from googlenet.images.preprocess import Preprocessing
from googlenet.inference.backends.torch import TorchBackend
from googlenet.inference.classifier import Classifier
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.errors import GoogLeNetError
from googlenet.training.epochs import (
    classifier_of,
    end_epoch,
    report_unreadable,
    stop_check,
    stoppable,
)
from googlenet.training.setup import Run

FOLDS = 5
CV_IMAGES = 5000  # most images from which the penalty is chosen
PENALTIES = tuple(float(10**power) for power in np.arange(0, -7.5, -0.5))  # the strongest first
ITERATIONS = 300  # at most, of L-BFGS


@dataclass(frozen=True)
class Linear:
    """Logits x @ weight.T + bias: weight (classes, F), bias (classes,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def train_head(run: Run, began: float) -> None:
    """The run's only epoch: fit the classifier, evaluate it, and save models and checkpoint."""
    trainer, watch = run.trainer, stop_check(run)
    with stoppable(run, began):
        network = trainer.averaged_model(watch)
        classifier = classifier_of(run, network, ComputeDevice(run.machine.device, "fp32"))
        started = perf_counter()
        features, indices = compute_features(run, classifier, watch)
        seconds = perf_counter() - started
        targets = torch.from_numpy(run.data.train.labels_of(indices))
        with run.console.bar(len(PENALTIES), "fit") as bar:
            penalty = choose_penalty(
                features, targets, len(run.data.classes), run.settings.seed, bar.update, watch
            )
        found = fit(features, targets, len(run.data.classes), penalty)
    head = trainer.network.classifier
    assert isinstance(head, torch.nn.Linear)
    with torch.no_grad():
        head.weight.copy_(found.weight)
        head.bias.copy_(found.bias)
    trainer.average.update(trainer.network, trainer.steps)
    trainer.step = trainer.steps
    run.console.say(f"classifier fitted to {len(indices):,} images, L2 penalty {penalty:.2g}")
    logits, labels = found(features), targets.to(run.machine.device)
    right = trainer.objective.correct(logits.to(run.machine.device), labels)
    end_epoch(
        run,
        began,
        {
            "epoch": trainer.epoch,
            "learning_rate": 0.0,
            "loss_main": float(loss(logits, targets)),
            "train_accuracy": 100 * float(right) / len(indices),
            "images_per_second": len(indices) / seconds,
            "data_wait": 0.0,
            "l2_penalty": penalty,
        },
    )


def compute_features(
    run: Run, classifier: Classifier, watch: Callable[[], object]
) -> tuple[Tensor, list[int]]:
    """What the classifier sees of each readable training image's center view.

    Returns (N, F) float32 and the images' indices.  Raises GoogLeNetError for fewer than two.
    """
    samples, bad = run.data.train, dict[int, str]()
    parts: list[Tensor] = []
    indices: list[int] = []
    with run.console.bar(len(samples), "features") as bar:
        views = image_crops(classifier, samples, range(len(samples)), 1, run.settings.workers)
        for owners, pixels in crop_batches(views, bar.update, bad):
            parts.append(pooled(classifier.backend, pixels, classifier.preprocessing))
            indices += owners
            watch()
    named = {samples.name(i): why for i, why in bad.items()}
    run.trainer.unreadable |= named
    report_unreadable(run, named)
    if len(indices) < 2:
        raise GoogLeNetError(f"--head-only needs 2 readable training images, got {len(indices)}")
    return torch.cat(parts), indices


@torch.no_grad()
def pooled(
    backend: object, pixels: list[NDArray[np.uint8]], preprocessing: Preprocessing
) -> Tensor:
    """Views (size, size, channels) uint8 -> (N, F) float32 on the CPU, by the fast network."""
    assert isinstance(backend, TorchBackend)
    images = torch.from_numpy(np.asarray(pixels)).to(backend.device.device)
    fast = backend.optimized()
    network = getattr(fast, "network", fast)
    assert isinstance(network, GoogLeNet)
    maps, _ = network.features_and_summary(preprocessing.normalize(images))
    return network.pool(maps).float().cpu()


def choose_penalty(
    features: Tensor,
    targets: Tensor,
    classes: int,
    seed: int,
    progress: Callable[[], object] = lambda: None,
    watch: Callable[[], object] = lambda: None,
) -> float:
    """The L2 penalty with the lowest loss on held-out folds; the strongest one of several.

    features: (N, F); targets: (N,) classes or (N, classes) bool.  Of very many images a random
    sample decides.
    """
    chosen = np.random.default_rng((seed, len(features))).permutation(len(features))[:CV_IMAGES]
    x, y = features[chosen], targets[chosen]
    folds = fold_numbers(y, min(FOLDS, len(y)))
    starts: list[Linear | None] = [None] * (int(folds.max()) + 1)
    losses = []
    for penalty in PENALTIES:
        total = 0.0
        for fold, start in enumerate(starts):
            out = folds == fold
            starts[fold] = found = fit(x[~out], y[~out], classes, penalty, start)
            total += float(loss(found(x[out]), y[out])) * int(out.sum())
            watch()
        losses.append(total)
        progress()
    return PENALTIES[int(np.argmin(losses))]


def fold_numbers(targets: Tensor, folds: int) -> Tensor:
    """The fold of each of N images in random order: the images of a class are spread over all."""
    order = torch.arange(len(targets)) if targets.ndim == 2 else targets.argsort(stable=True)
    numbers = torch.empty(len(targets), dtype=torch.int64)
    numbers[order] = torch.arange(len(targets)) % folds
    return numbers


def fit(
    features: Tensor, targets: Tensor, classes: int, penalty: float, start: Linear | None = None
) -> Linear:
    """The linear model that minimizes the mean loss + penalty/2 · ‖weight‖².

    The penalty counts for features that are centered and scaled to a mean square norm of 1, so
    that it means the same for every network; the bias is free.  The problem is convex, and
    L-BFGS solves it from `start`, a solution for another penalty, or from 0.
    """
    mean = features.mean(0)
    x = features - mean
    scale = float(x.square().sum(1).mean().sqrt().clamp_min(1e-12))
    x = x / scale
    weight = torch.zeros(classes, features.shape[1]) if start is None else start.weight * scale
    bias = torch.zeros(classes) if start is None else start.bias + start.weight @ mean
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, tolerance_grad=1e-6, tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        solver.zero_grad()
        value = loss(F.linear(x, weight, bias), targets) + penalty / 2 * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    solver.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        weight = weight / scale
        return Linear(weight, bias - weight @ mean)


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean loss per image: cross-entropy, or of multilabel data the sum over classes."""
    if targets.ndim == 1:
        return F.cross_entropy(logits, targets)
    flags = targets.to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, flags, reduction="sum") / len(logits)
