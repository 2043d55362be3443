"""Chunks: a process that is ended from outside is told in a sentence, and hangs nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from googlenet.insight.chunks import Chunk, Workers
from googlenet.runtime.errors import GoogLeNetError


def end(plan: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def write(plan: str, path: Path) -> None:
    path.write_text(plan)


@pytest.mark.slow
def test_a_process_that_is_ended_from_outside(tmp_path: Path) -> None:
    with Workers("a plan", 2) as workers, pytest.raises(GoogLeNetError, match="resumes"):
        list(workers.run([Chunk(tmp_path / "one", end, (), 1.0)], lambda: False))


def test_what_is_there_is_not_made_again_and_nothing_is_begun_too_late(tmp_path: Path) -> None:
    paths = [tmp_path / str(n) for n in range(4)]
    paths[1].write_text("there")
    chunks = [Chunk(path, write, (path,), 1.0) for path in paths]
    calls = iter([False, False, True])
    with Workers("new", 1) as workers:
        made = [chunk.path for chunk in workers.run(chunks, lambda: next(calls))]
    assert made == [paths[0], paths[2]]
    assert [path.exists() for path in paths] == [True, True, True, False]
    assert paths[1].read_text() == "there"
