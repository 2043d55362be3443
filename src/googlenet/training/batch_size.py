"""`--batch auto`: the recipe's batch size if it fits into memory, else the largest power of two."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from googlenet import parallel
from googlenet.data.loader import Batch
from googlenet.runtime.device import fork_rng
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.memory import available_memory
from googlenet.training.loop import Trainer

MEASURED_BATCHES = (4, 8)  # sizes of the two batches whose memory is measured
MEMORY_HEADROOM = 1.5  # for buffers within a step and other programs; docs/labels.md


def candidates(max_batch: int) -> list[int]:
    """The batch sizes to try: `max_batch`, then the powers of two below it, descending."""
    powers = (2**n for n in reversed(range(max_batch.bit_length())))
    return [max_batch, *(power for power in powers if power < max_batch)]


def find_batch(
    trainer: Trainer,
    max_batch: int,
    available: Callable[[], int] = available_memory,
    processes: int = 1,
) -> tuple[int, str]:
    """The largest batch size that fits, up to `max_batch`, and how it was found, in words.

    With several processes, one of them tries its shard.  `trainer` cannot be used afterwards: its
    weights change.  Raises GoogLeNetError if nothing fits.
    """
    image, least = first_readable_image(trainer), processes * trainer.min_batch
    tries = [batch for batch in candidates(max_batch) if batch >= least]

    def own(batch: int) -> int:
        return -(-batch // processes)

    with fork_rng():
        if trainer.machine.device == "cuda":
            found = "tried on the GPU"
            fitting = (batch for batch in tries if fits_cuda(trainer, image, own(batch)))
        else:
            each, room = MEMORY_HEADROOM * bytes_per_image(trainer, image), available()
            room //= parallel.local_world_size()
            found = f"{each / 1e6:.1f} MB per image, {room / 1e9:.1f} GB free"
            fitting = (batch for batch in tries if own(batch) * each <= room)
        batch = next(fitting, None)
    if batch is None:
        raise GoogLeNetError(
            f"not even a batch of {least} images fits into memory ({found}): "
            "try a smaller --size or --width"
        )
    return batch, found


def first_readable_image(trainer: Trainer) -> Batch:
    """A batch of one image, the first that can be read."""
    for index in range(len(trainer.loader.samples)):
        batch = trainer.loader.load(0, [index])
        if len(batch):
            return batch
    raise GoogLeNetError("none of the training images could be read")


def step(trainer: Trainer, image: Batch, batch: int) -> None:
    """A training step on a batch of copies of one image."""
    trainer.train_step(image.take(np.zeros(batch, np.int64)))


def fits_cuda(trainer: Trainer, image: Batch, batch: int) -> bool:
    """Whether two steps succeed: the second one also has the optimizer's state."""
    try:
        for _ in range(2):
            step(trainer, image, batch)
    except torch.OutOfMemoryError:
        return False
    finally:
        trainer.optimizer.zero_grad()
        torch.cuda.empty_cache()
    return True


def bytes_per_image(trainer: Trainer, image: Batch) -> float:
    """Bytes that each image of a batch adds to the activations saved for the backward pass.

    The process's memory would say less: the allocator reuses what it has.
    """
    step(trainer, image, MEASURED_BATCHES[0])  # allocates gradients and optimizer state
    one, other = (saved_bytes(trainer, image, batch) for batch in MEASURED_BATCHES)
    return (other - one) / (MEASURED_BATCHES[1] - MEASURED_BATCHES[0])


def saved_bytes(trainer: Trainer, image: Batch, batch: int) -> int:
    """Bytes of the tensors that a step saves for the backward pass, each storage once."""
    blocks: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        blocks[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        step(trainer, image, batch)
    return sum(blocks.values())
