"""`--batch auto`: the recipe's batch if it fits into memory, else the largest power of two."""

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

SMALL = (4, 8)  # photos of the two steps whose memory is measured
HEADROOM = 1.5  # for what a step needs beside, and for other programs; docs/labels.md


def candidates(most: int) -> list[int]:
    """The batches to try, the largest first: `most`, then the powers of two below it."""
    powers = (2**n for n in reversed(range(most.bit_length())))
    return [most, *(power for power in powers if power < most)]


def find_batch(
    trainer: Trainer,
    most: int,
    available: Callable[[], int] = available_memory,
    processes: int = 1,
) -> tuple[int, str]:
    """The largest batch that fits, `most` at most, and a word on what was found.

    Several processes have a share of the batch each; here one alone tries its own.

    `trainer` is used up: its weights change.  Raises GoogLeNetError where nothing fits.
    """
    photo, least = first_photo(trainer), processes * trainer.min_batch
    tries = [batch for batch in candidates(most) if batch >= least]

    def own(batch: int) -> int:
        return -(-batch // processes)

    with fork_rng():
        if trainer.machine.device == "cuda":
            found = "tried on the GPU"
            fitting = (batch for batch in tries if fits_cuda(trainer, photo, own(batch)))
        else:
            each, room = HEADROOM * bytes_a_photo(trainer, photo), available()
            room //= parallel.local_world_size()
            found = f"{each / 1e6:.1f} MB a photo, {room / 1e9:.1f} GB free"
            fitting = (batch for batch in tries if own(batch) * each <= room)
        batch = next(fitting, None)
    if batch is None:
        raise GoogLeNetError(
            f"not even a batch of {least} photos fits into memory ({found}): "
            "try a smaller --size or --width"
        )
    return batch, found


def first_photo(trainer: Trainer) -> Batch:
    """A batch of one photo, the first that can be read."""
    for index in range(len(trainer.loader.samples)):
        batch = trainer.loader.load(0, [index])
        if len(batch):
            return batch
    raise GoogLeNetError("no photo of the training data could be read")


def step(trainer: Trainer, photo: Batch, batch: int) -> None:
    """A training step on a batch of copies of one photo."""
    trainer.train_step(photo.take(np.zeros(batch, np.int64)))


def fits_cuda(trainer: Trainer, photo: Batch, batch: int) -> bool:
    """Whether two steps go through: the second also has the optimizer's state."""
    try:
        for _ in range(2):
            step(trainer, photo, batch)
    except torch.OutOfMemoryError:
        return False
    finally:
        trainer.optimizer.zero_grad()
        torch.cuda.empty_cache()
    return True


def bytes_a_photo(trainer: Trainer, photo: Batch) -> float:
    """Bytes that every photo of a batch adds to what a step keeps for its derivative.

    The process's own growth would tell less: its allocator reuses and keeps what it had.
    """
    step(trainer, photo, SMALL[0])  # gradients and the optimizer's state are there from now on
    one, other = (kept_bytes(trainer, photo, batch) for batch in SMALL)
    return (other - one) / (SMALL[1] - SMALL[0])


def kept_bytes(trainer: Trainer, photo: Batch, batch: int) -> int:
    """Bytes of all memory that a step keeps for its derivative, each block once."""
    blocks: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        blocks[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        step(trainer, photo, batch)
    return sum(blocks.values())
