"""The folder of a run: settings, logs, models, checkpoint, report."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from googlenet.errors import GoogLeNetError, UsageError
from googlenet.files import write_text


class RunFolder:
    """The files of one run, each at its place.

    settings.json      everything that decided the run, resolved
    log.csv, log.jsonl a row an epoch
    last.safetensors   the model after the last epoch; best.safetensors the one with most right
    checkpoint.safetensors  the whole state, for --resume
    report.html
    doubts.csv         photos whose label the model doubts
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = path / "settings.json"
        self.checkpoint = path / "checkpoint.safetensors"
        self.last = path / "last.safetensors"
        self.best = path / "best.safetensors"
        self.report = path / "report.html"
        self.doubts = path / "doubts.csv"
        self.results = path / "results.json"

    def create(self, settings: dict[str, Any]) -> None:
        """Make the folder.  Raises UsageError where there is one already with something in it."""
        try:
            self.require_empty()
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GoogLeNetError(f"{self.path}: cannot be made ({error})") from error
        write_text(self.settings, json.dumps(settings, indent=2) + "\n")

    def require_empty(self) -> None:
        """Raises UsageError where the folder has something in it."""
        if self.path.exists() and any(self.path.iterdir()):
            raise UsageError(
                f"--out must be a new or empty folder, got {self.path}: "
                "give another one, or --resume to go on with that run"
            )

    def read_settings(self) -> dict[str, Any]:
        """The settings of an earlier session.  Raises UsageError where there was none."""
        if not self.settings.is_file():
            raise UsageError(
                f"--resume needs the folder of a run, got {self.path}: no settings.json"
            )
        try:
            return dict(json.loads(self.settings.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
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


def next_folder(root: Path, name: str) -> Path:
    """The first of root/name-1, root/name-2, … that does not exist."""
    number = 1
    while (root / f"{name}-{number}").exists():
        number += 1
    return root / f"{name}-{number}"
