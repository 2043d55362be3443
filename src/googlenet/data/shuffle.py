"""The order of an epoch: a function of (seed, epoch), whatever the photos lie in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from googlenet.data.dataset import Samples
from googlenet.data.shards import PackedSources
from googlenet.errors import UsageError

SHUFFLES = ("full", "blocks")
WINDOW = 8  # shards that are mixed with one another


def epoch_order(samples: Samples, shuffle: str, seed: int, epoch: int) -> NDArray[np.int64]:
    """The sample indices of an epoch, each once.

    "full": every order is as likely.  "blocks": the shards in random order, `WINDOW` of them at
    a time, and the photos of these in random order: what lies on a disk that turns, or is copied
    from elsewhere, is read a few shards at a time.  Packing has spread the photos evenly.
    """
    rng = np.random.default_rng((seed, epoch))
    if shuffle == "full":
        return rng.permutation(len(samples))
    if not isinstance(samples.sources, PackedSources):
        raise UsageError("shuffle must be full where the photos are in no shards, got blocks")
    shard = samples.sources.places.shard
    place = rng.permutation(int(shard.max(initial=0)) + 1)  # where each shard comes
    block = place[shard] // WINDOW
    # Sorted by block, by a random number within it.
    return np.lexsort((rng.random(len(samples)), block))
