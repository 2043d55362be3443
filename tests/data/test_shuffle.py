"""The order of an epoch: each image once, a few shards at a time, by (seed, epoch) alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet.data.dataset import Samples
from googlenet.data.loader import even_batches
from googlenet.data.shards.sources import ShardIndex, ShardSources
from googlenet.data.shuffle import WINDOW, shard_window_order
from googlenet.images.archived import LocalShard
from googlenet.runtime.errors import UsageError


def packed(shard: list[int]) -> Samples:
    """Images in these shards, one after another in each."""
    places = ShardIndex.of([(s, 0, 1, str(i)) for i, s in enumerate(shard)])
    shards = tuple(LocalShard(Path(f"{n}.tar")) for n in range(max(shard, default=0) + 1))
    return Samples(ShardSources(shards, places), (0,) * len(shard))


shards = st.lists(st.integers(0, 40), min_size=1, max_size=300)


@given(shard=shards, seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 100))
def test_each_image_once(shard: list[int], seed: int, epoch: int) -> None:
    order = shard_window_order(packed(shard), seed, epoch)
    assert sorted(order.tolist()) == list(range(len(shard)))


@given(shard=shards, epoch=st.integers(0, 9))
def test_a_few_shards_at_a_time(shard: list[int], epoch: int) -> None:
    """From a shard's first image to its last, no more than eight are in use at once."""
    order = [shard[at] for at in shard_window_order(packed(shard), 0, epoch)]
    first = {s: order.index(s) for s in set(order)}
    last = {s: len(order) - 1 - order[::-1].index(s) for s in set(order)}
    for at in range(len(order)):
        assert sum(first[s] <= at <= last[s] for s in first) <= WINDOW


def test_order_is_a_function_of_seed_and_epoch() -> None:
    samples = packed([i % 20 for i in range(100)])
    keys = [(seed, epoch) for seed in range(3) for epoch in range(3)]
    one, other = ({key: tuple(shard_window_order(samples, *key)) for key in keys} for _ in range(2))
    assert one == other
    assert len(set(one.values())) == 9


def test_shards_meet_others_in_each_epoch() -> None:
    """Every pair of twenty shards is mixed within a few dozen epochs."""
    samples = packed(list(range(20)))
    met = set()
    for epoch in range(40):
        order = shard_window_order(samples, 0, epoch)
        met |= {(a, b) for a in order[:WINDOW] for b in order[:WINDOW] if a < b}
    assert len(met) == 20 * 19 / 2


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_that_share_the_batches_share_the_images(processes: int) -> None:
    """Every `processes`-th image of each batch: none twice, none missed, wherever one resumes."""
    samples = packed([i % 11 for i in range(101)])
    for begin in (0, 4):
        batches = even_batches(shard_window_order(samples, 1, 2), 10)[begin:]
        shares = [b[rank::processes].tolist() for rank in range(processes) for b in batches]
        assert sorted(at for share in shares for at in share) == sorted(
            np.concatenate(batches).tolist()
        )


def test_blocks_need_shards() -> None:
    with pytest.raises(UsageError, match="shuffle must be full where the images are not in shards"):
        shard_window_order(Samples((Path("a.jpg"),), (0,)), 0, 0)
