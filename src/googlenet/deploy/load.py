"""Classifiers that another engine computes: exported files, and model files with `--engine`."""

from __future__ import annotations

import base64
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn

from googlenet.calibration import Calibration, Outputs
from googlenet.classifier import Classifier, Pixels
from googlenet.deploy.engines import ENGINES, Engine, OnnxRuntime, OpenVINO, choose, require
from googlenet.deploy.pt2 import read_pt2
from googlenet.deploy.recognise import exported_kind, onnx_header, pt2_header
from googlenet.errors import GoogLeNetError, UsageError
from googlenet.images.preprocess import Preprocessing
from googlenet.machine import Machine
from googlenet.modelfile import KEY, ModelFileError, parse_header
from googlenet.networks import Network

# Which engines run which kind of file; the first is the one that it was made for.
ABLE = {
    "onnx": ("onnxruntime", "openvino"),
    "openvino": ("openvino",),
    "torch": ("torch",),
}


class EngineNetwork(nn.Module):
    """An engine in the place of a network: (N, C, H, W) normalised -> (N, classes) logits."""

    heads: tuple[str, ...] = ()

    def __init__(self, engine: Engine, width: float = 1.0) -> None:
        super().__init__()
        self.engine, self.width = engine, width

    def forward(self, x: Tensor) -> Tensor:
        return self.engine.run(x.contiguous().numpy()).logits

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
            return self.engine.run(planes(np.asarray(pixels), self.preprocessing))
        found = [self.engine.run(photo) for photo in pixels]
        summaries = [each.summary for each in found if each.summary is not None]
        logits = torch.cat([each.logits for each in found])
        return Outputs(logits, torch.cat(summaries) if summaries else None)

    def crops(self, photo: Image.Image, views: int = 1) -> list[Pixels]:
        if not self.whole_photos:
            return super().crops(photo, views)
        if views != 1:
            raise UsageError(
                f"views must be 1 for a file with its preprocessing built in, got {views}"
            )
        return [np.asarray(photo)]


def planes(pixels: NDArray[np.uint8], p: Preprocessing) -> NDArray[np.float32]:
    """`Preprocessing.normalise`, to the bit, as NCHW arrays: (N, H, W, C) -> (N, C, H, W).

    A channel at a time: several times as fast as three neighbouring numbers at a time.
    """
    n, height, width, channels = pixels.shape
    out = np.empty((n, channels, height, width), np.float32)
    for c in range(channels):
        np.subtract(pixels[..., c], np.float32(p.mean[c]), out=out[:, c])
        np.multiply(out[:, c], np.float32(p.scale[c]), out=out[:, c])
    return out


def load_exported(path: Path, machine: Machine, engine: str | None) -> Classifier | None:
    """The classifier in a file that `googlenet export` wrote, None for any other file.

    Raises GoogLeNetError for a file that is damaged or whose engine is missing, UsageError for
    an engine that does not run files of this kind.
    """
    kind = exported_kind(path)
    if kind is None:
        return None
    able = ABLE[kind]
    name = choose(engine or able[0], able)
    header = parse_header(path, header_text(path, kind))
    try:
        form = header["export"]
        calibration = read_calibration(header)
        if kind == "torch":
            found = read_pt2(path, header, machine)
            found.calibration = calibration
            return found
        running = start(path, name, str(form["precision"]))
        network = EngineNetwork(running, float(header.get("width", 1)))
        exported = EngineClassifier.described(header, cast(Network, network))
    except ModelFileError:
        raise
    except (
        AttributeError, GoogLeNetError, KeyError, TypeError, ValueError, RuntimeError,
        SafetensorError,
    ) as error:  # fmt: skip
        raise ModelFileError(f"{path}: its header cannot be used ({error})") from error
    exported.calibration = calibration
    exported.whole_photos = form.get("input") == "photo"
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


def start(model: Path | bytes, name: str, precision: str) -> Engine:
    """A running engine.  Raises GoogLeNetError where it refuses the model."""
    try:
        if name == "onnxruntime":
            return OnnxRuntime(model, precision)
        return OpenVINO(model, precision)
    except GoogLeNetError:
        raise
    except Exception as error:  # each engine has its own kinds, down to plain RuntimeError
        where = model if isinstance(model, Path) else "the model"
        reason = " ".join(str(error).split())[:300]
        raise ModelFileError(f"{where}: {name} cannot run it ({reason})") from error


def header_text(path: Path, kind: str) -> str:
    """The JSON text of our header.  Raises ModelFileError where there is none."""
    text: str | None = None
    if kind == "onnx":
        text = onnx_header(path)
    elif kind == "torch":
        text = pt2_text(path)
    else:
        text = openvino_header(path)
    if text is None:
        raise ModelFileError(f"{path}: has no {KEY!r} metadata, so it is no model of this program")
    return text


def pt2_text(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(str(pt2_header(archive))).decode("utf-8", "replace")
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelFileError(f"{path}: is no complete .pt2 file of ours ({error})") from error


def openvino_header(path: Path) -> str | None:
    require("openvino")
    import openvino

    try:
        model = openvino.Core().read_model(str(path))
        return str(model.get_rt_info(KEY).value) if model.has_rt_info(KEY) else None
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelFileError(f"{path}: OpenVINO cannot read it ({reason})") from error


def with_engine(classifier: Classifier, machine: Machine, engine: str) -> Classifier:
    """The same classifier, computed by the engine of that name, or by the fastest for "auto".

    The classifier itself where that is PyTorch.
    Raises UsageError for a name that does not exist, GoogLeNetError for what is not installed.
    """
    precision = "bf16" if machine.bf16 else "fp32"
    able = ENGINES
    if engine == "auto" and not find_spec("onnx"):
        able = ("torch",)
    elif engine == "auto" and precision == "bf16":
        able = ("openvino", "torch")
    name = choose(engine, able)
    if name == "torch":
        return classifier
    require("onnx")
    from googlenet.deploy.onnx_graph import network_model

    if name == "onnxruntime" and precision == "bf16":
        raise UsageError("precision must be fp32 with the engine onnxruntime, got bf16")
    model = network_model(classifier.network, classifier.preprocessing.size)
    found = EngineClassifier.around(classifier, start(model.SerializeToString(), name, precision))
    found.machine = machine
    return found
