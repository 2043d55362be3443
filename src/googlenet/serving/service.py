"""The service itself, without HTTP: what it has taken on, and the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from googlenet.inference.classifier import Classifier
from googlenet.serving.answers import Answer, Question, answer, has_maps
from googlenet.serving.batcher import Batcher
from googlenet.serving.http_error import RefusalError, busy
from googlenet.serving.input_image import read_photo
from googlenet.serving.limits import Limits
from googlenet.serving.prometheus import Metrics


class Service:
    """A classifier behind a queue: photos are decoded in a few threads, answered in one.

    Used from one event loop, between `start` and `stop`.
    """

    def __init__(self, classifier: Classifier, limits: Limits | None = None) -> None:
        self.classifier = classifier
        self.limits = limits = limits or Limits()
        self.metrics = Metrics()
        self.pending = 0  # photos accepted and not yet answered
        self.held = 0  # bytes of requests
        self.ready = self.stopping = self.maps = False
        self.metrics.queue.set_function(lambda: self.pending)
        self.metrics.held.set_function(lambda: self.held)
        self.decoders = ThreadPoolExecutor(limits.decoders, thread_name_prefix="decoder")
        self.batcher: Batcher[Question, Answer] = Batcher(
            partial(answer, classifier),
            limits.batch,
            limits.batch_seconds,
            observe=self.metrics.batch.observe,
        )

    async def start(self) -> None:
        """Answer a first photo of our own, so that nobody else waits for what only it costs."""
        self.batcher.start()
        loop = asyncio.get_running_loop()
        self.maps = await loop.run_in_executor(self.batcher.thread, has_maps, self.classifier)
        self.ready = True

    async def stop(self) -> None:
        self.ready, self.stopping = False, True
        await self.batcher.stop()
        self.decoders.shutdown(cancel_futures=True)

    def refuse_when_stopped(self) -> None:
        """Raises RefusalError where nothing new is taken on."""
        if self.stopping or not self.ready:
            raise busy("the service is stopping" if self.stopping else "the service is starting")

    def refuse_when_full(self, photos: int) -> None:
        """Raises RefusalError where so many photos do not fit the queue."""
        if self.pending + photos > self.limits.queue:
            raise busy(
                f"at most {self.limits.queue} photos may wait for answers, {self.pending} do"
            )

    @contextmanager
    def holding(self) -> Iterator[Holding]:
        """Counts the bytes that a request adds, until it has been answered."""
        holding = Holding(self)
        try:
            yield holding
        finally:
            self.held -= holding.bytes

    async def answers(
        self, photos: Sequence[bytes], top: int, cam: bool = False
    ) -> list[Answer | RefusalError]:
        """An answer or a refusal for each photo, in order.

        Raises RefusalError, 503 where the queue is full, 504 where it takes longer than the limit.
        """
        self.refuse_when_full(len(photos))
        self.pending += len(photos)
        try:
            async with asyncio.timeout(self.limits.seconds), asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.one(photo, top, cam)) for photo in photos]
        except TimeoutError:
            raise RefusalError(504, f"no answer within {self.limits.seconds:g} seconds") from None
        finally:
            self.pending -= len(photos)
        return [task.result() for task in tasks]

    async def one(self, photo: bytes, top: int, cam: bool) -> Answer | RefusalError:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.batcher.expect(1)
        try:
            crop = await loop.run_in_executor(
                self.decoders,
                read_photo,
                photo,
                self.classifier.preprocessing,
                self.limits.pixels,
            )
        except RefusalError as refusal:
            self.metrics.photos.labels("refused").inc()
            return refusal
        finally:
            self.batcher.expect(-1)
        result = await self.batcher.ask(Question(crop, top, cam))
        self.metrics.photos.labels("answered").inc()
        return result | {"milliseconds": round(1000 * (loop.time() - began), 1)}


class Holding:
    """The bytes that one request makes the service hold."""

    def __init__(self, service: Service) -> None:
        self.service, self.bytes = service, 0

    def add(self, count: int) -> None:
        """Raises RefusalError where it would be more than all requests together may have."""
        if self.service.held + count > self.service.limits.held:
            raise busy("the requests that are being read fill the memory set apart for them")
        self.service.held += count
        self.bytes += count
