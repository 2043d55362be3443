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
from safetensors.torch import save
from torch import Tensor

from googlenet.errors import GoogLeNetError, UsageError
from googlenet.files import write_atomically

FORMAT = 1
KEY = "googlenet"


class ModelFileError(GoogLeNetError):
    """A file that is not a model of ours, or not one that this version reads."""


def write_model_file(path: Path, tensors: Mapping[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and header atomically.  Raises GoogLeNetError where that fails."""
    write_tensors(path, tensors, {KEY: json.dumps({"format": FORMAT} | header)})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically.  Raises GoogLeNetError where that fails."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Not `save_file`, whose files only their owner may read and whose errors are its own.
    content = save(plain, metadata)

    def write(target: Path) -> None:
        target.write_bytes(content)

    write_atomically(path, write)


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
    return read_metadata(path, KEY, "model")


def read_metadata(path: Path, key: str, kind: str) -> dict[str, Any]:
    """The JSON value under a key of a safetensors file's metadata, of the format we know."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: is not a complete safetensors file ({error})") from error
    if key not in metadata:
        raise ModelFileError(f"{path}: has no {key!r} metadata, so it is no {kind} of this program")
    return parse_header(path, metadata[key], key)


def parse_header(path: Path, text: str, key: str = KEY) -> dict[str, Any]:
    """The header from its JSON text.  Raises ModelFileError for one of a format we do not know."""
    try:
        header = json.loads(text)
        version = header["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{path}: its {key!r} metadata is damaged ({error})") from error
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
