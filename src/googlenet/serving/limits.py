"""The limits of the service: each an option of `googlenet serve`, described only here."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from googlenet.runtime.errors import UsageError

MIB = 2**20


def option(default: Any, unit: str, text: str) -> Any:
    """A field and what `--help` says of it; `unit`: N, S (seconds) or MIB (stored as bytes)."""
    return field(default=default, metadata={"unit": unit, "help": text})


@dataclass(frozen=True)
class Limits:
    """Raises UsageError for values that contradict each other or the decoder."""

    max_body: int = option(32 * MIB, "MIB", "maximum size of a request body in MiB")
    max_memory: int = option(256 * MIB, "MIB", "maximum total size of open requests in MiB")
    max_pixels: int = option(50_000_000, "N", "maximum pixels per image, width × height")
    max_images: int = option(32, "N", "maximum number of images per request")
    max_queue: int = option(128, "N", "maximum number of images waiting for a prediction")
    max_connections: int = option(256, "N", "maximum number of open connections")
    timeout: float = option(30, "S", "seconds from a complete request to its response")
    read_timeout: float = option(
        15, "S", "seconds to receive the headers, and the body at less than 64 KiB/s"
    )
    batch: int = option(16, "N", "maximum batch size, rounded down to a power of two")
    batch_wait: float = option(0.02, "S", "seconds to wait for more images to fill a batch")
    workers: int = option(2, "N", "threads that decode images")

    def __post_init__(self) -> None:
        from googlenet.images.pixel_limit import max_pixels  # NumPy and Pillow: not for --help

        for each in fields(self):
            value = getattr(self, each.name)
            if value < 0 or (value == 0 and each.name != "batch_wait"):
                raise UsageError(f"{option_name(each.name)} must be more than 0, got {value}")
        if self.max_images > self.max_queue:
            raise UsageError(
                "--max-queue must be at least --max-images, "
                f"got {self.max_queue} and {self.max_images}"
            )
        if self.max_body > self.max_memory:
            raise UsageError(
                "--max-memory must be at least --max-body, "
                f"got {self.max_memory} and {self.max_body} bytes"
            )
        if self.max_pixels > max_pixels():
            raise UsageError(
                f"--max-pixels must be at most {max_pixels()}, which is the decoder's limit, "
                f"got {self.max_pixels}"
            )


def option_name(name: str) -> str:
    return "--" + name.replace("_", "-")
