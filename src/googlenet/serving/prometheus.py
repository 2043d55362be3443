"""What /metrics counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The instruments of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "googlenet_requests", "Requests answered.", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "googlenet_request_seconds",
            "From a request's headers to its answer.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self.photos = Counter(
            "googlenet_photos", "Photos, by what came of them.", ("outcome",), registry=registry
        )
        self.batch = Histogram(
            "googlenet_batch_photos",
            "Photos that went through the network together.",
            buckets=BATCHES,
            registry=registry,
        )
        self.queue = Gauge(
            "googlenet_queue_photos", "Photos accepted and not yet answered.", registry=registry
        )
        self.held = Gauge(
            "googlenet_held_bytes", "Bytes of requests being read or answered.", registry=registry
        )
        ProcessCollector(registry=registry)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)
