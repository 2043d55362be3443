"""Dynamic batching: images of concurrent requests go through the network together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from googlenet.runtime.watchdog import beat, working

Q = TypeVar("Q")
A = TypeVar("A")


class Batcher(Generic[Q, A]):
    """Collects requests into batches and runs them in one thread.

    A batch starts when it is full, when no other request is announced, or when its first request
    has waited for `seconds`: a single client never waits.  Its size is a power of two, at most
    `batch`, because libraries keep code and memory for each size that they meet.  Batchers may
    share a thread, as models do that share the processor.
    """

    def __init__(
        self,
        run_batch: Callable[[Sequence[Q]], Sequence[A]],
        batch: int,
        seconds: float,
        observe: Callable[[int], None] = lambda size: None,
        thread: ThreadPoolExecutor | None = None,
    ) -> None:
        self.run_batch, self.seconds, self.observe = run_batch, seconds, observe
        self.batch = power_of_two(batch)
        self.announced = 0  # requests that will be submitted soon
        self.waiting: list[tuple[float, Q, asyncio.Future[A]]] = []  # submitted when
        self.changed = asyncio.Event()
        self.thread = thread or inference_thread()
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self.run())

    async def stop(self) -> None:
        """Finish the batch that is running; requests still waiting are cancelled."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
        for _, _, future in self.waiting:
            future.cancel()
        self.thread.shutdown()

    def announce(self, change: int) -> None:
        """`change` more (or fewer) requests are about to be submitted."""
        self.announced += change
        self.changed.set()

    async def submit(self, request: Q) -> A:
        """The result.  A request that is cancelled while it waits is never run."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self.waiting.append((loop.time(), request, future))
        self.changed.set()
        return await future

    async def run(self) -> None:
        while True:
            await self.work(await self.collect())

    async def collect(self) -> list[tuple[Q, asyncio.Future[A]]]:
        """Wait until a batch is due, and take it from the queue."""
        loop = asyncio.get_running_loop()
        while True:
            self.changed.clear()
            self.waiting = [one for one in self.waiting if not one[2].done()]  # not cancelled
            if self.waiting:
                left = self.waiting[0][0] + self.seconds - loop.time()
                if len(self.waiting) >= self.batch or self.announced <= 0 or left <= 0:
                    break
                timer = loop.call_later(left, self.changed.set)
                await self.changed.wait()
                timer.cancel()
            else:
                await self.changed.wait()
        size = power_of_two(min(self.batch, len(self.waiting)))
        taken, self.waiting = self.waiting[:size], self.waiting[size:]
        return [(request, future) for _, request, future in taken]

    async def work(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        self.observe(len(batch))
        loop = asyncio.get_running_loop()
        requests = [request for request, _ in batch]
        try:
            with working():
                results = await loop.run_in_executor(self.thread, self.run_batch, requests)
                beat()
        except Exception as error:  # fails this batch's requests, not the next batch
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)


def inference_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="inference")


def power_of_two(number: int) -> int:
    """The largest power of two up to `number`, which is 1 or more."""
    return 1 << (number.bit_length() - 1)
