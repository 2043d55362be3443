"""The model file: a `.safetensors` whose header says everything that predicting needs.

The header's metadata holds one JSON value under the key `googlenet`; nothing in it runs.
docs/model-file.md describes every key.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.files import write_atomically

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
KEY = "googlenet"
DIGEST = "googlenet-sha256"  # of everything in the file that means something, by `digest`


class ModelFileError(GoogLeNetError):
    """A file that is not a model of ours, or not one that this version reads."""


def write_model_file(path: Path, tensors: Mapping[str, Tensor], header: dict[str, Any]) -> None:
    """Write tensors and header atomically.  Raises GoogLeNetError where that fails."""
    write_tensors(path, tensors, {KEY: json.dumps({"format": FORMAT} | header)})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically, with a digest of its contents.

    Raises GoogLeNetError where that fails.
    """
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Not `save_file`, whose files only their owner may read and whose errors are its own.
    content = save(plain, metadata | {DIGEST: digest(plain, metadata)})
    header, data = in_order(content)

    def write(target: Path) -> None:
        with target.open("wb") as file:
            file.write(header)
            file.write(data)

    write_atomically(path, write)


def in_order(content: bytes) -> tuple[bytes, memoryview]:
    """The header, its length before it, and the numbers of a safetensors file.

    The library writes the metadata in an order that it draws anew in each process; here the
    same contents give the same bytes.
    """
    size = int.from_bytes(content[:8], "little")
    found = json.loads(content[8 : 8 + size])
    found["__metadata__"] = dict(sorted(found["__metadata__"].items()))
    header = json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header, memoryview(content)[8 + size :]


def model_path(path: str | Path) -> Path:
    """The model file that a user means: the file itself, or the last one of a run folder."""
    path = Path(path)
    return path / "last.safetensors" if path.is_dir() else path


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The library's view of a safetensors file, also where its name is no text."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:  # which the library refuses
        with path.open("rb") as file, safe_open(f"/dev/fd/{file.fileno()}", framework="pt") as view:
            yield view
    else:
        with safe_open(path, framework="pt") as view:
            yield view


def is_model_file(path: Path) -> bool:
    """Whether this is a safetensors file with our header, be the header itself good or bad."""
    try:
        with opened(path) as file:
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
        with opened(path) as file:
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
    """Every tensor of a safetensors file, on the CPU.

    Raises ModelFileError for a file that is damaged: incomplete, or not what its digest says.
    """
    try:
        with opened(path) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: is not a complete safetensors file ({error})") from error
    check_digest(tensors, metadata, path)
    return tensors


def check_digest(tensors: Mapping[str, Tensor], metadata: dict[str, str], path: Path) -> None:
    """Raises ModelFileError for a file whose digest is not its contents'; many have none."""
    if DIGEST in metadata and metadata[DIGEST] != digest(tensors, metadata):
        raise ModelFileError(
            f"{path}: is damaged or was changed: its contents do not have the SHA-256 "
            "with which they were written"
        )


def digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of a file's metadata and tensors: names, types, shapes and numbers, in their order.

    A guard against damage, no signature: whoever changes a file can change its digest too.
    """
    from torch import uint8

    found = sha256()
    texts = {key: value for key, value in metadata.items() if key != DIGEST}
    shapes = {name: [str(t.dtype), list(t.shape)] for name, t in tensors.items()}
    found.update(json.dumps([texts, shapes], sort_keys=True).encode())
    for name in sorted(tensors):
        found.update(tensors[name].contiguous().flatten().view(uint8).numpy().data)
    return found.hexdigest()
