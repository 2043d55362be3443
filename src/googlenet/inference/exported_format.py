"""Files that `googlenet export` wrote, told by their content; nothing of another engine needed."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path

from googlenet.inference.model_file import KEY
from googlenet.weights.protobuf import Message
from googlenet.weights.weight_file import WeightFileError, map_file

METADATA = 14  # metadata_props of an ONNX ModelProto: messages of a key and a value
# What a damaged archive raises: also EOFError, and RuntimeError for what says it is encrypted.
ZIP_ERRORS = (
    EOFError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
PT2_HEADER = f"/extra/{KEY}"


def exported_kind(path: Path) -> str | None:
    """ "onnx", "openvino" or "torch" for an exported file of ours, None for any other."""
    try:
        with path.open("rb") as file:
            start = file.read(256)
        if start.lstrip().startswith((b"<?xml", b"<net ")):
            return "openvino" if b"<net " in start else None
        if start.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(path) as archive:
                return "torch" if pt2_header(archive) else None
        # An ONNX file begins with its ir_version; a Caffe file with a name, a TensorFlow graph
        # with its nodes.
        return "onnx" if start[:1] == b"\x08" and onnx_header(path) else None
    except (WeightFileError, *ZIP_ERRORS):
        return None


def onnx_header(path: Path) -> str | None:
    """The JSON text of our header in an ONNX file's metadata."""
    for entry in Message(map_file(path)).messages(METADATA):
        if entry.text(1) == KEY:
            return entry.text(2)
    return None


def pt2_header(archive: zipfile.ZipFile) -> str | None:
    """The name of the archive's entry that holds our header."""
    return next((name for name in archive.namelist() if name.endswith(PT2_HEADER)), None)
