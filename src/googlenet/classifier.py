"""A classifier: a network, its classes and its preprocessing, in one file and one value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from googlenet.cost import network_cost
from googlenet.data.dataset import Class
from googlenet.errors import GoogLeNetError, UsageError
from googlenet.images.decode import ImageError, Source, decode, name_of
from googlenet.images.preprocess import Preprocessing
from googlenet.images.views import VIEWS
from googlenet.machine import Machine
from googlenet.modelfile import (
    ModelFileError,
    is_model_file,
    read_header,
    read_tensors,
    write_model_file,
)
from googlenet.networks import Network, build_network


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one photo; `error` is set, and `top` empty, for a bad file."""

    path: str
    top: tuple[tuple[str, float], ...] = ()  # (class name, probability), the likeliest first
    error: str | None = None

    @property
    def label(self) -> str | None:
        return self.top[0][0] if self.top else None

    @property
    def probability(self) -> float | None:
        return self.top[0][1] if self.top else None


@dataclass
class Classifier:
    """A trained network with all that it needs to say what is in a photo.

    `metrics`, `provenance` and `licence` say how good it is, where it comes from and how it
    may be used; `calibration` is None until a temperature has been fitted.
    """

    network: Network
    classes: tuple[Class, ...]
    preprocessing: Preprocessing
    variant: str
    calibration: dict[str, Any] | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    licence: str | None = None
    machine: Machine = field(default_factory=Machine)

    @classmethod
    def load(
        cls, path: str | Path, machine: Machine | None = None, engine: str | None = None
    ) -> Classifier:
        """The classifier in a model file, a run folder (its `last.safetensors`), a file that
        `googlenet export` wrote, a published weight file of any known format, or the known file
        of that name ("bvlc").

        engine: what computes, "torch", "onnxruntime", "openvino" or "auto", the fastest that is
        installed; by default PyTorch, or for an exported file the engine that it was made for.
        Raises GoogLeNetError in one sentence for a file that is damaged, no GoogLeNet or of a
        future format; UsageError for one that does not exist.
        """
        path = model_path(path)
        if (exported := load_exported(path, machine or Machine(), engine)) is not None:
            return exported
        classifier = cls.load_ours(path) if is_model_file(path) else load_foreign(path)
        if engine not in (None, "torch"):
            return with_engine(classifier, machine or Machine(), str(engine))
        classifier.machine = machine or Machine()
        classifier.network.eval().to(
            device=classifier.machine.device,
            memory_format=torch.channels_last,  # type: ignore[call-overload]
        )
        return classifier

    @classmethod
    def load_ours(cls, path: Path) -> Classifier:
        header, tensors = read_header(path), read_tensors(path)
        try:
            classifier = cls.from_header(header, sum(map(Tensor.numel, tensors.values())))
        except (GoogLeNetError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ModelFileError(f"{path}: its header cannot be used ({error})") from error
        load_tensors(classifier.network, tensors, path)
        return classifier

    @classmethod
    def from_header(cls, header: Mapping[str, Any], numbers: int) -> Classifier:
        """A classifier as the header describes it, with weights yet to be loaded.

        numbers: how many the file's tensors hold.  Raises ModelFileError for a header that
        describes a larger network, before that is built.
        """
        preprocessing = Preprocessing.from_json(header["preprocessing"])
        classes = len(header["classes"])
        if not classes:
            raise ValueError("classes is empty")
        width = float(header.get("width", 1))
        needed = network_cost(
            header["variant"], preprocessing.size, classes, preprocessing.channels, width
        ).total.params
        if needed > numbers:
            raise ModelFileError(
                f"it describes a network of {needed:,} parameters, the tensors hold {numbers:,}"
            )
        network = build_network(
            header["variant"],
            classes,
            size=preprocessing.size,
            in_channels=preprocessing.channels,
            width=width,
            heads=bool(header.get("heads")),
        )
        return cls.described(header, network)

    @classmethod
    def described(cls, header: Mapping[str, Any], network: Network) -> Self:
        """A classifier as the header describes it, around a network that is there already."""
        return cls(
            network,
            tuple(Class(str(c["id"]), str(c["name"])) for c in header["classes"]),
            Preprocessing.from_json(header["preprocessing"]),
            header["variant"],
            calibration=header.get("calibration"),
            metrics=dict(header.get("metrics") or {}),
            provenance=dict(header.get("provenance") or {}),
            licence=header.get("licence"),
        )

    def header(self) -> dict[str, Any]:
        """The JSON value of the model file: everything but the weights."""
        return {
            "variant": self.variant,
            "width": self.network.width,
            "heads": list(self.network.heads),
            "classes": [c._asdict() for c in self.classes],
            "preprocessing": self.preprocessing.to_json(),
            "calibration": self.calibration,
            "metrics": self.metrics,
            "provenance": self.provenance,
            "licence": self.licence,
        }

    def save(self, path: str | Path) -> None:
        """Write the model file atomically.  Raises GoogLeNetError where that fails."""
        write_model_file(Path(path), self.network.state_dict(), self.header())

    @torch.inference_mode()
    def probabilities(self, crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> Tensor:
        """Softmax over the classes: crops as `crops` makes them -> (N, classes) float32."""
        return self.logits(crops).softmax(1)

    @torch.inference_mode()
    def logits(self, crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> Tensor:
        """Before the softmax: N times (size, size, channels) uint8 -> (N, classes) float32."""
        pixels = torch.from_numpy(np.asarray(crops)).to(self.machine.device)
        with self.machine.autocast():
            logits: Tensor = self.network(self.preprocessing.normalise(pixels))
        return logits.float().cpu()

    def crops(self, photo: Image.Image, views: int = 1) -> list[NDArray[np.uint8]]:
        """What the network sees of a decoded photo: (size, size, channels), one for each view."""
        return [self.preprocessing.pixels(v) for v in VIEWS[views](photo, self.preprocessing)]

    def predict(
        self, sources: Iterable[Source], top: int = 5, batch: int = 32
    ) -> Iterator[Prediction]:
        """A prediction a photo, in order; one that cannot be read has `error` set.

        Sources are paths, bytes, arrays or Pillow images, decoded and preprocessed as in
        training; they are read `batch` at a time, so an endless iterable is fine.
        Raises UsageError for a single path, whose letters would be taken for paths.
        """
        if isinstance(sources, str | bytes | Path):
            raise UsageError(f"predict takes a list of photos, got one {type(sources).__name__}")
        remaining = iter(sources)
        while chunk := list(islice(remaining, batch)):
            yield from self.predict_batch(chunk, top)

    def predict_batch(self, sources: list[Source], top: int) -> list[Prediction]:
        crops: dict[int, NDArray[np.uint8]] = {}
        results = [Prediction(name_of(source)) for source in sources]
        for at, source in enumerate(sources):
            try:
                (crops[at],) = self.crops(decode(source))
            except ImageError as error:
                results[at] = Prediction(name_of(source), error=str(error))
        if crops:
            probabilities = self.probabilities(list(crops.values()))
            best = probabilities.topk(min(top, len(self.classes)))
            for at, values, indices in zip(crops, best.values, best.indices, strict=True):
                names = (self.classes[int(i)].name for i in indices)
                results[at] = Prediction(
                    results[at].path, tuple(zip(names, values.tolist(), strict=True))
                )
        return results


def load_foreign(source: Path) -> Classifier:
    """`weights.load.load_foreign`, imported when first needed: it imports this module."""
    from googlenet.weights import load

    return load.load_foreign(source)


def load_exported(path: Path, machine: Machine, engine: str | None) -> Classifier | None:
    """`deploy.load.load_exported`, imported when first needed: it imports this module."""
    from googlenet.deploy import load

    return load.load_exported(path, machine, engine)


def with_engine(classifier: Classifier, machine: Machine, engine: str) -> Classifier:
    """`deploy.load.with_engine`, imported when first needed."""
    from googlenet.deploy import load

    return load.with_engine(classifier, machine, engine)


def model_path(path: str | Path) -> Path:
    """The model file that a user means: the file itself, or the last one of a run folder."""
    path = Path(path)
    return path / "last.safetensors" if path.is_dir() else path


def load_tensors(network: Network, tensors: dict[str, Tensor], path: Path) -> None:
    """Fill a network from a file's tensors, all of them, each of its own shape."""
    expected = network.state_dict()
    for name, tensor in expected.items():
        if name not in tensors:
            raise ModelFileError(f"{path}: must hold the tensor {name}, has it not")
        if tensors[name].shape != tensor.shape:
            raise ModelFileError(
                f"{path}: tensor {name} must have shape {tuple(tensor.shape)}, "
                f"has {tuple(tensors[name].shape)}"
            )
    extra = sorted(set(tensors) - set(expected))
    if extra:
        raise ModelFileError(f"{path}: holds the tensor {extra[0]}, which the network has not")
    network.load_state_dict(tensors)
