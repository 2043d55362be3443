"""Top-1 and top-5 error of models and ensembles with 1, 10 or 144 views per image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import gcd

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from googlenet import parallel
from googlenet.data.dataset import Samples
from googlenet.data.loader import prefetch
from googlenet.images.decode import ImageError
from googlenet.images.turbo_jpeg import load_image
from googlenet.images.views import VIEWS, view_count
from googlenet.inference.calibration import Calibration
from googlenet.inference.classifier import Classifier
from googlenet.inference.outputs import Outputs, concatenate
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.watchdog import beat

CROP_BATCH_SIZE = 64


@dataclass(frozen=True)
class Scores:
    """Predictions for images: probabilities (N, classes), labels (N,), sample indices (N,).

    Multi-label data have (N, classes) bool labels, the metrics of `evaluation.multilabel`, and no
    single prediction.  Probabilities are uncalibrated: `temperature_scaled` calibrates them.
    known: (N,), the in-distribution score, if the model has one.  outputs: logits and
    out-of-distribution features of one view per image, if requested.
    """

    probabilities: Tensor
    labels: Tensor
    indices: tuple[int, ...]
    unreadable: dict[str, str] = field(default_factory=dict)  # images, and why
    known: Tensor | None = None
    outputs: Outputs | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def multilabel(self) -> bool:
        return self.labels.ndim == 2

    def hits(self, k: int) -> Tensor:
        """Whether each image's class is among the k most probable: (N,) bool."""
        assert not self.multilabel
        best = self.probabilities.topk(min(k, self.probabilities.shape[1])).indices
        return (best == self.labels[:, None]).any(1)

    def error(self, k: int) -> float:
        """Top-k error in percent."""
        return 100 * (len(self) - int(self.hits(k).sum())) / len(self)

    def temperature_scaled(self, calibration: Calibration | None) -> Scores:
        """The scores with calibrated probabilities; the ranking of classes does not change."""
        if calibration is None:
            return self
        scaled = calibration.temperature_scaled(self.probabilities.numpy())
        return replace(self, probabilities=torch.from_numpy(scaled))

    def confidence(self) -> Tensor:
        """The probability of each image's prediction: (N,)."""
        return self.probabilities.amax(1)

    def predicted(self) -> Tensor:
        assert not self.multilabel
        return self.probabilities.argmax(1)

    def restricted(self, classes: Sequence[int]) -> Scores:
        """The scores with predictions restricted to these classes."""
        allowed = torch.zeros(self.probabilities.shape[1], dtype=torch.float64)
        allowed[list(classes)] = 1
        kept = self.probabilities * allowed
        return replace(self, probabilities=kept / kept.sum(1, keepdim=True).clamp_min(1e-300))


def score(
    classifier: Classifier,
    samples: Samples,
    views: int = 1,
    workers: int = 2,
    progress: Callable[[], object] = lambda: None,
    keep_outputs: bool = False,
) -> Scores:
    """Probabilities and in-distribution score of each image, averaged over its views.

    `keep_outputs` keeps the logits and features, from which a calibration is fitted.

    Views are computed a few images at a time, so memory does not grow with the views or the data.
    Unreadable images are skipped and listed in `unreadable`.  `progress` is called once per
    image.  Raises GoogLeNetError if no image can be read.

    Several processes each score a shard of the images, in the same batches as a single process,
    and all of them get all the scores.
    """
    assert not keep_outputs or views == 1
    check_views(views)
    crops = view_count(views, classifier.preprocessing)
    block = CROP_BATCH_SIZE // gcd(CROP_BATCH_SIZE, crops)  # images that fill whole batches
    own, processes = parallel.shard(range(len(samples)), block), parallel.world_size()

    def step() -> None:  # a process's bar shows the images of all
        for _ in range(processes):
            progress()

    part = parallel.on_all_ranks(
        lambda: score_partial(classifier, samples, own, views, workers, step, keep_outputs)
    )
    return merge(parallel.all_gather(part), samples)


@dataclass(frozen=True)
class Partial:
    """One process's scores, of the images `indices`."""

    indices: tuple[int, ...]
    probabilities: Tensor
    unreadable: dict[int, str]  # why, by index
    known: Tensor | None
    outputs: Outputs | None


def score_partial(
    classifier: Classifier,
    samples: Samples,
    chosen: Sequence[int],
    views: int,
    workers: int,
    progress: Callable[[], object],
    keep_outputs: bool,
) -> Partial:
    """The scores of the chosen images."""
    sums: dict[int, NDArray[np.float64]] = {}
    known: dict[int, float] = {}
    counts: dict[int, int] = {}
    bad: dict[int, str] = {}
    kept: list[Outputs] = []
    ood = classifier.calibration and classifier.calibration.ood

    def add(owners: list[int], crops: list[NDArray[np.uint8]]) -> None:
        outputs = classifier.outputs(crops)
        beat()
        rows = classifier.raw_probabilities(outputs.logits).astype(np.float64)
        for owner, row in zip(owners, rows, strict=True):
            sums[owner] = sums[owner] + row if owner in sums else row
            counts[owner] = counts.get(owner, 0) + 1
        if ood:
            for owner, value in zip(owners, ood.id_scores(outputs).tolist(), strict=True):
                known[owner] = known.get(owner, 0.0) + value
        if keep_outputs:
            kept.append(outputs)

    views_of = image_crops(classifier, samples, chosen, views, workers)
    for owners, crops in crop_batches(views_of, progress, bad):
        add(owners, crops)
    indices = tuple(sums)
    means = [sums[i] / counts[i] for i in indices]
    return Partial(
        indices,
        torch.from_numpy(np.stack(means)) if means else torch.empty(0),
        bad,
        torch.tensor([known[i] / counts[i] for i in indices]) if ood else None,
        concatenate(kept) if keep_outputs and kept else None,
    )


def crop_batches(
    views_of: Iterable[tuple[int, list[NDArray[np.uint8]] | str]],
    progress: Callable[[], object],
    unreadable: dict[int, str],
) -> Iterator[tuple[list[int], list[NDArray[np.uint8]]]]:
    """Batches of crops with their images' indices; unreadable images are added to `unreadable`."""
    owners: list[int] = []
    crops: list[NDArray[np.uint8]] = []
    for index, found in views_of:
        progress()
        if isinstance(found, str):
            unreadable[index] = found
            continue
        for crop in found:
            owners.append(index)
            crops.append(crop)
            if len(crops) == CROP_BATCH_SIZE:
                yield owners, crops
                owners, crops = [], []
    if crops:
        yield owners, crops


def merge(parts: Sequence[Partial], samples: Samples) -> Scores:
    """The scores of all processes, in the order of the samples.

    Raises GoogLeNetError if there are none.
    """
    bad = dict(sorted(item for part in parts for item in part.unreadable.items()))
    parts = [part for part in parts if part.indices]
    if not parts:
        raise GoogLeNetError("none of the images could be read")
    indices = [i for part in parts for i in part.indices]
    order = torch.tensor(sorted(range(len(indices)), key=indices.__getitem__))

    def sorted_rows(rows: Sequence[Tensor | None]) -> Tensor | None:
        found = [tensor for tensor in rows if tensor is not None]
        if len(found) < 2:  # it is in order
            return found[0] if found else None
        return torch.cat(found)[order]

    indices = sorted(indices)
    probabilities = sorted_rows([part.probabilities for part in parts])
    assert probabilities is not None
    outputs = [part.outputs for part in parts if part.outputs is not None]
    together = concatenate(outputs) if outputs else None
    if together and len(outputs) > 1:
        together = together.take(order.numpy())
    return Scores(
        probabilities,
        torch.from_numpy(samples.labels_of(indices)),
        tuple(indices),
        {samples.name(i): why for i, why in bad.items()},
        sorted_rows([part.known for part in parts]),
        together,
    )


def image_crops(
    classifier: Classifier, samples: Samples, chosen: Sequence[int], views: int, workers: int
) -> Iterator[tuple[int, list[NDArray[np.uint8]] | str]]:
    """Each chosen sample's index and views, or why it cannot be read."""

    def crops(index: int) -> tuple[int, list[NDArray[np.uint8]] | str]:
        try:
            image = load_image(samples.sources[index])
        except ImageError as error:
            return index, str(error)
        return index, classifier.crops(image, views)

    return prefetch(crops, chosen, workers)


def check_views(views: int) -> None:
    if views not in VIEWS:
        known = ", ".join(map(str, VIEWS))
        raise UsageError(f"views must be among {known}, got {views}")


def ensemble(scores: Sequence[Scores]) -> Scores:
    """The mean of several models' probabilities for the same images."""
    first = scores[0]
    assert all(other.indices == first.indices for other in scores)
    mean = torch.stack([s.probabilities for s in scores]).mean(0)
    return Scores(mean, first.labels, first.indices, first.unreadable)


def require_same_classes(classifiers: Sequence[Classifier], names: Sequence[str]) -> None:
    """Raises UsageError if the models of an ensemble differ in classes or kind of labels."""
    first = [c.id for c in classifiers[0].classes]
    for classifier, name in zip(classifiers[1:], names[1:], strict=True):
        if classifier.multilabel != classifiers[0].multilabel:
            raise UsageError(
                f"models of an ensemble must be all single-label or all multi-label: "
                f"{name} differs from {names[0]}"
            )
        if [c.id for c in classifier.classes] != first:
            raise UsageError(
                f"models of an ensemble must have the same classes in the same order: "
                f"{name} differs from {names[0]}"
            )
