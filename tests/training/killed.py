"""A program that kills runs and resumes them: `python -m tests.training.killed PLAN`.

It imports everything once; every session of a run is a process forked from it, which does what
`googlenet train` does until it is killed.  PLAN is a JSON file: {"first": the arguments of
`googlenet` for the first session, "resume": those for the others, "out": the run's folder,
"cases": [[kill, …], …]}.  Each kill ends one session, and a last session is left alone:

    {"call": n}                at the nth Python call within the package, in whatever thread
    {"function": "score", "call": n}     as that function of the package is entered the nth time
    {"file": n}                before the nth operation that makes, syncs, renames or removes a file
    {"bytes": n}               within the write that makes some file longer than n bytes
    {"share": s}               by the parent, after so much of the time that the first case took

For each case it prints a line of JSON: how its sessions ended, and what is in the folder then.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from hashlib import sha256
from io import StringIO
from itertools import count
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any

import torch._dynamo  # noqa: F401 - which making an optimizer imports, in seconds
from safetensors import safe_open
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

import googlenet
from googlenet.cli import main
from googlenet.report import page  # noqa: F401 - so that it is there before the forks

PACKAGE = str(Path(googlenet.__file__).parent)
# What a clock says.
VARYING = ("seconds", "images_per_second", "data_wait", "compute_seconds", "wait_seconds")
Kill = dict[str, Any]


class Countdown:
    """Kills this process the nth time that it is called."""

    def __init__(self, n: int) -> None:
        self.calls, self.n = count(1), n

    def __call__(self) -> None:
        if next(self.calls) == self.n:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_at_call(n: int, name: str | None) -> None:
    countdown = Countdown(n)

    def profile(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if (
            event == "call"
            and code.co_filename.startswith(PACKAGE)
            and name in (None, code.co_name)
        ):
            countdown()

    threading.setprofile(profile)
    sys.setprofile(profile)


def kill_at_file(n: int) -> None:
    countdown = Countdown(n)
    sync = os.fsync

    def fsync(descriptor: Any) -> None:
        countdown()
        sync(descriptor)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        made = event == "open" and set(str(arguments[1])) & set("wax+")
        if made or event in ("os.rename", "os.remove", "os.mkdir"):
            countdown()

    os.fsync = fsync  # type: ignore[assignment]
    sys.addaudithook(audit)


def kill_at_bytes(n: int) -> None:
    """The system's own limit, whose signal Python usually ignores."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (n, n))


def session(arguments: list[str], kill: Kill) -> None:
    """What a forked process does."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as errors:
        if "call" in kill:
            kill_at_call(kill["call"], kill.get("function"))
        if "file" in kill:
            kill_at_file(kill["file"])
        if "bytes" in kill:
            kill_at_bytes(kill["bytes"])
        code = main(arguments)
    sys.stderr.write(errors.getvalue())
    sys.stderr.flush()
    os._exit(code)


def run_session(plan: dict[str, Any], kill: Kill, seconds: float) -> int:
    """How a session ended: its exit code, or minus the number of the signal that killed it."""
    resumed = (Path(plan["out"]) / "settings.json").exists()
    arguments = plan["resume"] if resumed else plan["first"]
    process = multiprocessing.get_context("fork").Process(target=session, args=(arguments, kill))
    process.start()
    process.join(kill["share"] * seconds if "share" in kill else None)
    if process.is_alive():
        process.kill()
        process.join()
    assert process.exitcode is not None
    return process.exitcode


def result(out: Path) -> dict[str, Any]:
    """What is in a run's folder, but for what a clock said."""
    names = sorted(path.name for path in out.iterdir())
    found: dict[str, Any] = {"names": names}
    for name in ("last.safetensors", "best.safetensors"):
        found[name] = sha256((out / name).read_bytes()).hexdigest()
    found["checkpoint"] = checkpoint(out / "checkpoint.safetensors")
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    found["log"] = [{k: v for k, v in row.items() if k not in VARYING} for row in rows]
    found["csv"] = len((out / "log.csv").read_text().splitlines()) - 1
    found["board"] = board(out / "tensorboard")
    return found


def checkpoint(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="np") as file:
        values = json.loads(file.metadata()["googlenet-checkpoint"])
        tensors = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
    found = {name: sha256(content).hexdigest() for name, content in tensors.items()}
    return found | {k: values[k] for k in ("step", "sums", "bad", "best", "data", "order")}


def board(folder: Path) -> list[list[Any]]:
    """TensorBoard's steps and names, in the order in which they lie in its files."""
    return [
        [event.step, sorted(value.tag for value in event.summary.value)]
        for path in sorted(folder.iterdir())
        for event in EventFileLoader(str(path)).Load()
        if event.summary.value
    ]


def kill_and_resume(plan: dict[str, Any], kills: list[Kill], seconds: float) -> dict[str, Any]:
    out = Path(plan["out"])
    shutil.rmtree(out, ignore_errors=True)
    ends = [run_session(plan, kill, seconds) for kill in kills]
    ends.append(run_session(plan, {}, seconds))
    return {"ends": ends} | result(out)


def run_plan(plan: dict[str, Any]) -> None:
    seconds = 0.0
    for kills in plan["cases"]:
        began = perf_counter()
        print(json.dumps(kill_and_resume(plan, kills, seconds)), flush=True)
        seconds = seconds or perf_counter() - began


if __name__ == "__main__":
    run_plan(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
