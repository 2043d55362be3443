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
    """The files of one run, and the lock that keeps other processes away.

    settings.json      all settings, resolved
    log.csv, log.jsonl a row per epoch
    last.safetensors   the model after the last epoch; best.safetensors the most accurate one
    checkpoint.safetensors  the complete state, for --resume
    report.html
    doubts.csv         images whose label may be wrong
    tensorboard        the log again, if TensorBoard is installed
    .lock              held while a process works here; the system releases it when it dies

    docs/runs.md says what happens to them when a run is interrupted.
    """

    def __init__(self, path: Path) -> None:
        self.set_path(path)
        self.lock: FileLock | None = None

    def set_path(self, path: Path) -> None:
        self.path = path
        self.settings = path / "settings.json"
        self.checkpoint = path / "checkpoint.safetensors"
        self.last = path / "last.safetensors"
        self.best = path / "best.safetensors"
        self.report = path / "report.html"
        self.label_issues = path / "doubts.csv"
        self.results = path / "results.json"

    def create(self, settings: dict[str, Any]) -> None:
        """Create the folder and lock it.

        Raises UsageError if it exists and is not empty, GoogLeNetError if it cannot be created or
        another process has just created it.
        """
        try:
            self.require_empty()
            self.path.mkdir(parents=True, exist_ok=True)
            self.acquire()
            self.require_empty()  # now that it is locked
        except OSError as error:
            raise GoogLeNetError(f"{self.path}: cannot be created ({error})") from error
        except UsageError:
            self.release()
            raise
        remove_stale_temp(self.path)
        write_text(self.settings, json.dumps(settings, indent=2) + "\n")

    def require_empty(self) -> None:
        """Raises UsageError unless it is empty, except for remains of a process that died early."""
        try:
            entries = list(self.path.iterdir()) if self.path.exists() else []
        except OSError as error:
            raise GoogLeNetError(f"{self.path}: cannot be created ({error})") from error
        left = (LOCK, ".settings.json.*.part")
        if not all(any(entry.match(pattern) for pattern in left) for entry in entries):
            raise UsageError(
                f"--out must be a new or empty folder, got {self.path}: "
                "choose another one, or --resume that run"
            )

    def lock_existing(self) -> None:
        """Lock an earlier session's folder and remove files that a kill left half-written."""
        self.acquire()
        remove_stale_temp(self.path)

    def acquire(self) -> None:
        """Raises GoogLeNetError if another process works here or locking fails."""
        lock = FileLock(self.path / LOCK, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise GoogLeNetError(f"{self.path}: in use by another process") from None
        except (OSError, NotImplementedError) as error:
            raise GoogLeNetError(f"{self.path}: cannot be locked ({error})") from error
        self.lock = lock

    def release(self) -> None:
        """Release the lock."""
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    def check_exists(self) -> None:
        """Raises GoogLeNetError if the folder is gone: recreated, it would hold half a run."""
        if not self.settings.is_file():
            raise GoogLeNetError(
                f"{self.path}: the folder or its settings.json disappeared during the run; "
                "if it was moved, resume it there with --resume"
            )

    def check_disk(self, size: int) -> None:
        """Raises GoogLeNetError if the disk has less than `size` bytes free."""
        above = next(p for p in (self.path, *self.path.absolute().parents) if p.is_dir())
        disk = shutil.disk_usage(above)
        if disk.total and disk.free < size:  # some network disks report nothing
            raise GoogLeNetError(
                f"{self.path}: the run needs {size / 1e6:,.0f} MB of disk, "
                f"{disk.free / 1e6:,.0f} MB are free"
            )

    def read_settings(self) -> dict[str, Any]:
        """The settings of an earlier session.  Raises UsageError if there is none."""
        if not self.settings.is_file():
            raise UsageError(f"--resume needs a run folder, got {self.path}: no settings.json")
        try:
            return dict(json.loads(self.settings.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise GoogLeNetError(f"{self.settings}: cannot be read ({error})") from error

    def write_log(self, history: list[dict[str, float]]) -> None:
        """Write the complete log so far."""
        write_text(self.path / "log.jsonl", "".join(json.dumps(row) + "\n" for row in history))
        columns = list(dict.fromkeys(name for row in history for name in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_text(self.path / "log.csv", table.getvalue())


class NumberedRunFolder(RunFolder):
    """The first free one of root/name-1, root/name-2, …, chosen when it is created."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        super().__init__(next_folder(root, name))

    def create(self, settings: dict[str, Any]) -> None:
        """Create the folder; only one of several processes can."""
        while True:
            self.set_path(next_folder(self.root, self.name))
            try:
                self.path.mkdir(parents=True)
            except FileExistsError:  # another process was faster
                continue
            except OSError as error:
                raise GoogLeNetError(f"{self.path}: cannot be created ({error})") from error
            return super().create(settings)


def next_folder(root: Path, name: str) -> Path:
    """The first of root/name-1, root/name-2, … that does not exist."""
    number = 1
    while (root / f"{name}-{number}").exists():
        number += 1
    return root / f"{name}-{number}"
