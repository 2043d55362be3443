"""`kill -9` at any moment, then --resume: the model is that of the undisturbed run, bit for bit.

`killed.py` does the killing: at the nth call of a Python function, at the nth operation on a
file, within a write, or by the clock.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import photo_folder

ROOT = Path(__file__).parents[2]
KILLED = (-signal.SIGKILL, -signal.SIGXFSZ)
Results = list[dict[str, Any]]
Cases = list[list[dict[str, Any]]]
Killer = Callable[..., Results]

# A checkpoint after every step, so that many a kill meets one.
FIRST = [
    "--size", "32", "--width", "0.05", "--epochs", "2", "--batch", "4", "--precision", "fp32",
    "--checkpoint-minutes", "0", "--workers", "2",
]  # fmt: skip
RESUME = ["--resume", "--checkpoint-minutes", "0", "--workers", "3"]


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Killer:
    """Runs cases: the kills of each, one a session, and then a session that is left alone."""
    folder = tmp_path_factory.mktemp("killed")
    parts = {"train/red": 4, "train/green": 3, "train/blue": 3}
    parts |= {f"val/{colour}": 2 for colour in ("red", "green", "blue")}
    data, out = photo_folder(folder / "data", parts), folder / "run"

    def kill(cases: Cases, *more: str) -> Results:
        train = ["train", str(data), "--out", str(out)]
        plan = {
            "first": [*train, *FIRST, *more],
            "resume": train + RESUME,
            "out": str(out),
            "cases": cases,
        }
        path = folder / "plan.json"
        path.write_text(json.dumps(plan))
        done = subprocess.run(
            [sys.executable, "-m", "tests.training.killed", str(path)],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return [json.loads(line) for line in done.stdout.splitlines()]

    return kill


def check(cases: Cases, results: Results, least: float = 1.0) -> None:
    """All is as in the first case, which nobody disturbed; so large a share was killed indeed."""
    undisturbed = results[0]
    assert undisturbed["ends"] == [0]
    assert [row["epoch"] for row in undisturbed["log"]] == [1, 2]
    assert undisturbed["csv"] == len(undisturbed["board"]) == 2
    ends = []
    for kills, found in zip(cases[1:], results[1:], strict=True):
        *killed, last = found["ends"]
        assert last == 0, kills
        ends += killed
        for key in undisturbed.keys() - {"ends"}:
            assert found[key] == undisturbed[key], (kills, key)
    assert set(ends) <= {*KILLED, 0}
    assert sum(end in KILLED for end in ends) >= least * len(ends)


@pytest.mark.slow
def test_killed_again_and_again_it_is_undisturbed(killer: Killer) -> None:
    """One run, killed as it makes its folder, trains, saves, validates, evaluates, reports."""
    kills: list[dict[str, Any]] = [
        {"file": 2},  # settings.json is not yet in its place
        {"function": "train_step", "call": 2},
        {"bytes": 390_000},  # within a checkpoint, the first that has momenta
        {"function": "score", "call": 1},  # the first epoch's validation
        {"function": "write_log", "call": 2},  # behind the checkpoint that ends the second epoch
        {"function": "score", "call": 1},  # the last evaluation
        {"function": "render", "call": 1},
    ]
    results = killer([[], kills])
    check([[], kills], results)


@pytest.mark.slow
def test_killed_at_every_other_operation_on_a_file(killer: Killer) -> None:
    """Two epochs of one step each."""
    cases: Cases = [[], *([{"file": n}] for n in range(1, 140, 2))]
    results = killer(cases, "--batch", "10")
    check(cases, results, least=0.5)
    reached = [found["ends"][0] in KILLED for found in results[1:]]
    assert reached == sorted(reached, reverse=True), "the run's own operations come to an end"
    assert not reached[-1], "there are more operations than were tried"


@pytest.mark.slow
def test_killed_within_writes(killer: Killer) -> None:
    cases: Cases = [[], *([{"bytes": n}] for n in range(1, 400_000, 25_000))]
    check(cases, killer(cases))


@pytest.mark.slow
def test_killed_at_twenty_random_calls(killer: Killer) -> None:
    rng = random.Random(0)
    cases: Cases = [
        [],
        *([{"call": rng.randrange(1, 4000)}] * rng.randint(1, 3) for _ in range(20)),
    ]
    check(cases, killer(cases), least=0.5)


@pytest.mark.slow
def test_killed_by_the_clock_at_twenty_random_moments(killer: Killer) -> None:
    rng = random.Random(1)
    cases: Cases = [
        [],
        *([{"share": rng.random()} for _ in range(rng.randint(1, 3))] for _ in range(20)),
    ]
    check(cases, killer(cases), least=0.3)
