"""Dynamic batching: what requests bring one by one goes through the network together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Batcher(Generic[Q, A]):
    """Collects questions into batches and answers them in one thread.

    A batch starts when it is full, when nobody else is on the way (`expected`) or when its
    first question has waited for `seconds`: someone alone waits for nobody.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Q]], Sequence[A]],
        batch: int,
        seconds: float,
        observe: Callable[[int], None] = lambda size: None,
    ) -> None:
        self.answer, self.batch, self.seconds, self.observe = answer, batch, seconds, observe
        self.expected = 0  # questions that will be asked soon
        self.waiting: deque[tuple[float, Q, asyncio.Future[A]]] = deque()
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
            batch = await self.collect()
            if batch:
                await self.work(batch)

    async def collect(self) -> list[tuple[Q, asyncio.Future[A]]]:
        """Wait until a batch is due, and take it from the queue."""
        loop = asyncio.get_running_loop()
        while True:
            self.changed.clear()
            if self.waiting:
                left = self.waiting[0][0] + self.seconds - loop.time()
                if len(self.waiting) >= self.batch or self.expected <= 0 or left <= 0:
                    break
                timer = loop.call_later(left, self.changed.set)
                await self.changed.wait()
                timer.cancel()
            else:
                await self.changed.wait()
        taken = [self.waiting.popleft() for _ in range(min(self.batch, len(self.waiting)))]
        return [(question, future) for _, question, future in taken if not future.done()]

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
