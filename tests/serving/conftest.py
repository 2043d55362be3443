"""A service on a port of this machine, in a thread of the test's process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from googlenet import Classifier
from googlenet.inference.backends.base import Pixels
from googlenet.inference.outputs import Outputs
from googlenet.serving.app import build_app
from googlenet.serving.limits import Limits
from googlenet.serving.server import Server, address, listen
from googlenet.serving.service import Service
from tests.fixtures import encoded, noise, tiny_classifier

PHOTOS = [encoded(noise(60, 40, seed), "JPEG") for seed in range(4)]


class Gate:
    """A classifier's arithmetic, held up until the gate is open."""

    def __init__(self, classifier: Classifier) -> None:
        self.inner = classifier.outputs
        self.open, self.reached = threading.Event(), threading.Event()
        self.open.set()
        self.batches: list[int] = []  # the images of each batch
        classifier.outputs = self  # type: ignore[method-assign]

    def __call__(self, pixels: Pixels | Sequence[Pixels]) -> Outputs:
        self.batches.append(len(pixels))
        self.reached.set()
        assert self.open.wait(30)
        return self.inner(pixels)

    def close(self) -> None:
        """What is asked from now on waits; `reached` says when it does."""
        self.reached.clear()
        self.open.clear()


class Running:
    """A service that listens, and ways to ask it."""

    def __init__(self, server: Server, service: Service, gate: Gate, at: str) -> None:
        self.server, self.service, self.gate, self.at = server, service, gate, at
        self.client = httpx.Client(base_url=at, timeout=30, trust_env=False)

    def predict(self, photo: bytes, kind: str = "image/jpeg", **options: Any) -> httpx.Response:
        headers = {"content-type": kind} | options.pop("headers", {})
        return self.client.post("/predict", content=photo, headers=headers, **options)

    def form(self, photos: Sequence[bytes], **options: Any) -> httpx.Response:
        files = [("photo", (f"secret-{n}.jpg", photo)) for n, photo in enumerate(photos)]
        return self.client.post("/predict", files=files, **options)

    def dial(self) -> socket.socket:
        """A bare connection."""
        url = httpx.URL(self.at)
        return socket.create_connection((url.host, url.port or 80), timeout=30)

    def count(self, status: int, route: str = "/predict") -> float:
        """How many requests /metrics counts."""
        labels = {"route": route, "status": str(status)}
        value = self.service.metrics.registry.get_sample_value("googlenet_requests_total", labels)
        return value or 0.0


@contextmanager
def running(token: str | None = None, **limits: Any) -> Iterator[Running]:
    classifier = tiny_classifier(classes=7, seed=1)
    gate = Gate(classifier)
    models = {"seven": classifier, "four": tiny_classifier(classes=4, seed=2)}
    service = Service(models, Limits(**limits))
    with listen("127.0.0.1", 0) as listening:
        server = Server(build_app(service, token), service)
        at = address(listening)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        one = Running(server, service, gate, at)
        try:
            yield one
        finally:
            gate.open.set()
            one.client.close()
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def serving() -> Iterator[Running]:
    """A service of small limits, the same for a module's tests."""
    with running(max_body=200_000, max_pixels=10_000, max_images=4, max_queue=8) as one:
        yield one


def until(condition: Any) -> None:
    """Wait for what another thread is about to do."""
    waiting = threading.Event()
    for _ in range(3000):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not happen")
