"""Messages and progress bars of a command, and its reaction to Ctrl-C and other signals."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from tqdm import tqdm

from googlenet.runtime.watchdog import paused

# Ctrl-C, a closed terminal, and what job schedulers send before they kill, often more than once.
SIGNAL_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
SIGNALS = [getattr(signal, name) for name in SIGNAL_NAMES if hasattr(signal, name)]

# The validation metrics in the line of an epoch, by their names in the log.
METRICS = {
    "top1_accuracy": "top-1",
    "top5_accuracy": "top-5",
    "balanced_accuracy": "balanced",
    "mean_average_precision": "mAP",
    "micro_f1": "micro-F1",
}


class Console:
    """Writes messages to `stream`, and progress bars to stderr if that is a terminal.

    `interrupted` becomes true at the first of the SIGNALS inside `interruptible`, so that the loop
    can finish its step and save; a second Ctrl-C stops at once.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.interrupted = False

    def say(self, line: str) -> None:
        with paused():  # a terminal may be held, a pager be read slowly
            tqdm.write(line, file=self.stream)
            self.stream.flush()

    def say_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.say(line)

    def bar(self, total: int, name: str, done: int = 0, unit: str = "it") -> Any:
        return tqdm(
            total=total, desc=name, initial=done, unit=unit, leave=False, file=sys.stderr,
            disable=not sys.stderr.isatty(),
        )  # fmt: skip

    def epoch(self, row: dict[str, float], epochs: int) -> None:
        """One line for a row of the log."""
        heads = ", ".join(
            f"{name.removeprefix('loss_')} {value:.3f}"
            for name, value in row.items()
            if name.startswith("loss_") and name != "loss_main"
        )
        found = " ".join(f"{name} {row[key]:.2f} %" for key, name in METRICS.items() if key in row)
        waits = row.get("data_wait", 0.0)
        self.say(
            f"epoch {row['epoch']:>3.0f}/{epochs}  loss {row['loss_main']:.3f}"
            + (f" ({heads})" if heads else "")
            + f"  train {row['train_accuracy']:.1f} %"
            f"  validation {found}"
            + f"  {row['images_per_second']:.0f} images/s"
            + (f" ({waits:.0f} % waiting for data)" if waits >= 1 else "")
            + f"  {row['seconds']:.0f} s"
        )

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Set `interrupted` at the first of the SIGNALS; of no effect outside the main thread.

        A signal that this process was started to ignore (`nohup`) stays ignored.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, _frame: object) -> None:
            if self.interrupted and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.interrupted = True

        handled = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, note) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
