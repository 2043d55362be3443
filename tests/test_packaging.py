"""The distributions that a release uploads: built, checked, installed where nothing else is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "googlenet"
CONSTRAINTS = ROOT / "constraints.txt"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel, the wheel built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def environment(distributions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment with the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    (wheel,) = distributions.glob("*.whl")
    pip = (folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-cache-dir")
    run(*pip, f"{wheel}[digits]", cwd=folder.parent)
    return folder / "bin"


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints, run with nothing of this repository on Python's path."""
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    variables["PIP_CONSTRAINT"] = str(CONSTRAINTS)  # of what builds the distributions, too
    done = subprocess.run(
        command, cwd=cwd, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked(folder: Path) -> set[str]:
    """Git's files below a folder, relative to the repository; all files where there is no git."""
    listed = subprocess.run(
        ["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        return set(listed.stdout.splitlines())
    files = (path.relative_to(ROOT) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in files if "__pycache__" not in path.parts}


def test_the_index_and_the_wheel_checker_accept_them(distributions: Path) -> None:
    files = sorted(distributions.iterdir())
    assert [file.suffix for file in files] == [".whl", ".gz"]
    run(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=distributions)
    run(sys.executable, "-m", "check_wheel_contents", distributions, cwd=distributions)


def test_they_hold_every_file_of_the_package(distributions: Path) -> None:
    """C++, templates, pages and tables too; in the sdist the tests as well."""
    (wheel,), (sdist,) = distributions.glob("*.whl"), distributions.glob("*.tar.gz")
    packed = {f"src/{name}" for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == tracked(PACKAGE)
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= tracked(PACKAGE) | tracked(ROOT / "tests") | {"LICENSE", "constraints.txt"}


def test_the_command_line_works_without_the_repository(environment: Path, tmp_path: Path) -> None:
    where = run(
        environment / "python", "-c", "import googlenet as g; print(g.__file__)", cwd=tmp_path
    )
    assert Path(where).is_relative_to(environment.parent)
    command = environment / "googlenet"
    assert "train" in run(command, "--help", cwd=tmp_path)
    table = json.loads(run(command, "table", "--json", cwd=tmp_path))
    assert table["variant"]
    assert table["params"] > 5_000_000
    assert run(environment / "python", "-m", "pip", "check", cwd=tmp_path)


def test_the_demo_runs_without_the_repository(environment: Path, tmp_path: Path) -> None:
    """`make demo` for an epoch, and a prediction with the model that it makes."""
    command = environment / "googlenet"
    options = ("--size", "48", "--epochs", "1", "--out", "run", "--json")
    trained = json.loads(run(command, "train", "digits", *options, cwd=tmp_path))
    assert trained["epochs"] == 1
    assert (tmp_path / "run" / "report.html").exists()
    photo = next(PACKAGE.parents[1].glob("docs/*.png"))
    answer = json.loads(run(command, "predict", trained["model"], photo, "--json", cwd=tmp_path))
    assert answer["label"] in set("0123456789")
