"""Batching, without a network: what is gathered, when, and what cancelling does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import pytest

from googlenet.runtime.watchdog import State
from googlenet.serving.batcher import Batcher

UNLUCKY = 1313
HOUR = 3600.0  # a wait that no test sees the end of


class Doubler:
    """Answers twice what it is asked, once it may."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.open, self.reached = threading.Event(), threading.Event()
        self.open.set()

    def __call__(self, questions: Sequence[int]) -> list[int]:
        self.batches.append(list(questions))
        self.threads.add(threading.get_ident())
        self.reached.set()
        assert self.open.wait(30)
        if UNLUCKY in questions:
            raise ValueError("unlucky")
        return [2 * question for question in questions]


Use = Callable[[Batcher[int, int], Doubler], Coroutine[Any, Any, None]]


def with_batcher(use: Use, batch: int = 4, seconds: float = HOUR) -> Doubler:
    doubler = Doubler()

    async def run() -> None:
        batcher = Batcher(doubler, batch, seconds)
        batcher.start()
        try:
            await asyncio.wait_for(use(batcher, doubler), 30)
        finally:
            doubler.open.set()
            await batcher.stop()

    asyncio.run(run())
    return doubler


async def reached(doubler: Doubler) -> None:
    """Until a batch is in the thread."""
    await asyncio.to_thread(doubler.reached.wait, 30)


async def asked(*questions: Awaitable[int]) -> Sequence[asyncio.Future[int]]:
    """The questions as tasks that have all been put into the queue."""
    tasks = [asyncio.ensure_future(question) for question in questions]
    await asyncio.sleep(0)
    return tasks


def test_alone_waits_for_nobody() -> None:
    async def use(batcher: Batcher[int, int], _: Doubler) -> None:
        assert await batcher.submit(21) == 42

    assert with_batcher(use).batches == [[21]]


def test_waits_for_who_is_on_the_way() -> None:
    async def use(batcher: Batcher[int, int], _: Doubler) -> None:
        batcher.announce(2)
        (first,) = await asked(batcher.submit(1))
        batcher.announce(-1)
        (second,) = await asked(batcher.submit(2))
        for _turn in range(5):
            await asyncio.sleep(0)
        assert not first.done()
        batcher.announce(-1)
        assert (await first, await second) == (2, 4)

    assert with_batcher(use).batches == [[1, 2]]


def test_waits_no_longer_than_it_may() -> None:
    async def use(batcher: Batcher[int, int], _: Doubler) -> None:
        batcher.announce(1)  # who never comes
        assert await batcher.submit(1) == 2

    assert with_batcher(use, seconds=0.01).batches == [[1]]


def test_full_batch_starts_and_the_rest_waits_for_the_thread() -> None:
    async def use(batcher: Batcher[int, int], doubler: Doubler) -> None:
        doubler.open.clear()
        batcher.announce(1)
        tasks = await asked(*(batcher.submit(n) for n in range(10)))
        await reached(doubler)
        doubler.open.set()
        batcher.announce(-1)
        assert await asyncio.gather(*tasks) == [2 * n for n in range(10)]

    doubler = with_batcher(use)
    assert doubler.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(doubler.threads) == 1
    assert threading.get_ident() not in doubler.threads


@pytest.mark.parametrize(
    ("batch", "asked_for", "sizes"),
    [(16, 7, [4, 2, 1]), (16, 16, [16]), (12, 13, [8, 4, 1]), (1, 3, [1, 1, 1])],
)
def test_sizes_are_powers_of_two(batch: int, asked_for: int, sizes: list[int]) -> None:
    async def use(batcher: Batcher[int, int], _: Doubler) -> None:
        batcher.announce(1)
        tasks = await asked(*(batcher.submit(n) for n in range(asked_for)))
        batcher.announce(-1)
        assert [await task for task in tasks] == [2 * n for n in range(asked_for)]

    doubler = with_batcher(use, batch)
    assert [len(questions) for questions in doubler.batches] == sizes


def test_canceled_question_is_not_asked() -> None:
    async def use(batcher: Batcher[int, int], doubler: Doubler) -> None:
        doubler.open.clear()
        (first,) = await asked(batcher.submit(1))
        await reached(doubler)
        leaving, staying = await asked(batcher.submit(2), batcher.submit(3))
        leaving.cancel()
        first.cancel()  # too late for the thread, and no harm
        await asyncio.sleep(0)
        doubler.open.set()
        assert await staying == 6

    assert with_batcher(use).batches == [[1], [3]]


def test_failure_is_told_to_its_batch_only() -> None:
    async def use(batcher: Batcher[int, int], doubler: Doubler) -> None:
        batcher.announce(1)
        unlucky = await asked(*(batcher.submit(n) for n in (UNLUCKY, 1, 2, 3)))
        lucky = await asked(batcher.submit(4))
        batcher.announce(-1)
        results = await asyncio.gather(*unlucky, return_exceptions=True)
        assert [str(result) for result in results] == ["unlucky"] * 4
        assert await lucky[0] == 8

    with_batcher(use)


def test_stopping_cancels_what_waits() -> None:
    async def use(batcher: Batcher[int, int], doubler: Doubler) -> None:
        batcher.announce(1)
        (waiting,) = await asked(batcher.submit(1))
        await batcher.stop()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    assert with_batcher(use).batches == []


def test_sizes_are_observed() -> None:
    sizes: list[int] = []

    async def run() -> None:
        batcher = Batcher(Doubler(), 4, HOUR, sizes.append)
        batcher.start()
        batcher.announce(1)
        tasks = await asked(*(batcher.submit(n) for n in range(6)))
        batcher.announce(-1)
        await asyncio.gather(*tasks)
        await batcher.stop()

    asyncio.run(run())
    assert sizes == [4, 2]


def test_only_a_batch_in_work_has_to_move() -> None:
    """The watchdog ends what hangs, not a service that nobody asks."""

    async def use(batcher: Batcher[int, int], doubler: Doubler) -> None:
        doubler.open.clear()
        (one,) = await asked(batcher.submit(1))
        await reached(doubler)
        assert State.working == 1
        State.moved = False
        doubler.open.set()
        await one
        assert (State.working, State.moved) == (0, True)

    with_batcher(use)
