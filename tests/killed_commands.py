"""A program that kills a command and runs it again: `python -m tests.killed_commands PLAN`.

As `tests.training.killed`, with the same plans and kills, for commands whose output appears
whole or not at all: {"first": the command, "resume": the same, "out": the folder of what it
writes, "cases": [[kill, …], …]}.  For each case it prints a line of JSON: how the sessions
ended, what is in the folder at the end, and the files that were there after a kill but torn.
"""

from __future__ import annotations

import json
import shutil
import sys
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

import onnxruntime  # noqa: F401 - so that it is there before the forks

from tests.training.killed import Kill, run_session


def visible(out: Path) -> dict[str, str]:
    """The digests of the files in a folder, without those that are still being written."""
    found = (path for path in sorted(out.rglob("*")) if path.is_file())
    names = {str(path.relative_to(out)): path for path in found}
    return {
        name: sha256(path.read_bytes()).hexdigest()
        for name, path in names.items()
        if not name.startswith(".") and "/." not in name
    }


def kill_and_repeat(plan: dict[str, Any], kills: list[Kill], seconds: float) -> dict[str, Any]:
    out = Path(plan["out"])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    ends, seen = [], []
    for kill in kills:
        ends.append(run_session(plan, kill, seconds))
        seen.append(visible(out))
        if ends[-1] == 0:  # it was done before the kill
            break
    else:
        ends.append(run_session(plan, {}, seconds))
    files = visible(out)
    # A file that is still being written says so by its name.
    torn = {
        name
        for after in seen
        for name in after
        if after[name] != files.get(name) and not name.endswith((".part", ".part.json"))
    }
    return {"ends": ends, "files": files, "torn": sorted(torn)}


def run_plan(plan: dict[str, Any]) -> None:
    seconds = 0.0
    for kills in plan["cases"]:
        began = perf_counter()
        print(json.dumps(kill_and_repeat(plan, kills, seconds)), flush=True)
        seconds = seconds or perf_counter() - began


if __name__ == "__main__":
    run_plan(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
