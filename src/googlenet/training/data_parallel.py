"""Data-parallel training: what the processes exchange at each step.

Each process trains on its shard of the batch.  The gradient is that of the mean loss over the
global batch, even if shards differ in size: each process divides its summed loss by the global
denominator, and the gradients are all-reduced (summed).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from googlenet import parallel
from googlenet.data.loader import Batch
from googlenet.runtime.errors import GoogLeNetError


@dataclass(frozen=True)
class GlobalBatch:
    """A step's batch over all processes: its size, and its loss denominator, () or (classes,)."""

    size: int
    loss_denominator: Tensor


@dataclass(frozen=True)
class BatchShard(Batch):
    """One process's part of a global batch; it may be empty.

    `unreadable` has the unreadable images of all processes.
    """

    global_batch: GlobalBatch = field(kw_only=True)


def global_batch_size(batch: Batch) -> int:
    """Images in a step, over all processes."""
    return batch.global_batch.size if isinstance(batch, BatchShard) else len(batch)


def synchronized_batches(
    batches: Iterator[Batch], loss_denominator: Callable[[Batch], Tensor], min_batch: int
) -> Iterator[Batch]:
    """The batches; with several processes, each one's shards with their global batches.

    A shard with fewer than `min_batch` images is dropped from its step.  An error while reading
    in one process, other than an unreadable image, is raised in all.
    """
    if parallel.world_size() == 1:
        yield from batches
        return
    while True:
        batch, error = next_or_error(batches)
        if batch is None and error is None:
            return
        size = len(batch) if batch and len(batch) >= min_batch else 0
        has_news = error is not None or bool(batch and batch.unreadable)
        flags = parallel.all_reduce(torch.tensor([has_news, size], dtype=torch.float64))
        bad = batch.unreadable if batch else {}
        if flags[0]:
            gathered = parallel.all_gather((bad, error))
            parallel.unwrap([(None, reason) for _, reason in gathered])
            bad = {name: why for other, _ in gathered for name, why in other.items()}
        assert batch is not None
        own = batch.take(slice(size))
        denominator = parallel.all_reduce(loss_denominator(own).float().cpu())
        whole = GlobalBatch(int(flags[1]), denominator)
        yield BatchShard(own.pixels, own.labels, bad, own.cuts, global_batch=whole)


def next_or_error(batches: Iterator[Batch]) -> tuple[Batch | None, GoogLeNetError | None]:
    """The next batch, None after the last; or the error that prevents it."""
    try:
        return next(batches, None), None
    except GoogLeNetError as error:
        return None, error


def all_reduce_step(network: nn.Module, metrics: Sequence[Tensor], fraction: float) -> None:
    """Sum gradients and `metrics` over the processes, in place.

    `fraction` is this process's part of the global batch: running statistics of batch
    normalization, which each process has for its own images, become their mean weighted by it.
    """
    gradients = []
    for parameter in network.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:  # the shard was empty
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    statistics = [
        tensor
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.training
        for tensor in (layer.running_mean, layer.running_var)
        if tensor is not None
    ]
    scale(statistics, fraction)
    parallel.all_reduce_coalesced_([*gradients, *statistics, *metrics])


def sync_bn_stats(network: nn.Module, batches: int, frozen: Collection[str] = ()) -> None:
    """Average the running statistics of batch normalization, weighted by processes' `batches`.

    The stages in `frozen` keep theirs.
    """
    if parallel.world_size() == 1:
        return
    statistics = [
        tensor
        for name, layer in network.named_modules()
        if isinstance(layer, _BatchNorm) and name.split(".")[0] not in frozen
        for tensor in (layer.running_mean, layer.running_var)
        if tensor is not None
    ]
    total = float(parallel.all_reduce(torch.tensor(float(batches))))
    if total:
        scale(statistics, batches / total)
        parallel.all_reduce_coalesced_(statistics)


@torch.no_grad()
def scale(tensors: Sequence[Tensor], factor: float) -> None:
    for tensor in tensors:
        tensor.mul_(factor)
