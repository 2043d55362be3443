"""The service without HTTP: a queue of images, decoding, batches, memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from googlenet.inference.classifier import Classifier
from googlenet.runtime.watchdog import working
from googlenet.serving.batcher import Batcher
from googlenet.serving.http_error import HTTPError, unavailable
from googlenet.serving.input_image import read_image_bytes
from googlenet.serving.limits import Limits
from googlenet.serving.predict import Json, Request, predict_batch, supports_cam
from googlenet.serving.prometheus import Metrics


class Service:
    """A classifier behind a queue: images are decoded in a few threads and predicted in one.

    Used from one event loop, between `start` and `stop`.
    """

    def __init__(self, classifier: Classifier, limits: Limits | None = None) -> None:
        self.classifier = classifier
        self.limits = limits = limits or Limits()
        self.metrics = Metrics()
        self.pending = 0  # images accepted and not yet predicted
        self.reserved_bytes = 0  # of request bodies
        self.ready = self.stopping = self.has_cam = False
        self.metrics.queue.set_function(lambda: self.pending)
        self.metrics.reserved_bytes.set_function(lambda: self.reserved_bytes)
        self.decoders = ThreadPoolExecutor(limits.workers, thread_name_prefix="decoder")
        self.batcher: Batcher[Request, Json] = Batcher(
            partial(predict_batch, classifier),
            limits.batch,
            limits.batch_wait,
            observe=self.metrics.batch.observe,
        )

    async def start(self) -> None:
        """Run one image of our own, so that no client waits for one-time costs."""
        self.batcher.start()
        loop = asyncio.get_running_loop()
        with working():
            self.has_cam = await loop.run_in_executor(
                self.batcher.thread, supports_cam, self.classifier
            )
        self.ready = True

    async def stop(self) -> None:
        self.ready, self.stopping = False, True
        await self.batcher.stop()
        self.decoders.shutdown(cancel_futures=True)

    def check_running(self) -> None:
        """Raises HTTPError (503) while the service starts or stops."""
        if self.stopping or not self.ready:
            raise unavailable(f"the service is {'stopping' if self.stopping else 'starting'}")

    def check_queue(self, images: int) -> None:
        """Raises HTTPError (503) if the queue has no room for so many images."""
        if self.pending + images > self.limits.max_queue:
            raise unavailable(
                f"the queue is full: {self.pending} of at most {self.limits.max_queue} images "
                "are waiting"
            )

    @contextmanager
    def reserve(self) -> Iterator[MemoryReservation]:
        """Counts the bytes that a request adds, until its response is ready."""
        reservation = MemoryReservation(self)
        try:
            yield reservation
        finally:
            self.reserved_bytes -= reservation.bytes

    async def predict(
        self, images: Sequence[bytes], top: int, cam: bool = False
    ) -> list[Json | HTTPError]:
        """A prediction or an error for each image, in order.

        Raises HTTPError: 503 if the queue is full, 504 after the time limit.
        """
        self.check_queue(len(images))
        self.pending += len(images)
        try:
            async with asyncio.timeout(self.limits.timeout), asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.predict_one(each, top, cam)) for each in images]
        except TimeoutError:
            raise HTTPError(504, f"timed out after {self.limits.timeout:g} seconds") from None
        finally:
            self.pending -= len(images)
        return [task.result() for task in tasks]

    async def predict_one(self, image: bytes, top: int, cam: bool) -> Json | HTTPError:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.batcher.announce(1)
        try:
            with working():
                crop = await loop.run_in_executor(
                    self.decoders,
                    read_image_bytes,
                    image,
                    self.classifier.preprocessing,
                    self.limits.max_pixels,
                )
        except HTTPError as error:
            self.metrics.images.labels("refused").inc()
            return error
        finally:
            self.batcher.announce(-1)
        result = await self.batcher.submit(Request(crop, top, cam))
        self.metrics.images.labels("answered").inc()
        return result | {"milliseconds": round(1000 * (loop.time() - began), 1)}


class MemoryReservation:
    """The bytes that one request holds in memory."""

    def __init__(self, service: Service) -> None:
        self.service, self.bytes = service, 0

    def add(self, count: int) -> None:
        """Raises HTTPError (503) if all requests together would exceed the limit."""
        if self.service.reserved_bytes + count > self.service.limits.max_memory:
            raise unavailable("the memory for request bodies is full")
        self.service.reserved_bytes += count
        self.bytes += count
