"""What is said of a photo, and the way from photos to answers.

Nothing here needs PyTorch: an exported file is computed by another engine, without loading it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from googlenet.data.dataset import Class
from googlenet.images.decode import ImageError, Source, name_of
from googlenet.runtime.errors import UsageError
from googlenet.runtime.prefetch import prefetch

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one photo; `error` is set, and `top` empty, for a bad file.

    indices: those of the classes in `top`, whose names need not differ.
    unknown: whether the photo is of none of the classes, `score` being below the model's
    threshold; both are None where the model has none.  labels: of a model whose photos can have
    several, all classes above its threshold, like `top`; None of others.
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


@dataclass(frozen=True)
class Answers:
    """What probabilities and scores mean: the classes, and the thresholds where there are some.

    unknown: the score below which a photo is of no class.  several: the probability above which
    a class is one of a photo's labels.
    """

    classes: Sequence[Class]
    unknown: float | None = None
    several: float | None = None

    def of(
        self, probabilities: NDArray[np.floating], scores: NDArray[np.floating] | None, top: int
    ) -> Iterator[Prediction]:
        """A prediction, yet without its path, for each row of (N, classes); scores: (N,)."""
        # Classes that are equally likely come in their own order.
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        for at, (row, best) in enumerate(zip(probabilities, order.tolist(), strict=True)):
            score = None if scores is None else float(scores[at])
            yield Prediction(
                "",
                tuple((self.classes[i].name, float(row[i])) for i in best),
                unknown=None if score is None or self.unknown is None else score < self.unknown,
                score=score,
                indices=tuple(best),
                labels=None if self.several is None else self.above(row, self.several),
            )

    def above(self, row: NDArray[np.floating], threshold: float) -> tuple[tuple[str, float], ...]:
        """Name and probability of every class above the threshold, the likeliest first."""
        found = zip(self.classes, row.tolist(), strict=True)
        above = [(c.name, p) for c, p in found if p > threshold]
        return tuple(sorted(above, key=lambda pair: pair[1], reverse=True))


def predictions(
    sources: Iterable[Source],
    view: Callable[[Source], Pixels],
    judge: Callable[[Sequence[Pixels]], Iterable[Prediction]],
    batch: int,
    workers: int,
    streams: int = 0,
) -> Iterator[Prediction]:
    """A prediction a photo, in order; one that cannot be read has `error` set.

    view: what the network sees of a photo, or an ImageError: called in `workers` threads, a few
    batches ahead.  judge: predictions of up to `batch` views, without their paths: called for
    that many batches at a time in threads of its own, or in the caller's for 0.
    Raises UsageError for a single path, whose letters would be taken for paths.
    """
    if isinstance(sources, str | bytes | Path):
        raise UsageError(f"predict takes a list of photos, got one {type(sources).__name__}")

    def read(source: Source) -> tuple[str, Pixels | str]:
        try:
            return name_of(source), view(source)
        except ImageError as error:
            return name_of(source), str(error)

    def answered(chunk: list[tuple[str, Pixels | str]]) -> list[Prediction]:
        seen = [pixels for _, pixels in chunk if not isinstance(pixels, str)]
        found = iter(judge(seen) if seen else ())
        return [
            Prediction(name, error=pixels)
            if isinstance(pixels, str)
            else replace(next(found), path=name)
            for name, pixels in chunk
        ]

    photos = prefetch(read, sources, workers, ahead=batch)
    chunks = iter(lambda: list(islice(photos, batch)), [])
    for found in prefetch(answered, chunks, streams, ahead=1):
        yield from found


def read_labels(header: Mapping[str, Any]) -> dict[str, Any]:
    """How many labels a photo has, by a header; one, in a file that does not say.

    Raises ValueError for what cannot be.
    """
    labels, threshold = header.get("labels", "single"), header.get("threshold")
    if labels not in ("single", "multi"):
        raise ValueError(f"labels must be single or multi, is {labels!r}")
    if labels == "single":
        return {}
    if not isinstance(threshold, float) or not 0 < threshold < 1:
        raise ValueError(f"threshold must be a number above 0 and below 1, is {threshold!r}")
    return {"multi": True, "threshold": threshold}
