"""A `.safetensors` file under anybody's names."""

from __future__ import annotations

from pathlib import Path

from googlenet.inference.model_file import read_safetensors
from googlenet.weights.weight_file import MAX_TENSORS, WeightFile, WeightFileError

# Its first eight bytes are the length of a JSON header: a few hundred tensors, a thousand classes.
MAX_HEADER_BYTES = 8 << 20


def read_named_tensors(path: Path, data: memoryview) -> WeightFile:
    """Every tensor, by its name in the file."""
    header = int.from_bytes(data[:8], "little")
    if header > MAX_HEADER_BYTES:
        raise WeightFileError(
            f"a safetensors header may have {MAX_HEADER_BYTES:,} bytes, this declares {header:,}"
        )
    tensors, metadata = read_safetensors(path, data)
    if len(tensors) > MAX_TENSORS:
        raise WeightFileError(f"a file may have {MAX_TENSORS:,} tensors, this has more")
    return WeightFile("safetensors file", tensors, metadata=metadata)
