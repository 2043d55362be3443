"""A program that kills runs and resumes them: `python -m tests.training.killed PLAN` .

It imports everything once, and every session of a run is a process forked from it, which
does what `googlenet train` does until it is killed.  PLAN is a JSON file: {"command": the
arguments of the first session, "resume": those of the others, "out": the run's folder,
"limit": most sessions of a run, "cases": [[session, …], …]}.  Each session says how it is
killed, the last one of a case (none given) is not:

    {"event": "call", "at": n}           at the nth Python call of the package, counted over threads
    {"event": "file", "at": n}           at the nth operation that changes a file; half of a write
    {"event": "function", "name": "score", "at": n}    as that function is entered the nth time
    {"event": "time", "seconds": s}      by the parent, after so long

It prints a JSON object: for each case the digests of the run's files after a last, undisturbed
session, and how its sessions ended.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

import torch

import googlenet
from googlenet.cli import main
from googlenet.report import page  # noqa: F401 - imported once, before the forks
from googlenet.training import run  # noqa: F401

PACKAGE = str(Path(googlenet.__file__).parent)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def count_to(at: int) -> Callable[[], bool]:
    """A function that is true the `at`th time that it is called."""
    calls = 0

    def reached() -> bool:
        nonlocal calls
        calls += 1
        return calls == at

    return reached


def watch_calls(at: int, name: str | None) -> None:
    """Die as the package enters a function the `at`th time, that of a name or any."""
    reached = count_to(at)

    def profile(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        ours = event == "call" and code.co_filename.startswith(PACKAGE)
        if ours and (name is None or code.co_name == name) and reached():
            die()

    threading.setprofile(profile)
    sys.setprofile(profile)


def watch_files(at: int, log: Path | None = None) -> None:
    """Die before the `at`th operation on a file; a write is half done by then.

    Python tells its audit hooks of every file that is opened, renamed or removed, whoever does
    it; of writing and syncing it tells nothing, so those are replaced.
    """
    reached = count_to(at)

    def operation(name: str) -> bool:
        if log:
            with open(log, "a") as file:  # noqa: PTH123
                file.write(f"{name}\n")
            return False
        return reached()

    class Half:
        """A file that is written to until the kill comes in the middle of it."""

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if writes or event in ("os.rename", "os.remove", "os.mkdir"):
            if str(arguments[0]) != str(log) and operation(event):
                die()

    sys.addaudithook(audit)
