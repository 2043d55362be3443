"""First calls, which one thread makes alone.

A library sets itself up in its first call.  Where two threads make that call at once, both may do
the work, or each may wait for the other for ever: OpenVINO's Python binding did, one thread within
a C++ static initializer waiting for the interpreter's lock, the other with that lock waiting for
the initializer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from threading import Lock, RLock
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

# One lock for the process: what a library sets up once is shared by all objects that use it.
# Reentrant, for a first call that makes another one.
FIRST_CALL = RLock()


def first_call_alone(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """A method whose first call on each object no other first call overlaps.

    Calls that come during the first wait until it is complete; those after it run side by side
    and take no lock.  If the first call fails, the next one takes its place.
    """
    done = f"_{method.__name__}_is_done"  # a plain attribute: the object can still be copied

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        state = vars(self)
        if done not in state:
            with FIRST_CALL:
                if done not in state:
                    result = method(self, *args, **kwargs)
                    state[done] = True
                    return result
        return method(self, *args, **kwargs)

    return call


class locked_cache(Generic[R]):  # noqa: N801 - a decorator
    """`functools.cache`, except that threads which ask for one value at once compute it once."""

    def __init__(self, function: Callable[..., R]) -> None:
        self.function = function
        self.values: dict[tuple[Hashable, ...], R] = {}
        self.locks: dict[tuple[Hashable, ...], Any] = {}
        self.guard = Lock()
        self.__doc__ = function.__doc__

    def __call__(self, *key: Hashable) -> R:
        if key in self.values:
            return self.values[key]
        with self.guard:
            lock = self.locks.setdefault(key, RLock())
        with lock:
            if key not in self.values:
                self.values[key] = self.function(*key)
            return self.values[key]

    def cache_clear(self) -> None:
        self.values.clear()
