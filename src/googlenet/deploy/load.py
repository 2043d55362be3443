"""Classifiers that another engine computes: exported files, and model files with `--engine`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from googlenet.classifier import Classifier
from googlenet.deploy.engines import Engine, OnnxRuntime, OpenVINO, choose, require
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
        return torch.from_numpy(self.engine.run(x.contiguous().numpy()))

    def drop_heads(self) -> None:
        """Nothing to do: what an engine runs has no auxiliary heads."""

    def tap(self, *_names: str) -> Any:
        raise GoogLeNetError(
            "an exported network cannot be looked into: use the model file that it came from"
        )


class EngineClassifier(Classifier):
    """A classifier whose logits an engine computes.

    `whole_photos`: the preprocessing is part of what the engine runs, which takes a photo of any
    size; there is then one view, the preprocessing's.
    """

    whole_photos: bool = False

    @classmethod
    def around(cls, header: Mapping[str, Any], engine: Engine) -> Self:
        """The classifier that a header describes, computed by the engine."""
        network = EngineNetwork(engine, float(header.get("width", 1)))
        return cls.described(header, cast(Network, network))

    @property
    def engine(self) -> Engine:
        return cast(EngineNetwork, self.network).engine

    @torch.inference_mode()
    def logits(self, crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> Tensor:
        if self.whole_photos:
            return torch.from_numpy(np.concatenate([self.engine.run(photo) for photo in crops]))
        return torch.from_numpy(self.engine.run(planes(np.asarray(crops), self.preprocessing)))

    def crops(self, photo: Image.Image, views: int = 1) -> list[NDArray[np.uint8]]:
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
    if kind == "torch":
        return read_pt2(path, header, machine)
    form = export_form(path, header)
    running = start(runnable(path, name, header, form), name, str(form["precision"]))
    try:
        found = EngineClassifier.around(header, running)
    except (GoogLeNetError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: its header cannot be used ({error})") from error
    found.whole_photos = form.get("input") == "photo"
    return found


def export_form(path: Path, header: Mapping[str, Any]) -> dict[str, Any]:
    """What the header says of the export itself: format, precision, input."""
    form = header.get("export")
    if not isinstance(form, dict) or not {"precision", "format"} <= set(form):
        raise ModelFileError(f"{path}: its header must say how it was exported, says nothing")
    return form


def runnable(path: Path, name: str, header: Mapping[str, Any], form: Mapping[str, Any]) -> Any:
    """What the engine is given: the file, or a model made of it.

    OpenVINO reads an ONNX file's antialiased Resize as a plain one; this puts it right.
    """
    if name != "openvino" or form["format"] != "onnx" or form.get("input") != "photo":
        return path
    import openvino

    from googlenet.deploy.openvino_model import pillow_resize

    model = openvino.Core().read_model(str(path))
    pillow_resize(model, Preprocessing.from_json(header["preprocessing"]).interpolation)
    return model


def start(model: Any, name: str, precision: str) -> Engine:
    """A running engine.  Raises GoogLeNetError where it refuses the model."""
    where = model if isinstance(model, Path) else "the model"
    try:
        if name == "onnxruntime":
            return OnnxRuntime(model, precision)
        return OpenVINO(model, precision)
    except GoogLeNetError:
        raise
    except Exception as error:  # each engine has its own kinds, down to plain RuntimeError
        reason = " ".join(str(error).split())[:300]
        raise ModelFileError(f"{where}: {name} cannot run it ({reason})") from error


def header_text(path: Path, kind: str) -> str:
    """The JSON text of our header.  Raises ModelFileError where there is none."""
    text: str | None = None
    if kind == "onnx":
        text = onnx_header(path)
    elif kind == "torch":
        with zipfile.ZipFile(path) as archive:
            text = archive.read(str(pt2_header(archive))).decode("utf-8", "replace")
    else:
        text = openvino_header(path)
    if text is None:
        raise ModelFileError(f"{path}: has no {KEY!r} metadata, so it is no model of this program")
    return text


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

    Raises UsageError for a name that does not exist, GoogLeNetError for what is not installed.
    """
    name = choose(engine)
    if name == "torch":
        return classifier
    require("onnx")
    from googlenet.deploy.onnx_graph import network_model

    model = network_model(classifier.network, classifier.preprocessing.size)
    precision = "bf16" if machine.bf16 else "fp32"
    if name == "onnxruntime" and precision == "bf16":
        raise UsageError("precision must be fp32 with the engine onnxruntime, got bf16")
    running = start(model.SerializeToString(), name, precision)
    found = EngineClassifier.around(classifier.header(), running)
    found.machine = machine
    return found
