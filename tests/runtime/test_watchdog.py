"""What hangs ends, with its threads' stacks and a sentence; what moves, or may rest, does not."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from googlenet.checks.near_duplicates import SIDE, near_duplicates
from googlenet.cli import VERBS, WATCHED
from googlenet.data.dataset import Samples
from googlenet.data.folder import list_images
from googlenet.evaluation.accuracy import score
from googlenet.evaluation.intervals import resampled
from googlenet.parallel.peer_failure import collective
from googlenet.runtime.errors import UsageError
from googlenet.runtime.files import file_digest
from googlenet.runtime.prefetch import prefetch
from googlenet.runtime.watchdog import (
    CHECKS,
    SECONDS,
    StallCounter,
    State,
    beat,
    paused,
    stall_seconds,
    suspendable,
    working,
)
from tests.fixtures import tiny_classifier


@pytest.fixture(autouse=True)
def nothing_has_moved() -> Iterator[None]:
    State.moved = False
    yield
    assert (State.working, State.paused) == (0, 0)


@pytest.mark.parametrize(
    ("text", "seconds"), [("", None), ("0", 0.0), ("0.5", 0.5), ("3600", 3600.0)]
)
def test_limit_is_the_environment_s(text: str, seconds: float | None) -> None:
    environ = {"GOOGLENET_STALL_SECONDS": text} if text else {}
    assert stall_seconds(environ) == (SECONDS if seconds is None else seconds)


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1e9", "1e-9", "five", ""])
def test_bad_limits_are_refused(text: str) -> None:
    message = rf"must be seconds from 0.01 to 1000000, or 0 \(never\), got '{text}'"
    with pytest.raises(UsageError, match=message):
        stall_seconds({"GOOGLENET_STALL_SECONDS": text})


def checks(counter: StallCounter, most: int = 3 * CHECKS) -> int:
    """After how many checks it has stalled; `most` if it has not."""
    return next((n for n in range(1, most) if counter.stalled()), most)


def test_work_that_does_not_move_stalls() -> None:
    with working():
        assert checks(StallCounter()) == CHECKS


def test_a_beat_gives_all_the_time_again() -> None:
    counter = StallCounter()
    with working():
        assert checks(counter, CHECKS) == CHECKS
        beat()
        assert checks(counter) == CHECKS + 1  # the first one sees the beat


def test_nothing_to_do_is_no_stall() -> None:
    counter = StallCounter()
    assert checks(counter) == 3 * CHECKS
    with working():
        with working():
            pass
        with paused():
            assert checks(counter) == 3 * CHECKS
        assert checks(counter) == CHECKS


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_read_ahead_beats(workers: int) -> None:
    assert list(prefetch(abs, [-1, 2], workers)) == [1, 2]
    assert State.moved


def test_long_work_in_one_thread_beats(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no photo")
    thumbnails = np.zeros((2, SIDE, SIDE), np.uint8)
    for work in (
        lambda: list_images(tmp_path),
        lambda: file_digest(tmp_path / "a.png"),
        lambda: list(near_duplicates(thumbnails, 1)),
        lambda: score(tiny_classifier(), Samples((thumbnails[0],), (0,)), workers=0),
    ):
        State.moved = False
        work()
        assert State.moved


def test_resampling_beats() -> None:
    resampled(lambda draws: {"mean": draws.mean(1)}, images=3, resamples=2)
    assert State.moved


def test_other_processes_may_take_their_time() -> None:
    with collective():
        assert State.paused == 1


def test_watched_commands_exist() -> None:
    assert set(WATCHED) <= set(VERBS)


def test_a_suspended_process_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: done.append("cancel"))
    monkeypatch.setattr(os, "kill", lambda process, number: done.append(number.name))
    before = signal.getsignal(signal.SIGTSTP)
    with suspendable(lambda: done.append("arm")):
        signal.raise_signal(signal.SIGTSTP)
    assert done == ["cancel", "SIGSTOP", "arm"]
    assert signal.getsignal(signal.SIGTSTP) == before


def program(code: str, seconds: str = "0.5") -> subprocess.CompletedProcess[str]:
    """Run the code in a watched process of its own."""
    code = (
        "import ctypes, threading\nfrom googlenet.runtime.watchdog import beat, watching, working\n"
        f"with watching('predict', {seconds}), working():\n    {code}"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


HANGS = {
    "a lock": "threading.Event().wait()",
    "in another thread": "threading.Thread(target=threading.Event().wait).start()",
    "the interpreter's lock": "ctypes.PyDLL(None).pause()",
}


@pytest.mark.parametrize("hang", HANGS.values(), ids=HANGS)
def test_what_hangs_ends_with_stacks_and_a_sentence(hang: str) -> None:
    done = program(f"{hang}; threading.Event().wait()")
    assert (done.returncode, done.stdout) == (1, "")
    assert "most recent call first" in done.stderr
    assert 'File "<string>", line 4 in <module>' in done.stderr
    said = "googlenet predict: nothing has moved for 0.5 seconds, so it ends here"
    assert done.stderr.count(said) >= 1
    assert "GOOGLENET_STALL_SECONDS" in done.stderr


def test_what_ends_leaves_nothing() -> None:
    done = program("beat()\nprint(threading.active_count())")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def command(**environ: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "googlenet", "predict", "nothing.xml", "nothing.jpg"]
    return subprocess.run(words, env=os.environ | environ, capture_output=True, text=True)


def test_the_command_line_refuses_a_bad_limit() -> None:
    done = command(GOOGLENET_STALL_SECONDS="soon")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "googlenet predict: GOOGLENET_STALL_SECONDS must be seconds from 0.01 to 1000000, "
        "or 0 (never), got 'soon'\n"
    )


def test_the_command_line_watches() -> None:
    """A command whose work never comes back."""
    code = (
        "import sys, threading\nfrom googlenet.cli import predict, main\n"
        "predict.run = lambda args: threading.Event().wait()\n"
        "sys.argv = ['googlenet', 'predict', 'model', 'image']\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"GOOGLENET_STALL_SECONDS": "0.5"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "googlenet predict: nothing has moved for 0.5 seconds" in done.stderr.splitlines()[-1]
