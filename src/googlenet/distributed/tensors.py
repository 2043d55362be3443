"""Tensors that all processes add up, or have from the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from googlenet.distributed.lost import meeting
from googlenet.distributed.place import count

if TYPE_CHECKING:
    from torch import Tensor


def added(values: Tensor) -> Tensor:
    """Sums over the processes, in place."""
    if count() > 1:
        from torch import distributed

        with meeting():
            distributed.all_reduce(values)
    return values


def add_up(tensors: Iterable[Tensor]) -> None:
    """Set each tensor, float32 on one device, to its sum over the processes, in one message."""
    if count() > 1:
        in_one(list(tensors), added)


def spread(tensors: Iterable[Tensor]) -> None:
    """Set each tensor to the first process's, in one message a type."""
    if count() == 1:
        return
    from torch import distributed

    def send(flat: Tensor) -> Tensor:
        with meeting():
            distributed.broadcast(flat, src=0)
        return flat

    by_type: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        by_type.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for group in by_type.values():
        in_one(group, send)


def in_one(tensors: list[Tensor], change: Callable[[Tensor], Tensor]) -> None:
    """Change tensors as if they were a single one, whatever their layouts in memory."""
    if not tensors:
        return
    import torch

    with torch.no_grad():
        flat = change(torch.cat([tensor.reshape(-1) for tensor in tensors]))
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))
