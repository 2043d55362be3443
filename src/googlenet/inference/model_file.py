"""The model file: a `.safetensors` whose header says everything that predicting needs.

The header's metadata holds one JSON value under the key `googlenet`; nothing in it runs.
docs/model-file.md describes every key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from googlenet.inference.calibration import PREFIX
from googlenet.inference.header import FORMAT, KEY, ModelHeader, parse_header, parse_metadata
from googlenet.runtime.errors import ModelFileError, UsageError
from googlenet.runtime.files import map_file, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

DETECTOR_KEY = "googlenet-detector"  # in place of KEY, in a file that `detect train` wrote
DIGEST = "googlenet-sha256"  # of everything in the file that means something, by `digest`


def write_model_file(path: Path, header: ModelHeader, tensors: Mapping[str, Tensor]) -> None:
    """Write header and tensors atomically.  Raises GoogLeNetError if that fails."""
    import torch

    ood = header.calibration and header.calibration.ood
    ood_tensors = {PREFIX + k: torch.from_numpy(t) for k, t in ood.tensors.items()} if ood else {}
    value = {"format": FORMAT} | header.to_json()
    write_tensors(path, {**tensors, **ood_tensors}, {KEY: json.dumps(value)})


def read_model_file(path: Path, data: memoryview) -> tuple[ModelHeader, dict[str, Tensor]]:
    """The header and the network's tensors in the bytes of a model file.

    Raises ModelFileError, which names `path`, for a file that is damaged.
    """
    tensors, metadata = read_safetensors(path, data)
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith(PREFIX)}
    ood_tensors = {
        name.removeprefix(PREFIX): tensors[name].numpy()
        for name in sorted(tensors.keys() - own.keys())
    }
    return parse_header(path, model_text(path, metadata), ood_tensors), own


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically, with a digest of its contents.

    Raises GoogLeNetError where that fails.
    """
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Not `save_file`, whose files only their owner may read and whose errors are its own.
    content = save(plain, metadata | {DIGEST: digest(plain, metadata)})
    header, data = with_sorted_metadata(content)

    def write(target: Path) -> None:
        with target.open("wb") as file:
            file.write(header)
            file.write(data)

    write_atomically(path, write)


def with_sorted_metadata(content: bytes) -> tuple[bytes, memoryview]:
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


def is_model_file(data: memoryview, key: str = KEY) -> bool:
    """Whether these are the bytes of a safetensors file with our header, good or damaged."""
    try:
        return key in read_header_json(data).get("__metadata__", {})
    except (ValueError, TypeError, AttributeError, RecursionError):
        return False


def read_header_json(data: memoryview) -> dict[str, Any]:
    """The header of a safetensors file.  Raises ValueError and the like for any other bytes."""
    size = int.from_bytes(data[:8], "little")
    if not 2 <= size <= len(data) - 8:
        raise ValueError(f"its header declares {size:,} bytes")
    return dict(json.loads(bytes(data[8 : 8 + size])))


def read_header(path: Path) -> dict[str, Any]:
    """The JSON value of a model file's header, without reading its tensors."""
    if not path.is_file():
        raise UsageError(f"MODEL must be a model file or a run folder, got {path}: no such file")
    data = map_file(path)
    try:
        header = read_header_json(data)
        metadata = dict(header.pop("__metadata__", {}))
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if 8 + int.from_bytes(data[:8], "little") + end != len(data):
            raise ValueError("its length is not the one that it declares")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise incomplete(path, error) from error
    return parse_metadata(path, model_text(path, metadata))


def model_text(path: Path, metadata: Mapping[str, str], key: str = KEY, kind: str = "model") -> str:
    """The text under our key.  Raises ModelFileError if there is none."""
    if key not in metadata:
        raise ModelFileError(
            f"{path}: has no {key!r} metadata, so it is not a {kind} of this program"
        )
    return metadata[key]


def read_safetensors(
    path: Path, data: memoryview | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Every tensor of a safetensors file, on the CPU, and its metadata.

    data: the file's bytes, if it is open already.  Raises ModelFileError for a file that is
    damaged: incomplete, or not what its digest says.
    """
    from safetensors.torch import load

    try:
        data = map_file(path) if data is None else data
        tensors = load(bytes(data))
        metadata = dict(read_header_json(data).get("__metadata__", {}))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise incomplete(path, error) from error
    check_digest(tensors, metadata, path)
    return tensors, metadata


def incomplete(path: Path, error: Exception) -> ModelFileError:
    return ModelFileError(f"{path}: is not a complete safetensors file ({error})")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, as `read_safetensors`."""
    return read_safetensors(path)[0]


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
