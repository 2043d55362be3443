"""What a run says, and what Ctrl-C does to it."""

from __future__ import annotations

import io
import os
import signal
import threading

import pytest

from googlenet.runtime.console import Console


def test_lines_and_no_bar_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    console = Console(stream)
    with console.bar(3, "epoch 1") as bar:
        bar.update()
        console.say("a line")
    assert stream.getvalue() == "a line\n"
    assert capsys.readouterr() == ("", "")


def test_line_of_an_epoch() -> None:
    stream = io.StringIO()
    row = {
        "epoch": 2, "loss_main": 1.5, "loss_4a": 1.75, "loss_4d": 2.0, "train_accuracy": 50.0,
        "top1_accuracy": 60.25, "top5_accuracy": 90.5, "images_per_second": 99.6, "seconds": 12.3,
        "data_wait": 0.9,
    }  # fmt: skip
    Console(stream).epoch(row, 20)
    assert stream.getvalue() == (
        "epoch   2/20  loss 1.500 (4a 1.750, 4d 2.000)  train 50.0 %"
        "  validation top-1 60.25 % top-5 90.50 %  100 images/s  12 s\n"
    )
    row["data_wait"] = 25.4
    Console(stream).epoch(row, 20)
    assert "100 images/s (25 % waiting for data)  12 s\n" in stream.getvalue()
    del row["loss_4a"], row["loss_4d"]
    Console(stream).epoch(row, 20)
    assert "loss 1.500  train" in stream.getvalue()


def test_first_ctrl_c_is_noted_the_second_stops() -> None:
    console = Console(io.StringIO())
    before = signal.getsignal(signal.SIGINT)
    with console.interruptible():
        os.kill(os.getpid(), signal.SIGINT)
        assert console.interrupted
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU],
)
def test_scheduler_that_asks_twice_gets_its_checkpoint(number: signal.Signals) -> None:
    console = Console(io.StringIO())
    before = signal.getsignal(number)
    with console.interruptible():
        for _ in range(3):
            os.kill(os.getpid(), number)
        assert console.interrupted
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(number) is before


def test_signal_that_is_ignored_stays_ignored() -> None:
    """As `nohup` has it, and a shell for what it starts in the background."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        console = Console(io.StringIO())
        with console.interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
        assert not console.interrupted
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_have_no_signals() -> None:
    entered = []

    def work() -> None:
        with Console(io.StringIO()).interruptible():
            entered.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [True]
