"""One of a service's models: its name, its classifier, and the batches that it computes."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from googlenet.inference.classifier import Classifier
from googlenet.runtime.watchdog import working
from googlenet.serving.batcher import Batcher
from googlenet.serving.limits import Limits
from googlenet.serving.predict import Answer, Request, predict_batch, supports_cam
from googlenet.serving.prometheus import Metrics


class ServedModel:
    """A classifier with a queue of its own; `thread` is the one that all models compute in.

    has_cam: whether it has class activation maps, known once it is started.
    """

    def __init__(
        self,
        name: str,
        classifier: Classifier,
        limits: Limits,
        metrics: Metrics,
        thread: ThreadPoolExecutor,
    ) -> None:
        self.name, self.classifier = name, classifier
        self.has_cam = False
        self.batcher: Batcher[Request, Answer] = Batcher(
            partial(predict_batch, classifier),
            limits.batch,
            limits.batch_wait,
            observe=metrics.batch.labels(name).observe,
            thread=thread,
        )

    async def start(self) -> None:
        """Run one image of our own, so that no client waits for one-time costs."""
        self.batcher.start()
        loop = asyncio.get_running_loop()
        with working():
            self.has_cam = await loop.run_in_executor(
                self.batcher.thread, supports_cam, self.classifier
            )
