"""The order of an epoch where images lie in shards that should be read one after another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from googlenet.data.dataset import Samples
from googlenet.data.shards.sources import ShardSources
from googlenet.runtime.errors import UsageError

SHUFFLES = ("full", "blocks")
WINDOW = 8  # shards that are mixed with one another


def shard_window_order(samples: Samples, seed: int, epoch: int) -> NDArray[np.int64]:
    """The sample indices of an epoch, each once, a few shards at a time, by (seed, epoch).

    The shards come in random order, and of `WINDOW` of them the images, in random order: what
    lies on a disk that turns, or is copied from elsewhere, is then read from few places at once.
    Packing has spread the images evenly over the shards.  Raises UsageError without shards.
    """
    if not isinstance(samples.sources, ShardSources):
        raise UsageError("shuffle must be full where the images are not in shards, got blocks")
    rng = np.random.default_rng((seed, epoch))
    shard = samples.sources.places.shard
    place = rng.permutation(int(shard.max(initial=0)) + 1)  # where each shard comes
    block = place[shard] // WINDOW
    # Sorted by block, by a random number within it.
    return np.lexsort((rng.random(len(samples)), block))
