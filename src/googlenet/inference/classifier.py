"""A classifier: a network, its classes and its preprocessing, in one file and one value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from googlenet.data.dataset import Class
from googlenet.images.decode import Source
from googlenet.images.preprocess import Preprocessing
from googlenet.images.turbo_jpeg import DecodedImage
from googlenet.images.view import load_view, views_of
from googlenet.inference.calibration import PREFIX, Calibration, Outputs
from googlenet.inference.model_file import (
    ModelFileError,
    is_model_file,
    read_header,
    read_tensors,
    write_model_file,
)
from googlenet.inference.model_file import model_path as model_path
from googlenet.inference.prediction import Answers, Pixels, Prediction, predictions, read_labels
from googlenet.models.cost import network_cost
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.registry import Network, build_network
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.first_call import first_call_alone


@dataclass
class Classifier:
    """A trained network with all that it needs to say what is in a photo.

    `metrics`, `provenance` and `licence` say how good it is, where it comes from and how it
    may be used; `calibration` is None until a temperature has been fitted
    (`evaluation.calibrate`).  multi: whether a photo can have several labels, or none: each
    class then has a probability of its own, and is an answer above the threshold.
    """

    network: Network
    classes: tuple[Class, ...]
    preprocessing: Preprocessing
    variant: str
    calibration: Calibration | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    licence: str | None = None
    machine: ComputeDevice = field(default_factory=ComputeDevice)
    multi: bool = False
    threshold: float = 0.5

    @classmethod
    def load(
        cls, path: str | Path, machine: ComputeDevice | None = None, engine: str | None = None
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
        if (exported := load_exported(path, machine or ComputeDevice(), engine)) is not None:
            return exported
        classifier = cls.load_ours(path) if is_model_file(path) else load_foreign(path)
        if engine not in (None, "torch"):
            computed = with_engine(classifier, machine or ComputeDevice(), str(engine))
            if computed is not classifier:
                return computed
        classifier.network.eval()
        return classifier.to(machine or ComputeDevice())

    def to(self, machine: ComputeDevice) -> Self:
        """This classifier, its network moved to where it is to compute."""
        self.machine = machine
        self.network.to(device=machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    @classmethod
    def load_ours(cls, path: Path) -> Classifier:
        header, tensors = read_header(path), read_tensors(path)
        try:
            classifier = cls.from_header(header, sum(map(Tensor.numel, tensors.values())))
            classifier.calibration = read_calibration(header, tensors, classifier.network)
        except (
            AttributeError, GoogLeNetError, KeyError, TypeError, ValueError, RuntimeError,
        ) as error:  # fmt: skip
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
        """A classifier as the header describes it but for the calibration, around a network."""
        return cls(
            network,
            tuple(Class(str(c["id"]), str(c["name"])) for c in header["classes"]),
            Preprocessing.from_json(header["preprocessing"]),
            header["variant"],
            metrics=dict(header.get("metrics") or {}),
            provenance=dict(header.get("provenance") or {}),
            licence=header.get("licence"),
            **read_labels(header),
        )

    def header(self) -> dict[str, Any]:
        """The JSON value of the model file: everything but the weights."""
        return {
            "variant": self.variant,
            "width": self.network.width,
            "heads": list(self.network.heads),
            "labels": "multi" if self.multi else "single",
            "threshold": self.threshold if self.multi else None,
            "classes": [c._asdict() for c in self.classes],
            "preprocessing": self.preprocessing.to_json(),
            "calibration": self.calibration and self.calibration.to_json(),
            "metrics": self.metrics,
            "provenance": self.provenance,
            "licence": self.licence,
        }

    def save(self, path: str | Path) -> None:
        """Write the model file atomically.  Raises GoogLeNetError where that fails."""
        unknown = self.calibration and self.calibration.unknown
        numbers = {PREFIX + name: n for name, n in unknown.numbers.items()} if unknown else {}
        write_model_file(Path(path), self.network.state_dict() | numbers, self.header())

    def crops(self, image: DecodedImage, views: int = 1) -> list[Pixels]:
        """What the network sees of a decoded image: (size, size, channels), one for each view."""
        return views_of(image, self.preprocessing, views)

    @first_call_alone
    @torch.inference_mode()
    def outputs(self, pixels: Pixels | Sequence[Pixels]) -> Outputs:
        """Logits and summary: (N, size, size, channels) uint8 -> float32 on the CPU."""
        photos = torch.from_numpy(np.asarray(pixels)).to(self.machine.device)
        crops = self.preprocessing.normalize(photos)
        with self.machine.autocast():
            if isinstance(self.network, GoogLeNet):
                maps, summary = self.network.features_and_summary(crops)
                logits = self.network.classify(maps).float()
                return Outputs(logits.cpu(), summary.cpu(), self.network.summary_widths)
            return Outputs(self.network(crops).float().cpu(), None)

    def probabilities(self, pixels: Pixels | Sequence[Pixels]) -> Tensor:
        """(N, size, size, channels) uint8 -> (N, classes) float32.

        Each photo's sum is 1: the softmax of the logits, divided by the temperature where there
        is one.  Of photos that can have several labels, each class's own: the sigmoid.
        """
        return self.calibrated(self.outputs(pixels).logits)

    def calibrated(self, logits: Tensor) -> Tensor:
        """(N, classes) logits -> (N, classes) probabilities."""
        if self.multi:
            return logits.sigmoid()
        return (self.calibration or Calibration()).probabilities(logits)

    def uncalibrated(self, logits: Tensor) -> Tensor:
        """The same without the temperature."""
        return logits.sigmoid() if self.multi else logits.softmax(1)

    def predict(
        self, sources: Iterable[Source], top: int = 5, batch: int = 32, workers: int = 2
    ) -> Iterator[Prediction]:
        """A prediction a photo, in order; one that cannot be read has `error` set.

        Sources are paths, bytes, arrays or Pillow images, decoded and preprocessed as in
        training, in `workers` threads; they are read a few batches ahead of the network, so an
        endless iterable is fine.  Raises UsageError for a single path, whose letters would be
        taken for paths.
        """
        return predictions(sources, self.view, lambda seen: self.judge(seen, top), batch, workers)

    def view(self, source: Source) -> Pixels:
        """What the network sees of a photo: (size, size, channels).  Raises ImageError."""
        return load_view(source, self.preprocessing)

    def judge(self, pixels: Pixels | Sequence[Pixels], top: int) -> Iterator[Prediction]:
        """A prediction, yet without its path, for each of (N, size, size, channels) crops."""
        outputs = self.outputs(pixels)
        unknown = (self.calibration or Calibration()).unknown
        answers = Answers(
            self.classes,
            unknown.threshold if unknown else None,
            self.threshold if self.multi else None,
        )
        scores = unknown.scores(outputs).numpy() if unknown else None
        yield from answers.of(self.calibrated(outputs.logits).numpy(), scores, top)


def read_calibration(
    header: Mapping[str, Any], tensors: dict[str, Tensor], network: Network
) -> Calibration | None:
    """A model file's calibration; takes its tensors out of the network's.

    Raises ValueError and the like for one that cannot be used with the network.
    """
    numbers = {
        name.removeprefix(PREFIX): tensors.pop(name)
        for name in sorted(tensors)
        if name.startswith(PREFIX)
    }
    value = header.get("calibration")
    if value is None:
        return None
    calibration = Calibration.from_json(value, numbers)
    if calibration.unknown:
        widths = network.summary_widths if isinstance(network, GoogLeNet) else ()
        calibration.unknown.check(widths)
    return calibration


def load_foreign(source: Path) -> Classifier:
    """`weights.load.load_foreign`, imported when first needed: it imports this module."""
    from googlenet.weights import source as weights_source

    return weights_source.load_foreign(source)


def require_weights(source: str | Path, name: str) -> None:
    """Raises UsageError where `name` is nothing, or an exported file, which is for its engine."""
    from googlenet.inference.exported_format import exported_kind
    from googlenet.weights.registry import KNOWN, no_such_file

    if not model_path(source).exists() and str(source) not in KNOWN:
        raise no_such_file(name, source)
    if exported_kind(model_path(source)) is not None:
        raise UsageError(f"{name} must be a model file, got {source}, an exported one")


def load_exported(path: Path, machine: ComputeDevice, engine: str | None) -> Classifier | None:
    """`deploy.load.load_exported`, imported when first needed: it imports this module."""
    from googlenet.inference import engine_classifier

    return engine_classifier.load_exported(path, machine, engine)


def with_engine(classifier: Classifier, machine: ComputeDevice, engine: str) -> Classifier:
    """`deploy.load.with_engine`, imported when first needed."""
    from googlenet.inference import engine_classifier

    return engine_classifier.with_engine(classifier, machine, engine)


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
