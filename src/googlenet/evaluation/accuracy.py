"""Top-1 and top-5 error of models and ensembles with 1, 10 or 144 views per image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from googlenet import parallel
from googlenet.data.dataset import Samples
from googlenet.data.loader import prefetch
from googlenet.evaluation.probability_rows import (
    WHOLE_VALUES,
    ProbabilityRows,
    concatenate_rows,
    condense,
    restrict,
)
from googlenet.evaluation.scores import Scores
from googlenet.images.decode import ImageError
from googlenet.images.turbo_jpeg import load_image
from googlenet.images.views import VIEWS, view_count
from googlenet.inference.classifier import Classifier
from googlenet.inference.outputs import Outputs, concatenate
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.watchdog import beat

CROP_BATCH_SIZE = 64
BLOCK = 256  # images whose rows are finished together
OUTPUT_VALUES = 1 << 22  # logits kept for calibration: 16 MiB


def score(
    classifier: Classifier,
    samples: Samples,
    views: int = 1,
    workers: int = 2,
    progress: Callable[[], object] = lambda: None,
    keep_outputs: bool = False,
    allowed: Sequence[int] | None = None,
    whole: bool = False,
) -> Scores:
    """Probabilities and in-distribution score of each image, averaged over its views.

    `keep_outputs` keeps the logits and features, from which a calibration is fitted; of very
    many images and classes those of a random sample of the images.  `allowed`: the classes that
    predictions are restricted to.  `whole` keeps whole rows, which an ensemble needs.

    Views are computed a few images at a time, so memory does not grow with the views.  Of more
    than WHOLE_VALUES images × classes single-label rows are condensed, so memory grows with the
    images plus the classes, not with their product.
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
    values = len(samples) * len(classifier.classes)
    whole = whole or classifier.multilabel or values <= WHOLE_VALUES

    def step() -> None:  # a process's bar shows the images of all
        for _ in range(processes):
            progress()

    def score_own() -> Partial:
        kept = output_sample(len(samples), len(classifier.classes)) if keep_outputs else set()
        scorer = Scorer(classifier, samples, whole, allowed, kept)
        bad: dict[int, str] = {}
        views_of = image_crops(classifier, samples, own, views, workers)
        for owners, pixels in crop_batches(views_of, step, bad):
            scorer.add(owners, pixels)
        return scorer.result(bad)

    return merge(parallel.all_gather(parallel.on_all_ranks(score_own)), samples, classifier)


def output_sample(images: int, classes: int) -> set[int]:
    """Indices of the images whose outputs are kept: all, or a random sample of bounded size."""
    most = max(1, OUTPUT_VALUES // classes)
    if images <= most:
        return set(range(images))
    return set(np.random.default_rng((images, classes)).permutation(images)[:most].tolist())


@dataclass(frozen=True)
class Partial:
    """One process's scores, of the images `indices`."""

    indices: tuple[int, ...]
    rows: ProbabilityRows | None
    unreadable: dict[int, str]  # why, by index
    known: Tensor | None
    outputs: Outputs | None
    output_indices: tuple[int, ...]


class Scorer:
    """Averages over each image's views, a block of images at a time.

    whole: keeps whole rows.  allowed: the classes that predictions are restricted to.  kept: the
    images whose outputs are kept.
    """

    def __init__(
        self,
        classifier: Classifier,
        samples: Samples,
        whole: bool,
        allowed: Sequence[int] | None,
        kept: set[int],
    ) -> None:
        self.classifier, self.samples = classifier, samples
        self.whole, self.allowed, self.kept = whole, allowed, kept
        self.sums: dict[int, NDArray[np.float64]] = {}  # of images whose views are not all there
        self.counts: dict[int, int] = {}
        self.known: dict[int, float] = {}
        self.blocks: list[ProbabilityRows] = []
        self.outputs: list[Outputs] = []
        self.output_indices: list[int] = []

    def add(self, owners: list[int], crops: list[NDArray[np.uint8]]) -> None:
        """Add views, in the order of their images `owners`."""
        outputs = self.classifier.outputs(crops)
        beat()
        rows = self.classifier.raw_probabilities(outputs.logits).astype(np.float64)
        for owner, row in zip(owners, rows, strict=True):
            self.sums[owner] = self.sums[owner] + row if owner in self.sums else row
            self.counts[owner] = self.counts.get(owner, 0) + 1
        ood = self.classifier.calibration and self.classifier.calibration.ood
        if ood:
            for owner, value in zip(owners, ood.id_scores(outputs).tolist(), strict=True):
                self.known[owner] = self.known.get(owner, 0.0) + value
        at = [i for i, owner in enumerate(owners) if owner in self.kept]
        if at:
            self.outputs.append(outputs.take(np.array(at)))
            self.output_indices += [owners[i] for i in at]
        if len(self.sums) > BLOCK:
            self.finish([owner for owner in self.sums if owner != owners[-1]])

    def finish(self, owners: list[int]) -> None:
        """Turn the sums of images whose views are all there into rows."""
        if not owners:
            return
        rows = torch.from_numpy(np.stack([self.sums.pop(i) / self.counts[i] for i in owners]))
        if self.allowed is not None:
            rows = restrict(rows, self.allowed)
        if self.whole:
            self.blocks.append(ProbabilityRows(rows))
            return
        calibration = self.classifier.calibration
        scaled = None
        if calibration is not None:
            scaled = torch.from_numpy(calibration.temperature_scaled(rows.numpy()))
        labels = torch.from_numpy(self.samples.labels_of(owners))
        self.blocks.append(condense(rows, labels, scaled))

    def result(self, unreadable: dict[int, str]) -> Partial:
        """The scores of all images that were added."""
        self.finish(list(self.sums))
        known = [self.known[i] / self.counts[i] for i in self.known]
        return Partial(
            tuple(self.counts),
            concatenate_rows(self.blocks) if self.blocks else None,
            unreadable,
            torch.tensor(known) if known else None,
            concatenate(self.outputs) if self.outputs else None,
            tuple(self.output_indices),
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


def merge(parts: Sequence[Partial], samples: Samples, classifier: Classifier) -> Scores:
    """The scores of all processes, in the order of the samples.

    Raises GoogLeNetError if there are none.
    """
    bad = dict(sorted(item for part in parts for item in part.unreadable.items()))
    parts = [part for part in parts if part.indices]
    if not parts:
        raise GoogLeNetError("none of the images could be read")
    indices = [i for part in parts for i in part.indices]
    order = torch.tensor(sorted(range(len(indices)), key=indices.__getitem__))
    rows = concatenate_rows([part.rows for part in parts if part.rows])
    known = [part.known for part in parts if part.known is not None]

    def in_order(tensor: Tensor | None) -> Tensor | None:
        return tensor if tensor is None or len(parts) == 1 else tensor[order]

    probabilities = in_order(rows.probabilities)
    assert probabilities is not None
    outputs = [part.outputs for part in parts if part.outputs is not None]
    output_indices = [i for part in parts for i in part.output_indices]
    by_index = np.argsort(output_indices)
    together = concatenate(outputs) if outputs else None
    return Scores(
        probabilities,
        torch.from_numpy(samples.labels_of(sorted(indices))),
        tuple(sorted(indices)),
        {samples.name(i): why for i, why in bad.items()},
        in_order(torch.cat(known)) if known else None,
        together.take(by_index) if together and len(outputs) > 1 else together,
        tuple(sorted(output_indices)),
        in_order(rows.columns),
        in_order(rows.scaled),
        len(classifier.classes),
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
