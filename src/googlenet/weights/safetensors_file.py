"""A `.safetensors` file under anybody's names."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from googlenet.inference.model_file import check_digest, opened
from googlenet.weights.weight_file import WeightFile, WeightFileError, keep

# Its first eight bytes are the length of a JSON header: a few hundred tensors, a thousand classes.
MAX_HEADER_BYTES = 8 << 20


def read_safetensors(path: Path, data: memoryview) -> WeightFile:
    """Every tensor, by its name in the file."""
    header = int.from_bytes(data[:8], "little")
    if header > MAX_HEADER_BYTES:
        raise WeightFileError(
            f"a safetensors header may have {MAX_HEADER_BYTES:,} bytes, this declares {header:,}"
        )
    tensors: dict[str, Tensor] = {}
    try:
        with opened(path) as file:
            for name in file.keys():  # noqa: SIM118 - not a mapping
                keep(tensors, name, file.get_tensor(name))
            metadata = dict(file.metadata() or {})
    except (SafetensorError, RecursionError, ValueError) as error:
        raise WeightFileError(f"is not a complete safetensors file ({error})") from error
    check_digest(tensors, metadata, path)  # where it was written by us
    return WeightFile("safetensors file", tensors, metadata=metadata)
