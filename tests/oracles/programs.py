"""Runs other people's programs, each in its own environment, for the tests to compare with."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parents[1] / ".venv-oracles"


@dataclass(frozen=True)
class Program:
    """A script of this folder, the environment that it needs and its arguments after the folder.

    With `here` it runs in this environment and is told where the other one's packages are.
    """

    environment: str
    script: str
    arguments: tuple[str, ...] = ()
    here: bool = False


def run(program: Program, folder: Path) -> None:
    """Run it on a folder.  Skips the test without its environment; fails it if the script does."""
    environment = ENVIRONMENTS / program.environment
    if not (environment / "ready").is_file():
        pytest.skip(f"{program.environment} is not installed: bash tests/oracles/environment.sh")
    python, arguments = str(environment / "bin" / "python"), program.arguments
    if program.here:
        (packages,) = environment.glob("lib/python*/site-packages")
        python, arguments = sys.executable, (*arguments, str(packages))
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, str(HERE / program.script), str(folder), *arguments],
        env=variables | {"TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{program.script} failed:\n{done.stdout}\n{done.stderr}"
