"""Top-1 and top-5 error of models and ensembles over 1, 10 or 144 views of each photo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import gcd

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from googlenet import parallel
from googlenet.data.dataset import Samples
from googlenet.data.loader import prefetch
from googlenet.images.decode import ImageError, decode
from googlenet.images.views import VIEWS, view_count
from googlenet.inference.calibration import Calibration, Outputs
from googlenet.inference.classifier import Classifier
from googlenet.runtime.errors import GoogLeNetError, UsageError

CROPS_AT_ONCE = 64


@dataclass(frozen=True)
class Scores:
    """What models said of photos: probabilities (N, classes), labels (N,), sample indices (N,).

    Where photos can have several labels, these are (N, classes) bool, and the figures are those
    of `evaluation.multilabel`; what goes by a single answer cannot be had.

    The probabilities are those of the logits as they are: `tempered` applies a temperature.
    known: (N,), how known a photo is, where the model has such a score.  outputs: logits and
    summary of one view of each photo, where they were asked for.
    """

    probabilities: Tensor
    labels: Tensor
    indices: tuple[int, ...]
    bad: dict[str, str] = field(default_factory=dict)  # photos that could not be read, and why
    known: Tensor | None = None
    outputs: Outputs | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def multi(self) -> bool:
        return self.labels.ndim == 2

    def hits(self, k: int) -> Tensor:
        """Photos whose class is among the k likeliest: (N,) bool."""
        assert not self.multi
        best = self.probabilities.topk(min(k, self.probabilities.shape[1])).indices
        return (best == self.labels[:, None]).any(1)

    def error(self, k: int) -> float:
        """Top-k error in percent: photos whose class is not among the k likeliest."""
        return 100 * (len(self) - int(self.hits(k).sum())) / len(self)

    def tempered(self, calibration: Calibration | None) -> Scores:
        """The scores with calibrated probabilities; the order of the classes stays as it is."""
        if calibration is None:
            return self
        return replace(self, probabilities=calibration.tempered(self.probabilities))

    def confidence(self) -> Tensor:
        """The probability of each photo's answer: (N,)."""
        return self.probabilities.amax(1)

    def predicted(self) -> Tensor:
        assert not self.multi
        return self.probabilities.argmax(1)

    def restricted(self, classes: Sequence[int]) -> Scores:
        """The same scores with no answer allowed but these classes."""
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
    """Probabilities of each photo, averaged over its views; and so is the score of being known.

    `keep_outputs` keeps the logits and the summary, from which a calibration is fitted.

    Crops are made and used a few photos at a time, so memory does not grow with the views or
    the data.  A photo that cannot be read is left out and named in `bad`.  `progress` is called
    once a photo.  Raises GoogLeNetError if no photo can be read.

    Several processes each score a share of the photos, in the same batches as one process would,
    and all get all the scores.
    """
    assert not keep_outputs or views == 1
    check_views(views)
    crops = view_count(views, classifier.preprocessing)
    block = CROPS_AT_ONCE // gcd(CROPS_AT_ONCE, crops)  # photos that fill whole batches
    own, processes = parallel.shard(range(len(samples)), block), parallel.world_size()

    def step() -> None:  # so that a bar of all photos gets to its end
        for _ in range(processes):
            progress()

    part = parallel.on_all_ranks(
        lambda: score_part(classifier, samples, own, views, workers, step, keep_outputs)
    )
    return whole(parallel.all_gather(part), samples)


@dataclass(frozen=True)
class Part:
    """What a process has found out of its photos, those of `indices`."""

    indices: tuple[int, ...]
    probabilities: Tensor
    bad: dict[int, str]  # why others of its photos could not be read, by their indices
    known: Tensor | None
    outputs: Outputs | None


def score_part(
    classifier: Classifier,
    samples: Samples,
    chosen: Sequence[int],
    views: int,
    workers: int,
    progress: Callable[[], object],
    keep_outputs: bool,
) -> Part:
    """The scores of the chosen photos."""
    sums: dict[int, Tensor] = {}
    known: dict[int, float] = {}
    counts: dict[int, int] = {}
    bad: dict[int, str] = {}
    kept: list[Outputs] = []
    unknown = classifier.calibration and classifier.calibration.unknown

    def add(owners: list[int], crops: list[NDArray[np.uint8]]) -> None:
        outputs = classifier.outputs(crops)
        for owner, row in zip(owners, classifier.uncalibrated(outputs.logits), strict=True):
            sums[owner] = sums[owner] + row.double() if owner in sums else row.double()
            counts[owner] = counts.get(owner, 0) + 1
        if unknown:
            for owner, value in zip(owners, unknown.scores(outputs).tolist(), strict=True):
                known[owner] = known.get(owner, 0.0) + value
        if keep_outputs:
            kept.append(outputs)

    owners: list[int] = []
    crops: list[NDArray[np.uint8]] = []
    for index, found in photo_crops(classifier, samples, chosen, views, workers):
        progress()
        if isinstance(found, str):
            bad[index] = found
            continue
        for crop in found:
            owners.append(index)
            crops.append(crop)
            if len(crops) == CROPS_AT_ONCE:
                add(owners, crops)
                owners, crops = [], []
    if crops:
        add(owners, crops)
    indices = tuple(sums)
    return Part(
        indices,
        torch.stack([sums[i] / counts[i] for i in indices]) if sums else torch.empty(0),
        bad,
        torch.tensor([known[i] / counts[i] for i in indices]) if unknown else None,
        joined(kept) if keep_outputs and kept else None,
    )


def whole(parts: Sequence[Part], samples: Samples) -> Scores:
    """The scores of all parts, in the order of the samples.

    Raises GoogLeNetError where there is none.
    """
    bad = dict(sorted(item for part in parts for item in part.bad.items()))
    parts = [part for part in parts if part.indices]
    if not parts:
        raise GoogLeNetError("none of the photos could be read")
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
    together = joined(outputs) if outputs else None
    if together and len(outputs) > 1:
        summary = None if together.summary is None else together.summary[order]
        together = together._replace(logits=together.logits[order], summary=summary)
    return Scores(
        probabilities,
        torch.from_numpy(samples.labels_of(indices)),
        tuple(indices),
        {samples.name(i): why for i, why in bad.items()},
        sorted_rows([part.known for part in parts]),
        together,
    )


def joined(parts: Sequence[Outputs]) -> Outputs:
    """The outputs of several batches as one."""
    summaries = [part.summary for part in parts if part.summary is not None]
    logits = torch.cat([part.logits for part in parts])
    return Outputs(logits, torch.cat(summaries) if summaries else None, parts[0].widths)


def photo_crops(
    classifier: Classifier, samples: Samples, chosen: Sequence[int], views: int, workers: int
) -> Iterator[tuple[int, list[NDArray[np.uint8]] | str]]:
    """Each chosen sample's index and crops, or why it cannot be read."""

    def crops(index: int) -> tuple[int, list[NDArray[np.uint8]] | str]:
        try:
            photo = decode(samples.sources[index])
        except ImageError as error:
            return index, str(error)
        return index, classifier.crops(photo, views)

    return prefetch(crops, chosen, workers)


def check_views(views: int) -> None:
    if views not in VIEWS:
        known = ", ".join(map(str, VIEWS))
        raise UsageError(f"views must be among {known}, got {views}")


def ensemble(scores: Sequence[Scores]) -> Scores:
    """The mean of several models' probabilities for the same photos."""
    first = scores[0]
    assert all(other.indices == first.indices for other in scores)
    mean = torch.stack([s.probabilities for s in scores]).mean(0)
    return Scores(mean, first.labels, first.indices, first.bad)


def require_same_classes(classifiers: Sequence[Classifier], names: Sequence[str]) -> None:
    """Raises UsageError where the models of an ensemble do not answer the same question."""
    first = [c.id for c in classifiers[0].classes]
    for classifier, name in zip(classifiers[1:], names[1:], strict=True):
        if classifier.multi != classifiers[0].multi:
            raise UsageError(
                f"models of an ensemble must all know one label a photo or all several: "
                f"{name} is unlike {names[0]}"
            )
        if [c.id for c in classifier.classes] != first:
            raise UsageError(
                f"models of an ensemble must have the same classes in the same order: "
                f"those of {name} are not those of {names[0]}"
            )
