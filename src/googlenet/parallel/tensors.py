"""Collectives on tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from googlenet.parallel.peer_failure import collective
from googlenet.parallel.ranks import world_size

if TYPE_CHECKING:
    from torch import Tensor


def all_reduce(values: Tensor) -> Tensor:
    """Sum over the processes, in place."""
    if world_size() > 1:
        from torch import distributed

        with collective():
            distributed.all_reduce(values)
    return values


def all_reduce_coalesced_(tensors: Iterable[Tensor]) -> None:
    """Sum each tensor (float32, one device) over the processes, in place, in one message."""
    if world_size() > 1:
        coalesced(list(tensors), all_reduce)


def broadcast_(tensors: Iterable[Tensor]) -> None:
    """Set each tensor to rank 0's, in one message per dtype."""
    if world_size() == 1:
        return
    from torch import distributed

    def send(flat: Tensor) -> Tensor:
        with collective():
            distributed.broadcast(flat, src=0)
        return flat

    by_type: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        by_type.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for group in by_type.values():
        coalesced(group, send)


def coalesced(tensors: list[Tensor], change: Callable[[Tensor], Tensor]) -> None:
    """Apply `change` to the tensors as a single flat one, whatever their memory layouts."""
    if not tensors:
        return
    import torch

    with torch.no_grad():
        flat = change(torch.cat([tensor.reshape(-1) for tensor in tensors]))
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))
