"""The model file: a `.safetensors` whose header says everything that predicting needs.

The header's metadata holds one JSON value under the key `googlenet`; nothing in it runs.
docs/model-file.md describes every key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from googlenet.errors import GoogLeNetError, UsageError
from googlenet.files import write_atomically

FORMAT = 1
KEY = "googlenet"


class ModelFileError(GoogLeNetError):
    """A file that is not a model of ours, or not one that this version reads."""


def write_model_file(path: Path, tensors: Mapping[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and header atomically.  Raises GoogLeNetError where that fails."""
    metadata = {KEY: json.dumps({"format": FORMAT} | header, ensure_ascii=False)}
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, lambda target: save_file(plain, target, metadata))


def is_model_file(path: Path) -> bool:
    """Whether this is a safetensors file with our header, be the header itself good or bad."""
    try:
        with safe_open(path, framework="pt") as file:
            return KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read_header(path: Path) -> dict[str, Any]:
    """The JSON value of a model file's header, without reading its tensors."""
    if not path.is_file():
        raise UsageError(f"MODEL must be a model file or a run folder, got {path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: is not a complete safetensors file ({error})") from error
    if KEY not in metadata:
        raise ModelFileError(f"{path}: has no {KEY!r} metadata, so it is no model of this program")
    try:
        header = json.loads(metadata[KEY])
        version = header["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{path}: its {KEY!r} metadata is damaged ({error})") from error
    if version != FORMAT:
        raise ModelFileError(
            f"{path}: is of format {version!r}, this version reads format {FORMAT}: "
            "a newer googlenet may read it"
        )
    return dict(header)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, on the CPU."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: is not a complete safetensors file ({error})") from error
