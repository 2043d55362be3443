"""Two processes that train, evaluate and predict together do what one process does by itself."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file

from googlenet import parallel
from googlenet.runtime.errors import UsageError
from tests.fixtures import photo_folder, tiny_classifier
from tests.training import several

ROOT = Path(__file__).parents[2]


ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


def googlenet(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "googlenet", *arguments]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def two_processes(arguments: list[str]) -> list[subprocess.CompletedProcess[str]]:
    """The program, started as a launcher starts two of it."""
    common = ENVIRONMENT | {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    started = [
        subprocess.Popen(
            [sys.executable, *arguments],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=300) for process in started]
    return [
        subprocess.CompletedProcess(p.args, p.returncode, *output)
        for p, output in zip(started, outputs, strict=True)
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """13 images to train on; 75 to validate on, more than a batch of the evaluation."""
    parts = {"train/red": 5, "train/green": 4, "train/blue": 4}
    parts |= {f"val/{colour}": 25 for colour in ("red", "green", "blue")}
    return photo_folder(tmp_path_factory.mktemp("data"), parts)


def started(what: str, data: Path, out: Path) -> Path:
    """The folder of what two processes have made."""
    for process in two_processes(["-m", "tests.training.several", what, str(data), str(out)]):
        assert process.returncode == 0, process.stderr
    return out


@pytest.fixture(scope="module")
def together(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return started("findings", data, tmp_path_factory.mktemp("together"))


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return started("runs", data, tmp_path_factory.mktemp("runs"))


def found(out: Path, rank: int = 0) -> dict[str, Any]:
    return dict(json.loads((out / f"{rank}.json").read_text()))


@pytest.mark.parametrize("name", [name for name in several.TRAINERS if "bn" not in name])
@pytest.mark.slow
def test_two_processes_learn_what_one_does(together: Path, name: str) -> None:
    """To rounding, also where shares are unequal, empty or of classes of unequal weight."""
    alone, rows = several.trained(several.TRAINERS[name])
    ours, theirs = several.tensors(alone), load_file(together / f"{name}.safetensors")
    begun = several.tensors(several.TRAINERS[name]())
    assert max(float((values - ours[k]).abs().max()) for k, values in begun.items()) > 1e-3
    assert ours.keys() == theirs.keys()
    for tensor, values in ours.items():
        assert (values - theirs[tensor]).abs().max() <= 2e-5 * values.abs().max() + 1e-6, tensor
    for row, other in zip(rows, found(together)["rows"][name], strict=True):
        assert other == pytest.approx(row, rel=1e-4)


@pytest.mark.slow
def test_all_processes_have_the_same_bits(together: Path) -> None:
    """Weights, averages, statistics of batch normalization, and the model made of them."""
    one, other = (found(together, rank) for rank in range(2))
    assert one["digests"] == other["digests"]
    assert one["rows"] == other["rows"]


@pytest.mark.parametrize("at", range(len(several.SCORED)))
@pytest.mark.slow
def test_scores_are_those_of_one_process(together: Path, at: int) -> None:
    alone = several.scored(*several.SCORED[at])
    for rank in range(2):
        theirs = found(together, rank)["scores"][at]
        if alone["bad"]:  # whose places in the batches others take, so that it is to rounding
            theirs |= {"probabilities": alone["probabilities"], "logits": alone["logits"]}
            assert theirs["first"] == pytest.approx(alone["first"], rel=1e-5)
            theirs["first"] = alone["first"]
        assert theirs == alone


@pytest.mark.slow
def test_agreements(together: Path) -> None:
    for rank in range(2):
        assert found(together, rank)["agreements"] == {
            "first": 0,
            "kept": "mine" if rank == 0 else None,
            "exchange": [0, 1],
            "share": [[0, 1, 4, 5], [2, 3, 6]][rank],
            "any_of": [True, False],
            "error in one": "GoogLeNetError: no such thing (process 1 of 2)",
            "error in the first": "GoogLeNetError: no such thing in 0",
            "unlike": "GoogLeNetError: photos: must be the same in all processes, but differ in "
            f"process {1 - rank}",
            # Weighted by images; sums; the same model in both.
            "statistics": [3.0, 1.75, 3.0, 5.0],
            "pickled": several.digest(dict(tiny_classifier().network.state_dict())),
            "loss": found(together)["agreements"]["loss"],
        }
    assert "GoogLeNetError: the loss became" in found(together)["agreements"]["loss"]


@pytest.mark.slow
def test_stopped_by_one_process_and_resumed_same_bits(runs: Path) -> None:
    for name in ("last.safetensors", "best.safetensors"):
        straight, stopped = (
            sha256((runs / run / name).read_bytes()).hexdigest() for run in ("straight", "stopped")
        )
        assert straight == stopped, name
    log = map(json.loads, (runs / "stopped" / "log.jsonl").read_text().splitlines())
    assert [row["epoch"] for row in log] == [1, 2]
    assert (runs / "stopped" / "report.html").exists()


@pytest.mark.slow
def test_resumed_by_another_number_of_processes(data: Path, runs: Path, tmp_path: Path) -> None:
    """A run of two processes, evaluated once more by one, which says so."""
    shutil.copytree(runs / "straight", tmp_path / "run")
    done = googlenet("train", str(data), "--out", str(tmp_path / "run"), "--resume")
    assert done.returncode == 0, done.stderr
    assert "on another machine before (processes 2, now 1)" in done.stdout


@pytest.mark.slow
def test_planned_by_the_first(runs: Path) -> None:
    """Batch, epochs and patience are the same in all processes, or they would wait for ever."""
    settings = json.loads((runs / "planned" / "settings.json").read_text())
    assert settings["recipe"]["epochs"] == 2
    assert settings["time_limit"] == 1800
    assert (runs / "planned" / "report.html").exists()


@pytest.mark.slow
def test_killed_worker_goes_on_from_the_checkpoint(data: Path, tmp_path: Path) -> None:
    """`torchrun` starts both processes again, with the command that began the run."""
    run, log = tmp_path / "run", tmp_path / "run" / "log.jsonl"
    options = ["--size", "32", "--width", "0.05", "--epochs", "3", "--batch", "6"]
    options += ["--precision", "fp32", "--label-issues", "0", "--checkpoint-minutes", "0"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--max-restarts", "1", "--master-port", str(free_port())]
    command += ["-m", "googlenet", "train", str(data), *options, "--out", str(run)]
    with (tmp_path / "said").open("w") as said:
        launcher = subprocess.Popen(command, env=ENVIRONMENT, stdout=said, stderr=said)
        while launcher.poll() is None and not log.exists():
            time.sleep(0.05)
        workers = psutil.Process(launcher.pid).children()
        workers[-1].kill()
        assert launcher.wait(timeout=300) == 0, (tmp_path / "said").read_text()
    told = (tmp_path / "said").read_text()
    assert told.count("resuming at step") == 1, told
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    # A first start into the same folder is refused, and so is its restart.
    before = log.read_bytes()
    again = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert again.returncode != 0
    assert "--out must be a new or empty folder" in again.stderr
    assert "going on" not in again.stdout
    assert log.read_bytes() == before


@pytest.mark.slow
def test_files_are_those_of_one_process(data: Path, together: Path, tmp_path: Path) -> None:
    several.reads(str(data), tmp_path)
    ours, theirs = (
        [(folder / name).read_text() for name in ("evaluation.csv", "answers.csv")]
        for folder in (tmp_path, together)
    )
    assert [text.replace(str(tmp_path), str(together)) for text in ours] == theirs
    assert len(theirs[1].splitlines()) == 1 + 13 + 75 + 1


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK must be below WORLD_SIZE, 2, got 2"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK in the environment must be a number, got 'x'"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "MASTER_ADDR must be set in the environment"),
    ],
)
def test_environment_that_makes_no_sense(variables: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parallel.rank_info_from_env(variables)


def test_process_by_itself() -> None:
    assert parallel.rank_info_from_env({"WORLD_SIZE": "2"}) == parallel.SINGLE_PROCESS
    assert parallel.rank_info_from_env({"RANK": "0", "WORLD_SIZE": "1"}) == parallel.SINGLE_PROCESS
    assert several.agreements()["exchange"] == [0]


@pytest.mark.slow
def test_one_sentence_for_all(tmp_path: Path) -> None:
    """What is wrong in every process is said once."""
    ended = two_processes(["-m", "googlenet", "train", str(tmp_path / "nowhere")])
    assert [process.returncode for process in ended] == [2, 2]
    assert sum(process.stderr.count("\n") for process in ended) == 1
    assert "nowhere" in "".join(process.stderr for process in ended)
