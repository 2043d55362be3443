"""Prometheus metrics, served at /metrics."""

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
    """The metrics of one service, in their own registry."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "googlenet_requests", "HTTP requests.", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "googlenet_request_seconds",
            "Seconds from a request's headers to its response.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self.images = Counter(
            "googlenet_photos",
            "Images, predicted (answered) or rejected (refused).",
            ("model", "outcome"),
            registry=registry,
        )
        self.batch = Histogram(
            "googlenet_batch_photos",
            "Images per batch.",
            ("model",),
            buckets=BATCHES,
            registry=registry,
        )
        self.queue = Gauge(
            "googlenet_queue_photos", "Images accepted and not yet predicted.", registry=registry
        )
        self.reserved_bytes = Gauge(
            "googlenet_held_bytes", "Bytes of open request bodies.", registry=registry
        )
        ProcessCollector(registry=registry)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)
