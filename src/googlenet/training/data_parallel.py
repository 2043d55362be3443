"""What processes that train one network together do at each step, and before the first.

Each learns from its share of the step's photos.  The gradient is that of the whole batch's mean
loss, however unequal the shares: each process divides its sum by the whole batch's divisor, and
the quotients are added up.
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
class Whole:
    """Of a step's whole batch: its photos, and what its loss is divided by, () or (classes,)."""

    photos: int
    divisor: Tensor


@dataclass(frozen=True)
class Share(Batch):
    """What one of several processes has of a batch; it may be nothing.

    `bad` names the photos of all processes.
    """

    whole: Whole = field(kw_only=True)


def photos_of(batch: Batch) -> int:
    """How many photos a step learns from, in all processes."""
    return batch.whole.photos if isinstance(batch, Share) else len(batch)


def agreed(
    batches: Iterator[Batch], divisor: Callable[[Batch], Tensor], least: int
) -> Iterator[Batch]:
    """The batches; of several processes, each one's shares, with what the whole batches are.

    A share of fewer than `least` photos is left out of its step.  What cannot be read in one
    process, but for single photos, ends all.
    """
    if parallel.world_size() == 1:
        yield from batches
        return
    while True:
        found, error = following(batches)
        if found is None and error is None:
            return
        photos = len(found) if found and len(found) >= least else 0
        news = error is not None or bool(found and found.unreadable)
        flags = parallel.all_reduce(torch.tensor([news, photos], dtype=torch.float64))
        bad = found.unreadable if found else {}
        if flags[0]:
            told = parallel.all_gather((bad, error))
            parallel.unwrap([(None, why) for _, why in told])
            bad = {name: why for other, _ in told for name, why in other.items()}
        assert found is not None
        own = found.take(slice(photos))
        whole = Whole(int(flags[1]), parallel.all_reduce(divisor(own).float().cpu()))
        yield Share(own.pixels, own.labels, bad, own.cuts, whole=whole)


def following(batches: Iterator[Batch]) -> tuple[Batch | None, GoogLeNetError | None]:
    """The next batch, None after the last; or why there is none."""
    try:
        return next(batches, None), None
    except GoogLeNetError as error:
        return None, error


def add_up_step(network: nn.Module, figures: Sequence[Tensor], share: float) -> None:
    """Gradients and `figures` become their sums over the processes.

    `share` is this process's of the step's photos.  The running statistics of batch
    normalisation, of which each process has those of its own photos, become their mean by it.
    """
    gradients = []
    for parameter in network.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:  # there was no photo here
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    statistics = [
        tensor
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.training
        for tensor in (layer.running_mean, layer.running_var)
        if tensor is not None
    ]
    scale(statistics, share)
    parallel.all_reduce_coalesced_([*gradients, *statistics, *figures])


def mean_statistics(network: nn.Module, batches: int, frozen: Collection[str] = ()) -> None:
    """Set batch normalisation's statistics to their mean over the processes' `batches`.

    The stages named in `frozen` have kept theirs.
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
    every = float(parallel.all_reduce(torch.tensor(float(batches))))
    if every:
        scale(statistics, batches / every)
        parallel.all_reduce_coalesced_(statistics)


@torch.no_grad()
def scale(tensors: Sequence[Tensor], factor: float) -> None:
    for tensor in tensors:
        tensor.mul_(factor)
