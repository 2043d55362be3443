"""Log to TensorBoard, if it is installed."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from googlenet.runtime.files import WriteError

EVENTS = "events.out.tfevents."  # TensorBoard recognizes its files by this prefix


class TensorBoardLogger:
    """Writes rows of the log to `folder`; does nothing if TensorBoard is not installed.

    PyTorch's `SummaryWriter` would print a traceback from its thread when the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file: Path | None = None

    def begin(self, history: Sequence[dict[str, float]]) -> None:
        """Replace an earlier session's events with the checkpoint's log.

        Raises WriteError if that fails.
        """
        if find_spec("tensorboard") is None:
            return
        try:
            self.folder.mkdir(exist_ok=True)
            for old in self.folder.glob(f"{EVENTS}*"):
                old.unlink()
        except OSError as error:
            raise WriteError(f"{self.folder}: cannot be written ({error})") from error
        self.file = self.folder / f"{EVENTS}{time.time():010.0f}.googlenet"
        self.add(file_version="brain.Event:2")
        for row in history:
            self.write(row)

    def write(self, row: dict[str, float]) -> None:
        """Append a row.  Raises WriteError if that fails."""
        if self.file is None:
            return
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name != "epoch"
        ]
        self.add(step=int(row["epoch"]), summary=Summary(value=values))

    def add(self, **fields: Any) -> None:
        """Append an event in a single write."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        assert self.file is not None
        record = io.BytesIO()
        RecordWriter(record).write(Event(wall_time=time.time(), **fields).SerializeToString())
        try:
            with self.file.open("ab") as file:
                file.write(record.getvalue())
        except OSError as error:
            raise WriteError(f"{self.folder}: cannot be written ({error})") from error
