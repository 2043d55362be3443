"""What the service takes on: every limit in one value, each an option of `googlenet serve`."""

from __future__ import annotations

from dataclasses import dataclass, fields

from googlenet.images.decode import MAX_PIXELS
from googlenet.runtime.errors import UsageError

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """Raises UsageError for values that contradict each other or the decoder.

    body: bytes of a request.  held: bytes of all requests that are being read or answered.
    pixels: of a photo, width times height.  photos: of a request.
    queue: photos that wait for their answers.  connections: open at a time.
    seconds: from a complete request to its answer.
    read_seconds: for a request's headers, for its body, and for taking the answer.
    batch: photos that go through the network together (of other numbers the power of two below).
    batch_seconds: how long a photo waits for others that are on their way.
    decoders: threads that decode photos.
    """

    body: int = 32 * MIB
    held: int = 256 * MIB
    pixels: int = 50_000_000
    photos: int = 32
    queue: int = 128
    connections: int = 256
    seconds: float = 30.0
    read_seconds: float = 15.0
    batch: int = 16
    batch_seconds: float = 0.02
    decoders: int = 2

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value == 0 and field.name != "batch_seconds"):
                raise UsageError(f"{field.name} must be more than 0, got {value}")
        if self.photos > self.queue:
            raise UsageError(
                f"the photos of a request must fit the queue, got {self.photos} photos "
                f"and a queue of {self.queue}"
            )
        if self.body > self.held:
            raise UsageError(
                f"the bytes of a request must fit those of all, got {self.body} and {self.held}"
            )
        if self.pixels > MAX_PIXELS:
            raise UsageError(
                f"the decoder takes photos of up to {MAX_PIXELS} pixels, got {self.pixels}"
            )
