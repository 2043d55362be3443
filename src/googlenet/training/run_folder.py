"""The folder of a run: settings, logs, models, checkpoint, report."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.files import remove_stale_temp, write_text

LOCK = ".lock"


class RunFolder:
    """The files of one run, each at its place, and the lock that keeps other processes away.

    settings.json      everything that decided the run, resolved
    log.csv, log.jsonl a row an epoch
    last.safetensors   the model after the last epoch; best.safetensors the one with most right
    checkpoint.safetensors  the whole state, for --resume
    report.html
    doubts.csv         photos whose label the model doubts
    tensorboard        the log once more, where TensorBoard is installed
    .lock              locked while a process works here; the system unlocks it with its death

    docs/runs.md says what happens to them when a run is interrupted.
    """

    def __init__(self, path: Path) -> None:
        self.place(path)
        self.lock: FileLock | None = None

    def place(self, path: Path) -> None:
        self.path = path
        self.settings = path / "settings.json"
        self.checkpoint = path / "checkpoint.safetensors"
        self.last = path / "last.safetensors"
        self.best = path / "best.safetensors"
        self.report = path / "report.html"
        self.doubts = path / "doubts.csv"
        self.results = path / "results.json"

    def create(self, settings: dict[str, Any]) -> None:
        """Make the folder, and lock it.

        Raises UsageError where there is one already with something in it, GoogLeNetError where
        it cannot be made or another process has just made it.
        """
        try:
            self.require_empty()
            self.path.mkdir(parents=True, exist_ok=True)
            self.acquire()
            self.require_empty()  # now that nobody else can change it
        except OSError as error:
            raise GoogLeNetError(f"{self.path}: cannot be made ({error})") from error
        except UsageError:
            self.release()
            raise
        remove_stale_temp(self.path)
        write_text(self.settings, json.dumps(settings, indent=2) + "\n")

    def require_empty(self) -> None:
        """Raises UsageError where there is anything but what a process left that died at once."""
        try:
            entries = list(self.path.iterdir()) if self.path.exists() else []
        except OSError as error:
            raise GoogLeNetError(f"{self.path}: cannot be made ({error})") from error
        left = (LOCK, ".settings.json.*.part")
        if not all(any(entry.match(pattern) for pattern in left) for entry in entries):
            raise UsageError(
                f"--out must be a new or empty folder, got {self.path}: "
                "give another one, or --resume to go on with that run"
            )

    def open(self) -> None:
        """Lock the folder of an earlier session, and clear away what a kill left half written."""
        self.acquire()
        remove_stale_temp(self.path)

    def acquire(self) -> None:
        """Raises GoogLeNetError where another process works here, or the lock cannot be had."""
        lock = FileLock(self.path / LOCK, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise GoogLeNetError(f"{self.path}: another process is working on this run") from None
        except (OSError, NotImplementedError) as error:
            raise GoogLeNetError(f"{self.path}: cannot be locked ({error})") from error
        self.lock = lock

    def release(self) -> None:
        """Let other processes have the folder."""
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    def require(self) -> None:
        """Raises GoogLeNetError where the folder has gone: made anew it would be half a run's."""
        if not self.settings.is_file():
            raise GoogLeNetError(
                f"{self.path}: the folder, or its settings.json, has vanished during the run; "
                "if it was moved, go on with it there by --resume"
            )

    def require_room(self, size: int) -> None:
        """Raises GoogLeNetError where the disk has less room than so many bytes."""
        above = next(p for p in (self.path, *self.path.absolute().parents) if p.is_dir())
        disk = shutil.disk_usage(above)
        if disk.total and disk.free < size:  # some network disks tell nothing
            raise GoogLeNetError(
                f"{self.path}: the run needs {size / 1e6:,.0f} MB of disk, "
                f"{disk.free / 1e6:,.0f} MB are free"
            )

    def read_settings(self) -> dict[str, Any]:
        """The settings of an earlier session.  Raises UsageError where there was none."""
        if not self.settings.is_file():
            raise UsageError(
                f"--resume needs the folder of a run, got {self.path}: no settings.json"
            )
        try:
            return dict(json.loads(self.settings.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise GoogLeNetError(f"{self.settings}: cannot be read ({error})") from error

    def write_log(self, history: list[dict[str, float]]) -> None:
        """The log so far, whole: what a resumed run writes replaces what was lost."""
        write_text(self.path / "log.jsonl", "".join(json.dumps(row) + "\n" for row in history))
        columns = list(dict.fromkeys(name for row in history for name in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_text(self.path / "log.csv", table.getvalue())


class NumberedRunFolder(RunFolder):
    """The first of root/name-1, root/name-2, … that nobody else has, chosen when it is made."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        super().__init__(next_folder(root, name))

    def create(self, settings: dict[str, Any]) -> None:
        """Make the folder, which only one of several processes can."""
        while True:
            self.place(next_folder(self.root, self.name))
            try:
                self.path.mkdir(parents=True)
            except FileExistsError:  # made by another process since we looked
                continue
            except OSError as error:
                raise GoogLeNetError(f"{self.path}: cannot be made ({error})") from error
            return super().create(settings)


def next_folder(root: Path, name: str) -> Path:
    """The first of root/name-1, root/name-2, … that does not exist."""
    number = 1
    while (root / f"{name}-{number}").exists():
        number += 1
    return root / f"{name}-{number}"
