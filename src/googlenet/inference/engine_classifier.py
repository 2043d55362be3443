"""Classifiers that another engine computes: exported files, and model files with `--engine`."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from googlenet.export.torch_program import read_pt2
from googlenet.images.decode import Source
from googlenet.images.turbo_jpeg import DecodedImage, load_image
from googlenet.images.view import to_nchw
from googlenet.inference.calibration import Calibration, Outputs
from googlenet.inference.classifier import Classifier
from googlenet.inference.engines import ENGINES, Engine, Found, choose, require
from googlenet.inference.exported_file import read_exported, start
from googlenet.inference.model_file import ModelFileError
from googlenet.inference.prediction import Pixels
from googlenet.models.registry import Network
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.errors import GoogLeNetError, UsageError


class EngineNetwork(nn.Module):
    """An engine in the place of a network: (N, C, H, W) normalised -> (N, classes) logits."""

    heads: tuple[str, ...] = ()

    def __init__(self, engine: Engine, width: float = 1.0) -> None:
        super().__init__()
        self.engine, self.width = engine, width

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.engine.run(x.contiguous().numpy()).logits)

    def drop_heads(self) -> None:
        """Nothing to do: what an engine runs has no auxiliary heads."""

    def tap(self, *_names: str) -> Any:
        raise GoogLeNetError(
            "an exported network cannot be looked into: use the model file that it came from"
        )


class EngineClassifier(Classifier):
    """A classifier whose outputs an engine computes.

    `whole_photos`: the preprocessing is part of what the engine runs, which takes a photo of any
    size; there is then one view, the preprocessing's.
    """

    whole_photos: bool = False

    @classmethod
    def around(cls, classifier: Classifier, engine: Engine) -> Self:
        """The same classifier, computed by the engine."""
        found = cls(**{f.name: getattr(classifier, f.name) for f in fields(Classifier)})
        found.network = cast(Network, EngineNetwork(engine, classifier.network.width))
        return found

    @property
    def engine(self) -> Engine:
        return cast(EngineNetwork, self.network).engine

    def outputs(self, pixels: Pixels | Sequence[Pixels]) -> Outputs:
        if not self.whole_photos:
            return outputs_of([self.engine.run(to_nchw(pixels, self.preprocessing))])
        return outputs_of([self.engine.run(photo) for photo in pixels])

    def view(self, source: Source) -> Pixels:
        return np.asarray(load_image(source)) if self.whole_photos else super().view(source)

    def crops(self, image: DecodedImage, views: int = 1) -> list[Pixels]:
        if not self.whole_photos:
            return super().crops(image, views)
        if views != 1:
            raise UsageError(
                f"views must be 1 for a file with its preprocessing built in, got {views}"
            )
        return [np.asarray(image)]


def outputs_of(parts: Sequence[Found]) -> Outputs:
    """What an engine found, as tensors."""
    logits = torch.from_numpy(np.concatenate([part.logits for part in parts]))
    summaries = [part.summary for part in parts if part.summary is not None]
    return Outputs(logits, torch.from_numpy(np.concatenate(summaries)) if summaries else None)


def load_exported(path: Path, machine: ComputeDevice, engine: str | None) -> Classifier | None:
    """The classifier in a file that `googlenet export` wrote, None for any other file.

    Raises GoogLeNetError for a file that is damaged or whose engine is missing, UsageError for
    an engine that does not run files of this kind.
    """
    file = read_exported(path, engine)
    if file is None:
        return None
    header = file.header
    try:
        calibration = read_calibration(header)
        if file.kind == "torch":
            found = read_pt2(path, header, machine)
            found.calibration = calibration
            return found
        network = EngineNetwork(file.start(), float(header.get("width", 1)))
        exported = EngineClassifier.described(header, cast(Network, network))
        exported.whole_photos = file.whole_photos
    except ModelFileError:
        raise
    except (
        AttributeError, GoogLeNetError, KeyError, TypeError, ValueError, RuntimeError,
        SafetensorError,
    ) as error:  # fmt: skip
        raise ModelFileError(f"{path}: its header cannot be used ({error})") from error
    exported.calibration = calibration
    return exported


def read_calibration(header: Mapping[str, Any]) -> Calibration | None:
    """The calibration in an exported file's header, with the tensors of its score."""
    value = header.get("calibration")
    if value is None:
        return None
    packed = header["export"].get("unknown") or ""
    numbers = safetensors.torch.load(base64.b64decode(packed)) if packed else {}
    return Calibration.from_json(value, numbers)


def packed_numbers(classifier: Classifier) -> str | None:
    """The tensors of the score for unknown photos, as text for a header."""
    unknown = classifier.calibration and classifier.calibration.unknown
    if not unknown or not unknown.numbers:
        return None
    return base64.b64encode(safetensors.torch.save(dict(unknown.numbers))).decode()


def with_engine(classifier: Classifier, machine: ComputeDevice, engine: str) -> Classifier:
    """The same classifier, computed by the engine of that name, or by the fastest for "auto".

    The classifier itself where that is PyTorch.
    Raises UsageError for a name that does not exist, GoogLeNetError for what is not installed.
    """
    precision = "bf16" if machine.bf16 else "fp32"
    able: tuple[str, ...] = ENGINES
    if engine == "auto" and not find_spec("onnx"):
        able = ("torch",)
    elif engine == "auto" and precision == "bf16":
        able = ("openvino", "torch")
    name = choose(engine, able)
    if name == "torch":
        return classifier
    require("onnx")
    from googlenet.export.onnx_graph import network_model

    if name == "onnxruntime" and precision == "bf16":
        raise UsageError("precision must be fp32 with the engine onnxruntime, got bf16")
    model = network_model(classifier.network, classifier.preprocessing.size)
    found = EngineClassifier.around(classifier, start(model.SerializeToString(), name, precision))
    found.machine = machine
    return found
