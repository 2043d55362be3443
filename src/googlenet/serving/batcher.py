"""Dynamic batching: what requests bring one by one goes through the network together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Batcher(Generic[Q, A]):
    """Collects questions into batches and answers them in one thread.

    A batch starts when it is full, when nobody else is on the way (`expected`) or when its
    first question has waited for `seconds`: someone alone waits for nobody.  Its size is a power
    of two, at most `batch`: for each size that they meet, libraries keep code and memory.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Q]], Sequence[A]],
        batch: int,
        seconds: float,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self.answer, self.seconds, self.observe = answer, seconds, observe
        self.batch = power_of_two(batch)
        self.expected = 0  # questions that will be asked soon
        self.waiting: list[tuple[float, Q, asyncio.Future[A]]] = []  # since when
        self.changed = asyncio.Event()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="inference")
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self.run())

    async def stop(self) -> None:
        """End once the batch in the thread is done; questions still waiting are cancelled."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
        for _, _, future in self.waiting:
            future.cancel()
        self.thread.shutdown()

    def expect(self, change: int) -> None:
        """So many more (or fewer) questions are on their way."""
        self.expected += change
        self.changed.set()

    async def ask(self, question: Q) -> A:
        """The answer.  Cancelled while it waits, the question is not asked any more."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self.waiting.append((loop.time(), question, future))
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
                if len(self.waiting) >= self.batch or self.expected <= 0 or left <= 0:
                    break
                timer = loop.call_later(left, self.changed.set)
                await self.changed.wait()
                timer.cancel()
            else:
                await self.changed.wait()
        size = power_of_two(min(self.batch, len(self.waiting)))
        taken, self.waiting = self.waiting[:size], self.waiting[size:]
        return [(question, future) for _, question, future in taken]

    async def work(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        self.observe(len(batch))
        loop = asyncio.get_running_loop()
        questions = [question for question, _ in batch]
        try:
            answers = await loop.run_in_executor(self.thread, self.answer, questions)
        except Exception as error:  # told to everyone who asked; the next batch is another one
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(result)


def power_of_two(number: int) -> int:
    """The largest one that is at most `number`, itself 1 or more."""
    return 1 << (number.bit_length() - 1)
