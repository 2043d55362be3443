"""What every reader makes of a file: its tensors by the names that it gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from googlenet.models.table import LRN
from googlenet.runtime.errors import ModelFileError

if TYPE_CHECKING:  # what is told by its content alone needs no PyTorch
    from torch import Tensor

# Five times the largest published file, the Caffe model with both auxiliary heads.
MAX_BYTES = 256 << 20
MAX_TENSORS = 10_000  # torchvision's file has a few hundred
MAX_DIMENSIONS = 8


class WeightFileError(ModelFileError):
    """A weight file that cannot be used; the message says why in one sentence."""


@dataclass(frozen=True)
class WeightFile:
    """A file's tensors, in its own names and layout.

    unread: what else it holds, by name, and why it was not read.
    lrn: the local response normalizations of its graph, where it holds one.
    metadata: free text that the file says of itself (safetensors).
    """

    format: str
    tensors: dict[str, Tensor]
    unread: dict[str, str] = field(default_factory=dict)
    lrn: tuple[LRN, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)


def check_size(data: memoryview) -> memoryview:
    """The file's bytes.  Raises WeightFileError for an empty or very large file."""
    if len(data) > MAX_BYTES:
        raise WeightFileError(f"a weight file may have {MAX_BYTES:,} bytes, this has {len(data):,}")
    if not data:
        raise WeightFileError("the file is empty")
    return data


def checked_shape(name: str, dims: Sequence[int]) -> tuple[int, ...]:
    """A declared shape, refused where no file could hold it."""
    if len(dims) > MAX_DIMENSIONS:
        raise WeightFileError(f"tensor {name!r} declares {len(dims):,} dimensions")
    shape = tuple(map(int, dims))
    if min(shape, default=0) < 0 or prod(shape) > MAX_BYTES:
        raise WeightFileError(f"tensor {name!r} declares the impossible shape {shape}")
    return shape


def tensor_of(name: str, values: NDArray[np.generic] | Tensor, dims: Sequence[int]) -> Tensor:
    """Values in a declared shape.  Raises WeightFileError where they are too few or too many."""
    import torch

    shape = checked_shape(name, dims)
    flat = values if isinstance(values, torch.Tensor) else torch.from_numpy(values)
    if flat.numel() != prod(shape):
        raise WeightFileError(
            f"tensor {name!r} declares {prod(shape):,} numbers in shape {shape}, "
            f"holds {flat.numel():,}"
        )
    return flat.reshape(shape)


def add_tensor(tensors: dict[str, Tensor], name: str, tensor: Tensor) -> None:
    """Add a tensor.  Raises WeightFileError for a second one of its name, or for too many."""
    if name in tensors:
        raise WeightFileError(f"holds the tensor {name!r} twice")
    if len(tensors) == MAX_TENSORS:
        raise WeightFileError(f"a file may have {MAX_TENSORS:,} tensors, this has more")
    tensors[name] = tensor


def from_bfloat16_bits(bits: NDArray[np.uint16]) -> Tensor:
    """Numbers from their bfloat16 bits, a type that NumPy lacks."""
    import torch

    return torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16)
