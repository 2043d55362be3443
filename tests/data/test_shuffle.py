"""The order of an epoch: each photo once, a few shards at a time, by (seed, epoch) alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from googlenet.data.dataset import Samples
from googlenet.data.loader import equal_batches
from googlenet.data.shards import PackedSources, Places
from googlenet.data.shuffle import WINDOW, epoch_order
from googlenet.errors import UsageError
from googlenet.images.stored import LocalShard


def packed(shard: list[int]) -> Samples:
    """Photos in these shards, one after another in each."""
    places = Places.of([(s, 0, 1, str(i)) for i, s in enumerate(shard)])
    shards = tuple(LocalShard(Path(f"{n}.tar")) for n in range(max(shard, default=0) + 1))
    return Samples(PackedSources(shards, places), (0,) * len(shard))


@given(
    shard=st.lists(st.integers(0, 40), min_size=1, max_size=300),
    shuffle=st.sampled_from(["full", "blocks"]),
    seed=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 100),
)
def test_each_photo_once(shard: list[int], shuffle: str, seed: int, epoch: int) -> None:
    order = epoch_order(packed(shard), shuffle, seed, epoch)
    assert sorted(order.tolist()) == list(range(len(shard)))


@given(shard=st.lists(st.integers(0, 40), min_size=1, max_size=300), epoch=st.integers(0, 9))
def test_a_few_shards_at_a_time(shard: list[int], epoch: int) -> None:
    """From a shard's first photo to its last, no more than eight are in use at once."""
    order = [shard[at] for at in epoch_order(packed(shard), "blocks", 0, epoch)]
    first = {s: order.index(s) for s in set(order)}
    last = {s: len(order) - 1 - order[::-1].index(s) for s in set(order)}
    for at in range(len(order)):
        assert sum(first[s] <= at <= last[s] for s in first) <= WINDOW


def orders(shuffle: str) -> dict[tuple[int, int], NDArray[np.int64]]:
    samples = packed([i % 20 for i in range(100)])
    return {(s, e): epoch_order(samples, shuffle, s, e) for s in range(3) for e in range(3)}


@pytest.mark.parametrize("shuffle", ["full", "blocks"])
def test_order_is_a_function_of_seed_and_epoch(shuffle: str) -> None:
    one, other = orders(shuffle), orders(shuffle)
    assert all(np.array_equal(one[key], other[key]) for key in one)
    assert len({tuple(order) for order in one.values()}) == 9


def test_shards_meet_others_in_each_epoch() -> None:
    """Every pair of twenty shards is mixed within a few dozen epochs."""
    samples = packed(list(range(20)))
    met = set()
    for epoch in range(40):
        order = epoch_order(samples, "blocks", 0, epoch)
        met |= {(a, b) for a in order[:WINDOW] for b in order[:WINDOW] if a < b}
    assert len(met) == 20 * 19 / 2


def test_full_order_is_that_of_runs_before_there_were_shards() -> None:
    expected = np.random.default_rng((3, 7)).permutation(50)
    assert np.array_equal(epoch_order(packed([0] * 50), "full", 3, 7), expected)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_that_share_the_batches_share_the_photos(processes: int) -> None:
    """Every `processes`-th photo of each batch: none twice, none missed, wherever one resumes."""
    samples = packed([i % 11 for i in range(101)])
    for begin in (0, 4):
        batches = equal_batches(epoch_order(samples, "blocks", 1, 2), 10)[begin:]
        shares = [b[rank::processes].tolist() for rank in range(processes) for b in batches]
        assert sorted(at for share in shares for at in share) == sorted(
            np.concatenate(batches).tolist()
        )


def test_blocks_need_shards() -> None:
    with pytest.raises(UsageError, match="shuffle must be full where the photos are in no shards"):
        epoch_order(Samples((Path("a.jpg"),), (0,)), "blocks", 0, 0)
