"""Exported files: what they say of themselves, and the engine at work.  PyTorch is not needed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from googlenet.images.preprocess import Preprocessing
from googlenet.inference.engines import Engine, OnnxRuntime, OpenVINO, choose, require
from googlenet.inference.exported_format import ZIP_ERRORS, exported_kind, onnx_header, pt2_header
from googlenet.inference.model_file import KEY, ModelFileError, parse_header
from googlenet.models.cost import network_cost
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.first_call import FIRST_CALL

# Which engines run which kind of file; the first is the one that it was made for.
ABLE = {
    "onnx": ("onnxruntime", "openvino"),
    "openvino": ("openvino",),
    "torch": ("torch",),
}


@dataclass(frozen=True)
class Exported:
    """A file that `googlenet export` wrote, its header, and the engine that is to run it.

    model: what the engine reads: the path, or what OpenVINO has read of it.
    """

    path: Path
    kind: str
    engine: str
    header: Mapping[str, Any]
    model: Any

    @property
    def whole_photos(self) -> bool:
        """Whether it takes one photo of any size: its preprocessing is built in."""
        return bool(self.header["export"].get("input") == "photo")

    def facts(self) -> dict[str, Any]:
        """The header for a reader.  Raises ModelFileError for one that cannot be used."""
        header = dict(self.header)
        try:
            preprocessing = Preprocessing.from_json(header["preprocessing"])
            cost = network_cost(
                header["variant"], preprocessing.size, len(header["classes"]),
                preprocessing.channels, float(header.get("width", 1)),
            )  # fmt: skip
            export = {key: value for key, value in header["export"].items() if key != "unknown"}
        except (AttributeError, GoogLeNetError, KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{self.path}: its header cannot be used ({error})") from error
        header.pop("format", None)
        return {"parameters": cost.total.params} | header | {"export": export}

    def start(self, streams: int = 1) -> Engine:
        precision = str(self.header["export"]["precision"])
        return start(self.model, self.engine, precision, streams, str(self.path))


def read_exported(path: Path, engine: str | None) -> Exported | None:
    """An exported file, None for any other.

    Raises GoogLeNetError for a file that is damaged or whose engine is missing, UsageError for
    an engine that does not run files of this kind.
    """
    kind = exported_kind(path)
    if kind is None:
        return None
    name = choose(engine or ABLE[kind][0], ABLE[kind])
    model: Any = path
    if kind == "onnx":
        text = onnx_header(path)
    elif kind == "torch":
        text = pt2_text(path)
    else:
        model, text = read_openvino(path)
    if text is None:
        raise ModelFileError(f"{path}: has no {KEY!r} metadata, so it is no model of this program")
    header = parse_header(path, text)
    export = header.get("export")
    if not isinstance(export, dict) or not isinstance(export.get("precision"), str):
        raise ModelFileError(
            f"{path}: its header cannot be used (export must be an object with a precision, "
            f"is {export!r})"
        )
    return Exported(path, kind, name, header, model)


def pt2_text(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(str(pt2_header(archive))).decode("utf-8", "replace")
    except (*ZIP_ERRORS, KeyError) as error:
        raise ModelFileError(f"{path}: is no complete .pt2 file of ours ({error})") from error


def read_openvino(path: Path) -> tuple[Any, str | None]:
    """The model, and the JSON text of its header."""
    require("openvino")
    import openvino

    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise ModelFileError(
            f"{path}: its weights must be beside it, in {weights.name}, which is not there"
        )
    try:
        with FIRST_CALL:
            model = openvino.Core().read_model(str(path))
            return model, str(model.get_rt_info(KEY).value) if model.has_rt_info(KEY) else None
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelFileError(f"{path}: OpenVINO cannot read it ({reason})") from error


def start(
    model: Any, name: str, precision: str, streams: int = 1, called: str = "the model"
) -> Engine:
    """A running engine.  Raises GoogLeNetError where it refuses the model."""
    try:
        if name == "onnxruntime":
            return OnnxRuntime(model, precision, streams)
        return OpenVINO(model, precision, streams)
    except GoogLeNetError:
        raise
    except Exception as error:  # each engine has its own kinds, down to plain RuntimeError
        raise refused(called, name, error) from error


def refused(called: object, name: str, error: Exception) -> ModelFileError:
    """What to say of a model that the engine of that name does not run."""
    reason = " ".join(str(error).split())[:300]
    return ModelFileError(f"{called}: {name} cannot run it ({reason})")
