"""Files that `googlenet export` wrote, told by their content.

Nothing here needs PyTorch, except the weights of its own kind of file.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from googlenet.inference.backends.base import Backend, refused, require, select_engine
from googlenet.inference.backends.onnxruntime import OnnxRuntimeBackend
from googlenet.inference.backends.openvino import OpenVINOBackend
from googlenet.inference.header import KEY, ModelHeader, header_errors, parse_metadata
from googlenet.runtime.errors import GoogLeNetError, ModelFileError
from googlenet.runtime.first_call import FIRST_CALL
from googlenet.runtime.protobuf import Message

ONNX_METADATA = 14  # metadata_props of a ModelProto: messages of a key and a value
PT2_HEADER = f"/extra/{KEY}"
# What a damaged archive raises: also EOFError, and RuntimeError for what says it is encrypted.
ZIP_ERRORS = (
    EOFError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
# Which engines run which format; the first is the one that it was made for.
SUPPORTED = {
    "onnx": ("onnxruntime", "openvino"),
    "openvino": ("openvino",),
    "torch": ("torch",),
}


@dataclass(frozen=True)
class ExportedFile:
    """An exported file and the engine that is to run it.

    model: what the engine reads: the path, or what OpenVINO has read of it.
    """

    path: Path
    format: str
    engine: str
    header: ModelHeader
    model: Any

    @property
    def export(self) -> Mapping[str, Any]:
        assert self.header.export is not None
        return self.header.export

    def facts(self) -> dict[str, Any]:
        """The header for a reader."""
        export = {key: fact for key, fact in self.export.items() if key != "unknown"}
        return {"parameters": self.header.parameters, **self.header.to_json(), "export": export}

    def start(self, streams: int = 1) -> Backend:
        """The engine at work, unless that is PyTorch.

        Raises ModelFileError if it refuses the file.
        """
        return start_engine(
            self.engine,
            self.model,
            str(self.export["precision"]),
            1 if self.header.takes_raw_image else streams,
            takes_raw_image=self.header.takes_raw_image,
            source=str(self.path),
        )


def start_engine(
    engine: str,
    model: Any,
    precision: str,
    streams: int = 1,
    *,
    takes_raw_image: bool = False,
    source: str = "the model",
) -> Backend:
    """ONNX Runtime or OpenVINO with a model.  Raises GoogLeNetError if it refuses the model."""
    kind: Callable[..., Backend] = (
        OnnxRuntimeBackend if engine == "onnxruntime" else OpenVINOBackend
    )
    try:
        return kind(model, precision, streams, takes_raw_image=takes_raw_image, source=source)
    except GoogLeNetError:
        raise
    except Exception as error:  # each engine has its own kinds, down to plain RuntimeError
        raise refused(source, engine, error) from error


def detect_format(data: memoryview) -> str | None:
    """ "onnx", "openvino" or "torch" for the bytes of a file of ours, None for any other."""
    start = bytes(data[:256])
    if start.lstrip().startswith((b"<?xml", b"<net ")):
        return "openvino" if b"<net " in start else None
    try:
        if start.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(BytesIO(data)) as archive:
                return "torch" if pt2_header(archive) else None
        # An ONNX file begins with its ir_version; a Caffe file with a name, a TensorFlow graph
        # with its nodes.
        return "onnx" if start[:1] == b"\x08" and onnx_header(data) else None
    except (ModelFileError, *ZIP_ERRORS):
        return None


def read_exported(path: Path, data: memoryview, engine: str | None = None) -> ExportedFile | None:
    """An exported file, None for any other.

    engine: a name, "auto", or None for the one that the file was made for.
    Raises GoogLeNetError for a file that is damaged or whose engine is missing, UsageError for
    an engine that does not run files of this format.
    """
    found = detect_format(data)
    if found is None:
        return None
    name = select_engine(engine or SUPPORTED[found][0], SUPPORTED[found])
    model: Any = path
    if found == "onnx":
        text = onnx_header(data)
    elif found == "torch":
        text = pt2_text(path, data)
    else:
        model, text = read_openvino(path)
    if text is None:
        raise ModelFileError(
            f"{path}: has no {KEY!r} metadata, so it is not a model of this program"
        )
    value = {"export": None} | parse_metadata(path, text)
    with header_errors(f"{path}: its header"):
        header = ModelHeader.from_json(value)
    return ExportedFile(path, found, name, header, model)


def onnx_header(data: memoryview) -> str | None:
    """The JSON text of our header in an ONNX file's metadata."""
    for entry in Message(data).messages(ONNX_METADATA):
        if entry.text(1) == KEY:
            return entry.text(2)
    return None


def pt2_header(archive: zipfile.ZipFile) -> str | None:
    """The name of the archive's entry that holds our header."""
    return next((name for name in archive.namelist() if name.endswith(PT2_HEADER)), None)


def pt2_text(path: Path, data: memoryview) -> str:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return archive.read(str(pt2_header(archive))).decode("utf-8", "replace")
    except (*ZIP_ERRORS, KeyError) as error:
        raise ModelFileError(
            f"{path}: is not a complete .pt2 file of this program ({error})"
        ) from error


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
