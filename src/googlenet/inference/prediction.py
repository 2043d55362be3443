"""Predictions: what they say, and how they are computed from a stream of images.

Nothing here needs PyTorch: an exported file runs in another engine, without loading it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from googlenet.data.labels import Class
from googlenet.images.decode import ImageError, Source, name_of
from googlenet.inference.backends.base import Pixels
from googlenet.inference.header import ModelHeader
from googlenet.runtime.errors import UsageError
from googlenet.runtime.prefetch import prefetch


@dataclass(frozen=True)
class Prediction:
    """A classifier's prediction for one image; `error` is set, and `top` empty, if unreadable.

    indices: of the classes in `top`, whose names may not be unique.
    unknown: whether the image is out of distribution: its `score` is below the model's
    threshold; both are None for a model without one.  labels: for a multilabel model, all
    classes above its threshold, like `top`; None otherwise.
    """

    path: str
    top: tuple[tuple[str, float], ...] = ()  # (class name, probability), the likeliest first
    error: str | None = None
    unknown: bool | None = None
    score: float | None = None
    indices: tuple[int, ...] = ()
    labels: tuple[tuple[str, float], ...] | None = None

    @property
    def label(self) -> str | None:
        return self.top[0][0] if self.top else None

    @property
    def probability(self) -> float | None:
        return self.top[0][1] if self.top else None


def postprocess(
    header: ModelHeader,
    probabilities: NDArray[np.floating],
    id_scores: NDArray[np.floating] | None,
    top: int,
) -> Iterator[Prediction]:
    """A prediction, its path not yet set, for each row of (N, classes); id_scores: (N,)."""
    ood = header.calibration and header.calibration.ood
    # Equally likely classes come in their own order.
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    for at, (row, best) in enumerate(zip(probabilities, order.tolist(), strict=True)):
        score = None if id_scores is None else float(id_scores[at])
        yield Prediction(
            "",
            tuple((header.classes[i].name, float(row[i])) for i in best),
            unknown=None if score is None or not ood else score < ood.threshold,
            score=score,
            indices=tuple(best),
            labels=labels_above(header.threshold, row, header.classes)
            if header.multilabel
            else None,
        )


def labels_above(
    threshold: float, row: NDArray[np.floating], classes: Sequence[Class]
) -> tuple[tuple[str, float], ...]:
    """Name and probability of every class above the threshold, the likeliest first."""
    above = [(c.name, p) for c, p in zip(classes, row.tolist(), strict=True) if p > threshold]
    return tuple(sorted(above, key=lambda pair: pair[1], reverse=True))


def predictions(
    sources: Iterable[Source],
    load_input: Callable[[Source], Pixels],
    predict_batch: Callable[[Sequence[Pixels]], Iterable[Prediction]],
    batch: int,
    workers: int,
    streams: int = 0,
) -> Iterator[Prediction]:
    """A prediction per image, in order; an unreadable one has `error` set.

    load_input: the network's input from a source, or an ImageError: called in `workers` threads,
    a few batches ahead.  predict_batch: predictions for up to `batch` inputs, without their
    paths: called for `streams` batches at a time in its own threads, or in the caller's for 0.
    Raises UsageError for a single path, whose letters would be taken for paths.
    """
    if isinstance(sources, str | bytes | Path):
        raise UsageError(f"predict takes a list of images, got one {type(sources).__name__}")

    def read(source: Source) -> tuple[str, Pixels | str]:
        try:
            return name_of(source), load_input(source)
        except ImageError as error:
            return name_of(source), str(error)

    def predict(chunk: list[tuple[str, Pixels | str]]) -> list[Prediction]:
        inputs = [pixels for _, pixels in chunk if not isinstance(pixels, str)]
        found = iter(predict_batch(inputs) if inputs else ())
        return [
            Prediction(name, error=pixels)
            if isinstance(pixels, str)
            else replace(next(found), path=name)
            for name, pixels in chunk
        ]

    images = prefetch(read, sources, workers, ahead=batch)
    chunks = iter(lambda: list(islice(images, batch)), [])
    for found in prefetch(predict, chunks, streams, ahead=1):
        yield from found
