"""A little of `benchmarks/soak.py`: kills of every command, damaged files of every reader."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[1] / "benchmarks" / "soak.py"
pytestmark = pytest.mark.slow


def soak(out: Path, *options: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, PROGRAM, out, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def test_killed_commands_leave_what_undisturbed_ones_write(tmp_path: Path) -> None:
    """Begun again with more to do, it goes on with the cases that it has not done."""
    first = soak(tmp_path, "--kills", "1")["kills"]
    assert set(first) == {"training", "prediction", "packing", "export"}
    assert all(entry["kills"] > 0 for entry in first.values())
    assert soak(tmp_path, "--kills", "1")["kills"] == first


def test_damaged_requests_are_answered_and_the_service_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    program = import_module("soak")

    found = program.damage("http", 0, {})
    assert found["wrong"] == []
    assert found["refused"] > 10
