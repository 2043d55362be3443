"""The service without HTTP: a queue of images, decoding, batches, memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from googlenet.inference.classifier import Classifier
from googlenet.runtime.watchdog import working
from googlenet.serving.batcher import inference_thread
from googlenet.serving.http_error import HTTPError, unavailable
from googlenet.serving.input_image import Crop, read_image_bytes
from googlenet.serving.limits import Limits
from googlenet.serving.predict import Answer, Request
from googlenet.serving.prometheus import Metrics
from googlenet.serving.served_model import ServedModel


class Service:
    """Classifiers behind a queue: images are decoded in a few threads and predicted in one.

    models: at least one by its name, the first of which is the default.  They share all limits.
    Used from one event loop, between `start` and `stop`.
    """

    def __init__(self, models: Mapping[str, Classifier], limits: Limits | None = None) -> None:
        self.limits = limits = limits or Limits()
        self.metrics = Metrics()
        self.pending = 0  # images accepted and not yet predicted
        self.reserved_bytes = 0  # of request bodies
        self.ready = self.stopping = False
        self.metrics.queue.set_function(lambda: self.pending)
        self.metrics.reserved_bytes.set_function(lambda: self.reserved_bytes)
        self.decoders = ThreadPoolExecutor(limits.workers, thread_name_prefix="decoder")
        thread = inference_thread()
        self.models = {
            name: ServedModel(name, classifier, limits, self.metrics, thread)
            for name, classifier in models.items()
        }
        self.default = next(iter(self.models.values()))

    async def start(self) -> None:
        for model in self.models.values():
            await model.start()
        self.ready = True

    async def stop(self) -> None:
        self.ready, self.stopping = False, True
        for model in self.models.values():
            await model.batcher.stop()
        self.decoders.shutdown(cancel_futures=True)

    def model(self, name: str | None) -> ServedModel:
        """The model of that name, the default for None.  Raises HTTPError (404)."""
        if name is None:
            return self.default
        if name not in self.models:
            names = ", ".join(self.models)
            raise HTTPError(404, f"the models of this service are {names}, got {name[:40]!r}")
        return self.models[name]

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
        self, model: ServedModel, images: Sequence[bytes | Crop], top: int, cam: bool = False
    ) -> list[Answer | HTTPError]:
        """An answer or an error for each image, encoded or cropped already, in order.

        Raises HTTPError: 503 if the queue is full, 504 after the time limit.
        """
        self.check_queue(len(images))
        self.pending += len(images)
        try:
            async with asyncio.timeout(self.limits.timeout), asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self.predict_one(model, each, top, cam)) for each in images
                ]
        except TimeoutError:
            raise HTTPError(504, f"timed out after {self.limits.timeout:g} seconds") from None
        finally:
            self.pending -= len(images)
        return [task.result() for task in tasks]

    async def predict_one(
        self, model: ServedModel, image: bytes | Crop, top: int, cam: bool
    ) -> Answer | HTTPError:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            crop = image if isinstance(image, Crop) else await self.decode(model, image)
        except HTTPError as error:
            self.metrics.images.labels(model.name, "refused").inc()
            return error
        answer = await model.batcher.submit(Request(crop, top, cam))
        self.metrics.images.labels(model.name, "answered").inc()
        return replace(answer, milliseconds=round(1000 * (loop.time() - began), 1))

    async def decode(self, model: ServedModel, image: bytes) -> Crop:
        """What the model sees of an image.  Raises HTTPError as `read_image_bytes` does."""
        model.batcher.announce(1)
        try:
            with working():
                return await asyncio.get_running_loop().run_in_executor(
                    self.decoders,
                    read_image_bytes,
                    image,
                    model.classifier.preprocessing,
                    self.limits.max_pixels,
                )
        finally:
            model.batcher.announce(-1)


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
