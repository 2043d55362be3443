"""Parts of the work, each a file written atomically, made by several processes.

A chunk whose file is there is done: whatever ended the program, the rest is made next time.  Each
is computed in one thread of one process, so that its bytes depend neither on the number of
processes nor on interruptions.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from googlenet.runtime.device import one_thread
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.watchdog import beat


@dataclass(frozen=True)
class Chunk:
    """`make(plan, *arguments)` writes `path` last; the plan can be sent to other processes.

    cost: about how many CPU-seconds it takes.
    """

    path: Path
    make: Callable[..., object]
    arguments: tuple[Any, ...]
    cost: float

    @property
    def done(self) -> bool:
        return self.path.exists()


class Workers:
    """Processes that make chunks of a plan; with one, everything is made in this process."""

    def __init__(self, plan: Any, processes: int) -> None:
        self.plan, self.processes = plan, processes
        self.pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def run(self, chunks: Sequence[Chunk], should_stop: Callable[[], bool]) -> Iterator[Chunk]:
        """Make what is missing, in order; each chunk is given back once it is made.

        No chunk is begun once `should_stop` says so; those that were begun are finished.
        """
        missing = [chunk for chunk in chunks if not chunk.done]
        if self.processes == 1:
            for chunk in missing:
                if should_stop():
                    return
                with one_thread():
                    chunk.make(self.plan, *chunk.arguments)
                beat()
                yield chunk
            return
        if missing:
            yield from self.run_beside(missing, should_stop)

    def run_beside(
        self, missing: Sequence[Chunk], should_stop: Callable[[], bool]
    ) -> Iterator[Chunk]:
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(self.processes, context, begin, (self.plan,))
        waiting, running = list(reversed(missing)), dict[Future[None], Chunk]()
        while True:
            while waiting and len(running) < self.processes and not should_stop():
                chunk = waiting.pop()
                running[self.pool.submit(make, chunk)] = chunk
            if not running:
                return
            finished, _ = wait(running, 1, FIRST_COMPLETED)
            for future in finished:
                try:
                    future.result()
                except BrokenProcessPool as error:
                    raise GoogLeNetError(
                        "a process was ended from outside, perhaps for want of memory: "
                        "the same command resumes, with fewer --processes if need be"
                    ) from error
                yield running.pop(future)
            beat()


class State:
    """What a process of the pool works on."""

    plan: Any


def begin(plan: Any) -> None:
    """In each process: one thread, Ctrl-C left to the parent, and an end when that has ended."""
    State.plan = plan
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def make(chunk: Chunk) -> None:
    chunk.make(State.plan, *chunk.arguments)
