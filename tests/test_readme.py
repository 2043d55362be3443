"""Every command and every Python block of the README runs, in its order, on real photos."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from safetensors.torch import load_file

from tests.weights.protos import caffe_model

README = Path(__file__).parent.parent / "README.md"
TRAIN, VAL = 12, 3  # photos of each class


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.S)


def commands() -> list[str]:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [line[2:] for line in lines if line.startswith(("$ googlenet ", "$ torchrun "))]


def as_modules(command: str) -> list[str]:
    """What Python runs for a command; of a benchmark little, for its figures take minutes."""
    program, *arguments = command.split()
    if program == "torchrun":
        return ["-m", "torch.distributed.run", *arguments]
    few = ["--repeats", "1", "--batch", "2", "--size", "64"] if arguments[0] == "bench" else []
    return ["-m", program, *arguments, *few]


@pytest.fixture(scope="module")
def folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README's commands name."""
    imagenette = shared_data / "imagenette2-160"
    root = tmp_path_factory.mktemp("readme")
    classes = sorted(path.name for path in (imagenette / "train").iterdir())[:4]
    for part, count in (("train", TRAIN), ("val", VAL)):
        for wnid in classes:
            target = root / "photos" / part / wnid
            target.mkdir(parents=True)
            for photo in sorted((imagenette / part / wnid).iterdir())[:count]:
                shutil.copy(photo, target)
    shutil.copy(next((root / "photos" / "val" / classes[0]).iterdir()), root / "photo.jpg")
    weights = load_file(shared_data / "bvlc-googlenet" / "weights.safetensors")
    model = caffe_model(weights).SerializeToString()
    (root / "bvlc_googlenet.caffemodel").write_bytes(model)
    copy_some(shared_data / "ilsvrc2012-val-650", root / "ilsvrc")
    return root


def copy_some(source: Path, target: Path, photos: int = 8) -> None:
    """The first photos of a CSV data set."""
    lines = (source / "labels.csv").read_text(encoding="utf-8").splitlines()[: photos + 1]
    (target / "images").mkdir(parents=True)
    (target / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for line in lines[1:]:
        shutil.copy(source / line.split(",")[0], target / "images")


def run(arguments: list[str], folder: Path) -> str:
    if "serve" in arguments[:3]:
        return serve(arguments, folder)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "error"},
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout


def serve(arguments: list[str], folder: Path) -> str:
    """A service, on a free port, as far as its readiness; then it is stopped."""
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    with subprocess.Popen(
        [sys.executable, *arguments, "--port", "0"],
        cwd=folder, stderr=subprocess.PIPE, text=True, env=environment,
    ) as service:  # fmt: skip
        assert service.stderr
        lines = [service.stderr.readline()]
        found = re.search(r" on (http://\S+)$", lines[0])
        assert found, lines
        with urlopen(f"{found[1]}/ready", timeout=60) as answer:
            assert answer.status == 200
        service.send_signal(signal.SIGINT)
        lines += service.stderr
    assert service.returncode == 0, lines
    return "".join(lines)


@pytest.mark.slow
@pytest.mark.timeout(2400)  # eight trainings, among others
def test_every_command_and_python_block_runs(folder: Path) -> None:
    for command in commands():
        run(as_modules(command), folder)
    assert (folder / "runs/photos/report.html").stat().st_size > 50_000
    assert len((folder / "answers.csv").read_text().splitlines()) == 1 + 4 * VAL
    for block in blocks("python"):
        assert run(["-c", block], folder)


def test_the_readme_shows_what_a_user_needs() -> None:
    verbs = {command.split()[1] for command in commands()}
    assert {"train", "evaluate", "predict", "export", "serve", "info", "table", "convert"} <= verbs
    for link in re.findall(r"\]\(((?!http)[^)#]+)", README.read_text(encoding="utf-8")):
        assert (README.parent / link).exists(), f"the README links to {link}, which is not there"
