"""Work ahead in threads.

Pillow and NumPy release the interpreter's lock while they work on pixels, so threads decode in
parallel without the processes, shared memory and start-up of worker processes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from googlenet.runtime.watchdog import beat

T = TypeVar("T")
R = TypeVar("R")


def prefetch(
    function: Callable[[T], R], items: Iterable[T], workers: int, ahead: int = 2
) -> Iterator[R]:
    """`map(function, items)` in threads, in order, at most `ahead` results a worker waiting."""

    def moved(item: T) -> R:
        result = function(item)
        beat()
        return result

    if workers < 1:
        yield from map(moved, items)
        return
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(moved, item))
                if len(waiting) > workers * ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
