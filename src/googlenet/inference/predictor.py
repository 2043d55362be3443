"""Predictions by an exported file in its own engine, without PyTorch.

Loading PyTorch takes longer than everything else that comes before a first answer, and more time
than a quick engine needs for a thousand photos.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from googlenet.data.dataset import Class
from googlenet.images.decode import Source
from googlenet.images.preprocess import Preprocessing
from googlenet.images.turbo_jpeg import load_image
from googlenet.images.view import load_view, to_nchw
from googlenet.inference.engines import Engine, Found
from googlenet.inference.exported_file import Exported, read_exported, refused
from googlenet.inference.model_file import ModelFileError, model_path
from googlenet.inference.prediction import Answers, Pixels, Prediction, predictions, read_labels
from googlenet.runtime.device import thread_count
from googlenet.runtime.errors import GoogLeNetError

Floats = NDArray[np.float32]
STREAMS = 4  # at most: each has its own maps in memory
ENERGY, ENERGY_AND_ANGLES = "energy", "energy and angles"  # `calibration.SCORES`


@dataclass(frozen=True)
class Score:
    """`calibration.Unknown`, of arrays.  numbers: empty where the score is the energy alone."""

    threshold: float
    numbers: Mapping[str, Floats]

    def of(self, found: Found) -> Floats:
        """How known each photo is: (N,)."""
        highest = found.logits.max(1)
        energy: Floats = highest + np.log(np.exp(found.logits - highest[:, None]).sum(1))
        if not self.numbers:
            return energy
        assert found.summary is not None
        spaces = self.spaces
        parts = np.split(found.summary, np.cumsum([len(space) for space in spaces])[:-1], 1)
        angles = [sine(part, space) for part, space in zip(parts, spaces, strict=True)]
        return energy - np.stack(angles, 1) @ self.numbers["slopes"]

    @property
    def spaces(self) -> list[Floats]:
        """The directions of each part of the summary: (width, D) each."""
        return [self.numbers[f"directions.{i}"] for i in range(len(self.numbers) - 1)]

    def fits(self, found: Found) -> bool:
        if not self.numbers:
            return True
        width = sum(map(len, self.spaces))
        return found.summary is not None and found.summary.shape[1] == width


def sine(means: Floats, directions: Floats) -> Floats:
    """`calibration.angle`: (N, F) and (F, D) -> (N,)."""
    along = np.square(means @ directions).sum(1)
    share = along / np.maximum(np.square(means).sum(1), 1e-30)
    return np.asarray(np.sqrt(np.maximum(1 - share, 0)), np.float32)


class Predictor:
    """An exported file at work; its engine starts with the first photo."""

    def __init__(self, file: Exported) -> None:
        """Raises ModelFileError for a header that cannot be used."""
        self.file, self.lock, self.streams = file, Lock(), 1
        self.running: Engine | None = None
        self.warm = False  # whether a first photo has been computed
        try:
            header = file.header
            self.preprocessing = Preprocessing.from_json(header["preprocessing"])
            self.classes = tuple(Class(str(c["id"]), str(c["name"])) for c in header["classes"])
            labels = read_labels(header)
            self.multi, self.threshold = bool(labels), float(labels.get("threshold", 0.5))
            calibration = header.get("calibration") or {}
            self.temperature = float(calibration.get("temperature", 1))
            if not (isfinite(self.temperature) and self.temperature > 0):
                raise ValueError(f"temperature must be above 0, is {self.temperature}")
            self.score = read_score(header)
        except (
            AttributeError, GoogLeNetError, KeyError, TypeError, ValueError, SafetensorError,
        ) as error:  # fmt: skip
            raise ModelFileError(f"{file.path}: its header cannot be used ({error})") from error

    def predict(
        self, sources: Iterable[Source], top: int = 5, batch: int = 32, workers: int = 2
    ) -> Iterator[Prediction]:
        """As `Classifier.predict`; several batches are computed side by side.

        The first answer comes when these and one more have been read.
        """
        self.streams = 1 if self.file.whole_photos else min(STREAMS, thread_count())
        return predictions(
            sources, self.view, lambda views: self.judge(views, top), batch, workers, self.streams
        )

    def engine(self) -> Engine:
        with self.lock:  # the first photos are read meanwhile
            if self.running is None:
                self.running = self.file.start(self.streams)
            return self.running

    def view(self, source: Source) -> Pixels:
        """What the engine takes of a photo.  Raises ImageError."""
        if self.file.whole_photos:
            return np.asarray(load_image(source))
        return load_view(source, self.preprocessing)

    def judge(self, views: Sequence[Pixels], top: int) -> Iterator[Prediction]:
        """A prediction, yet without its path, for each view."""
        if self.file.whole_photos:
            parts = [self.run(photo) for photo in views]
        else:
            parts = [self.run(to_nchw(views, self.preprocessing))]
        answers = Answers(
            self.classes,
            self.score.threshold if self.score else None,
            self.threshold if self.multi else None,
        )
        for part in parts:
            scores = self.score.of(part) if self.score else None
            yield from answers.of(self.probabilities(part.logits), scores, top)

    def run(self, photos: NDArray[Any]) -> Found:
        """What the engine finds.  Raises ModelFileError where the header says something else."""
        engine = self.engine()
        try:
            if self.streams > 1 and len(photos) > 1 and not self.warm:
                engine.run(photos[:1])  # alone, while the other streams wait: a short first call
                self.warm = True
            found = engine.run(photos)
        except Exception as error:  # each engine has its own kinds
            raise refused(self.file.path, engine.name, error) from error
        if found.logits.shape[1] != len(self.classes):
            raise ModelFileError(
                f"{self.file.path}: its network answers with {found.logits.shape[1]} classes, "
                f"its header names {len(self.classes)}"
            )
        if self.score and not self.score.fits(found):
            raise ModelFileError(f"{self.file.path}: the tensors of unknown do not fit its network")
        return found

    def probabilities(self, logits: Floats) -> Floats:
        """`Classifier.calibrated`, of arrays: (N, classes)."""
        if self.multi:
            return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float32)  # never overflows
        logits = logits / np.float32(self.temperature)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


def read_score(header: Mapping[str, Any]) -> Score | None:
    """The header's score.  Raises ValueError and the like for one that cannot be."""
    unknown = (header.get("calibration") or {}).get("unknown")
    if unknown is None:
        return None
    packed = header["export"].get("unknown") or ""
    numbers = safetensors.numpy.load(base64.b64decode(packed)) if packed else {}
    score = Score(float(unknown["threshold"]), numbers)
    if not isfinite(score.threshold):
        raise ValueError(f"unknown.threshold must be a finite number, is {score.threshold}")
    if unknown["score"] not in (ENERGY, ENERGY_AND_ANGLES):
        names = f"{ENERGY}, {ENERGY_AND_ANGLES}"
        raise ValueError(f"unknown.score must be one of {names}, is {unknown['score']!r}")
    shapes = {name: tensor.ndim for name, tensor in numbers.items()}
    wanted: dict[str, int] = {}
    if unknown["score"] == ENERGY_AND_ANGLES:
        wanted = {f"directions.{i}": 2 for i in range(max(1, len(numbers) - 1))} | {"slopes": 1}
    sound = shapes == wanted and all(n.dtype == np.float32 for n in numbers.values())
    if not sound or (wanted and len(numbers["slopes"]) != len(numbers) - 1):
        raise ValueError(f"the tensors of unknown do not fit the score {unknown['score']!r}")
    return score


def load_predictor(path: str | Path, engine: str | None) -> Predictor | None:
    """The exported file of that path, None for any other model, and for one that is PyTorch's.

    Raises GoogLeNetError for a file that is damaged or whose engine is missing.
    """
    file = read_exported(model_path(path), engine)
    return None if file is None or file.kind == "torch" else Predictor(file)
