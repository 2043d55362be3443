"""Detecting that another process has ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.watchdog import paused


class PeerLostError(GoogLeNetError):
    """Another process has ended, so this one cannot continue."""


@contextmanager
def collective() -> Iterator[None]:
    """Says in a sentence that another process did not come.  Raises PeerLostError.

    PyTorch limits the wait for the others, not our watchdog.
    """
    try:
        with paused():
            yield
    except RuntimeError as error:
        raise PeerLostError("another process of this run has ended") from error
