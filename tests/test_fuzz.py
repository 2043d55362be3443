"""Damaged files of every kind: a sentence or a right answer, in little time and memory.

`fuzzed.py` reads them, in a process of its own whose memory the system limits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.untrusted import KINDS
from tests.weights.test_detect import FILES

ROOT = Path(__file__).parents[1]
OURS = ("model", "checkpoint", "settings")
FOREIGN = tuple(f"foreign:{name}" for name in FILES)


def fuzz(kind: str, count: int, folder: Path) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzzed", kind, str(count), str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if kind in (*OURS, *FOREIGN):  # other people's libraries and `googlenet pack` say something
        assert done.stderr == ""
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    assert sum(found.values()) == count
    return found


@pytest.mark.parametrize("kind", OURS)
def test_ten_damaged_files(kind: str, tmp_path: Path) -> None:
    assert fuzz(kind, 10, tmp_path)["refused"] > 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", OURS)
def test_a_thousand_damaged_files(kind: str, tmp_path: Path) -> None:
    assert fuzz(kind, 1000, tmp_path)["refused"] > 500


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_three_hundred_damaged_files_of_data_and_of_other_engines(
    kind: str, tmp_path: Path
) -> None:
    assert fuzz(kind, 300, tmp_path)["refused"] > 60


@pytest.mark.slow
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_thousand_damaged_files_of_others(kind: str, tmp_path: Path) -> None:
    assert fuzz(kind, 1000, tmp_path)["refused"] > 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["convert:caffe", "convert:onnx"])
def test_a_hundred_damaged_networks_of_others(kind: str, tmp_path: Path) -> None:
    assert fuzz(kind, 100, tmp_path)["refused"] > 20
