"""Ends a long command in which nothing moves any more, and shows where its threads are.

A batch job must not wait for ever.  Whatever gets something done calls `beat`: an image read, a
batch computed, a step trained.  Without a beat for `GOOGLENET_STALL_SECONDS` (300; 0 switches this
off) the command prints every thread's stack and one sentence, and ends with exit code 1.

Only `googlenet` on the command line watches; elsewhere `beat` and the others change nothing.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Lock, Thread, current_thread, main_thread
from typing import NoReturn, TextIO

from googlenet.runtime.errors import UsageError

VARIABLE = "GOOGLENET_STALL_SECONDS"
SECONDS = 300.0  # no batch takes this long
MIN_SECONDS, MAX_SECONDS = 0.01, 1e6  # less or more is a mistake
CHECKS = 10  # without a beat, evenly over those seconds, are a stall


class State:
    """What the threads of this process tell the watchdog."""

    moved = False  # since the watchdog looked last
    working = 0  # things that must move
    paused = 0  # reasons why nothing has to move for a while
    lock = Lock()


def beat() -> None:
    """Something has moved.  Any thread may say so, as often as it likes."""
    State.moved = True


@contextmanager
def working() -> Iterator[None]:
    """Within it something has to move.  A service without requests may rest."""
    with State.lock:
        State.working += 1
    try:
        yield
    finally:
        with State.lock:
            State.working -= 1


@contextmanager
def paused() -> Iterator[None]:
    """Within it nothing has to move: it waits for a reader, or for what has a limit of its own."""
    with State.lock:
        State.paused += 1
    try:
        yield
    finally:
        with State.lock:
            State.paused -= 1


def stall_seconds(environ: Mapping[str, str]) -> float:
    """The limit that the environment sets; 0 for none.  Raises UsageError for a bad value."""
    text = environ.get(VARIABLE, str(SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if seconds != 0 and not MIN_SECONDS <= seconds <= MAX_SECONDS:
        limits = f"from {MIN_SECONDS:g} to {MAX_SECONDS:.0f}, or 0 (never)"
        raise UsageError(f"{VARIABLE} must be seconds {limits}, got {text!r}")
    return seconds


class StallCounter:
    """Counts checks without a beat.  No clock: a process that was suspended has not stalled."""

    def __init__(self) -> None:
        self.checks = 0

    def stalled(self) -> bool:
        """Whether nothing has moved for CHECKS checks, of which this is one."""
        fine = State.moved or State.paused or not State.working
        State.moved = False
        self.checks = 0 if fine else self.checks + 1
        return self.checks >= CHECKS


@contextmanager
def watching(verb: str, seconds: float) -> Iterator[None]:
    """Watch what is `working` in this process; with 0 seconds, nothing."""
    stream = sys.__stderr__
    if not seconds or stream is None:
        yield
        return
    message = (
        f"googlenet {verb}: nothing has moved for {seconds:g} seconds, so it ends here, with the "
        f"stacks of all its threads; start it again, with {VARIABLE} set higher if it was only slow"
    )

    def arm() -> None:
        # In C: it fires even if the threads that hang hold the interpreter's lock.
        faulthandler.dump_traceback_later(seconds, exit=True, file=stream)

    def watch() -> None:
        counter = StallCounter()
        arm()
        while not over.wait(seconds / CHECKS):
            if counter.stalled():
                end(message, stream)
            arm()

    # The timer in C prints a fixed text, and the function in which each thread is: this is one.
    watch.__code__ = watch.__code__.replace(co_name=message)
    over = Event()
    thread = Thread(target=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        with suspendable(arm):
            yield
    finally:
        over.set()
        thread.join()
        faulthandler.cancel_dump_traceback_later()


def end(message: str, stream: TextIO) -> NoReturn:
    """Print the stacks and the message, and end the process.

    By `os._exit`: a normal exit waits for threads, and these never end.  The message goes past
    Python's buffers, whose locks they may hold.  What is saved is whole: files are written so.
    """
    faulthandler.dump_traceback(stream)
    os.write(stream.fileno(), f"\n{message}\n".encode())
    os._exit(1)


@contextmanager
def suspendable(arm: Callable[[], None]) -> Iterator[None]:
    """Stop the timer, which goes on while a process is suspended, at Ctrl-Z and its like."""
    number: signal.Signals | None = getattr(signal, "SIGTSTP", None)  # Windows has none
    if (
        number is None
        or current_thread() is not main_thread()
        or signal.getsignal(number) != signal.SIG_DFL
    ):
        yield
        return

    def suspend(_number: int, _frame: object) -> None:
        faulthandler.cancel_dump_traceback_later()
        os.kill(os.getpid(), signal.SIGSTOP)  # to here, until SIGCONT
        arm()

    signal.signal(number, suspend)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL)
