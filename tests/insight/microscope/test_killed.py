"""`kill -9` at any operation on a file, then the same command: the site has the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import photo_folder, tiny_classifier

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def test_a_killed_microscope_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    tiny_classifier().save(tmp_path / "m.safetensors")
    photo_folder(tmp_path / "data", {"id0": 5, "id1": 5})
    out = tmp_path / "site"
    words = ["microscope", str(tmp_path / "m.safetensors"), "--data", str(tmp_path / "data")]
    words += [
        "--out",
        str(out),
        "--layers",
        "3a,5b",
        "--atlas",
        "5b",
        "--steps",
        "1",
        "--processes",
        "1",
    ]
    cases: list[list[dict[str, Any]]] = [[]]
    cases += [[{"file": n}] for n in (1, 2, 4, *range(8, 260, 42))]
    cases += [[{"file": 40}, {"file": 30}, {"file": 20}], [{"share": 0.4}, {"share": 0.4}]]
    plan = {"first": words, "resume": words, "out": str(out), "cases": cases}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed_commands", str(tmp_path / "plan.json")],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    whole, *others = map(json.loads, done.stdout.splitlines())
    assert whole["ends"] == [0]
    assert len(others) == len(cases) - 1
    assert sum(-9 in found["ends"] for found in others) > 4
    for found in others:
        assert found["ends"][-1] == 0
        assert found["files"] == whole["files"]


def test_two_processes_make_the_same_bytes(tmp_path: Path) -> None:
    tiny_classifier().save(tmp_path / "m.safetensors")
    photo_folder(tmp_path / "data", {"id0": 70, "id1": 70})
    sites = []
    for processes in ("1", "2"):
        out = tmp_path / processes
        command = ["-m", "googlenet", "microscope", str(tmp_path / "m.safetensors")]
        command += ["--data", str(tmp_path / "data"), "--out", str(out), "--layers", "3a,5b"]
        command += ["--steps", "2"]
        subprocess.run([sys.executable, *command, "--processes", processes], check=True)
        sites.append(
            {p.relative_to(out): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}
        )
    assert sites[0] == sites[1]
