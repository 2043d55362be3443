"""A short load with broken and hostile requests among the good ones, by the benchmark's program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures import noise, tiny_classifier

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "serving.py"


@pytest.mark.slow
def test_no_wrong_answer_and_no_wrong_refusal(tmp_path: Path) -> None:
    tiny_classifier(classes=12, seed=4).save(tmp_path / "model.safetensors")
    (tmp_path / "photos").mkdir()
    for seed in range(12):
        noise(60 + 9 * seed, 90, seed).save(tmp_path / "photos" / f"{seed}.jpg")
    options = ["--requests", "400", "--minutes", "9", "--bad", "0.5", "--clients", "6"]
    done = subprocess.run(
        [sys.executable, PROGRAM, tmp_path / "model.safetensors", tmp_path / "photos", *options],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert (result["wrong"], result["requests"]) == ([], 400)
    assert result["photos answered"] > 150
    kinds = {name.partition(": ")[0] for name in result["statuses"]}
    assert len(kinds) > 20  # of 2 good and 28 bad ones
