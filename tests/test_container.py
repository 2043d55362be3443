"""The container file, its steps carried out in a folder and a fresh environment of Python.

No engine that builds containers is needed: the folder stands for the container's root, the
environment for its Python.  PyTorch and the C++ compiler, which alone are not installed anew, are
this machine's.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from googlenet import Classifier
from tests.fixtures import encoded, noise, tiny_classifier

ROOT = Path(__file__).parent.parent
PYTORCH_INDEX = "https://download.pytorch.org/whl/cpu"


class Step(NamedTuple):
    instruction: str
    rest: str

    def words(self) -> list[str]:
        """A step in exec form, or its words."""
        return list(json.loads(self.rest)) if self.rest[0] == "[" else self.rest.split()


def steps() -> Iterator[Step]:
    for line in (ROOT / "Containerfile").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            instruction, _, rest = line.partition(" ")
            yield Step(instruction, rest)


def only(instruction: str) -> Step:
    (step,) = (step for step in steps() if step.instruction == instruction)
    return step


def allowed(path: str) -> bool:
    """Whether .containerignore lets a file into the build, by its last rule that matches."""
    let = True
    for rule in (ROOT / ".containerignore").read_text(encoding="utf-8").split():
        pattern = rule.removeprefix("!").removeprefix("**/")
        parts = [path, *path.split("/"), *(str(parent) for parent in Path(path).parents)]
        if any(fnmatch(part, pattern) for part in parts):
            let = rule.startswith("!")
    return let


def test_it_says_what_a_container_should() -> None:
    assert re.fullmatch(r"docker\.io/library/python:3\.1[1-3]-slim", only("FROM").rest)
    assert int(only("USER").rest.split(":")[0]) > 0  # not root
    assert only("EXPOSE").rest == "8000"
    assert only("ENTRYPOINT").words() == ["googlenet", "serve"]  # no shell, which hides signals
    assert "--host" in only("CMD").words()
    known = "FROM WORKDIR COPY RUN ENV USER EXPOSE HEALTHCHECK ENTRYPOINT CMD"
    assert {step.instruction for step in steps()} == set(known.split(" "))


def test_what_is_copied_exists_and_nothing_else_is_sent() -> None:
    for step in steps():
        if step.instruction == "COPY":
            for source in step.words()[:-1]:
                assert (ROOT / source).exists()
                assert allowed(source)
    for kept_out in (".git/config", ".venv/bin/python", "tests/conftest.py", "runs/x/last.pt"):
        assert not allowed(kept_out)
    assert not allowed("src/googlenet/__pycache__/table.pyc")


def test_pytorch_is_the_pinned_one_from_its_own_index() -> None:
    (torch,) = (step.rest for step in steps() if " torch " in step.rest)
    assert torch.endswith(
        f"--constraint constraints.txt --no-deps torch --index-url {PYTORCH_INDEX}"
    )
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert re.search(r"^torch==[\d.]+$", constraints, re.M)


@pytest.mark.slow
def test_its_steps_make_a_service_that_answers(tmp_path: Path) -> None:
    container, environment = tmp_path / "root", tmp_path / "venv"
    container.mkdir()
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    # What is installed here counts as installed there, the way PyTorch is after its step.
    (site,) = environment.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (site / "outside.pth").write_text("\n".join(ours) + "\n")
    variables = os.environ | {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}"}
    variables.pop("PYTHONPATH", None)
    here = container
    for step in steps():
        match step.instruction:
            case "WORKDIR":
                here = container / step.rest.lstrip("/")
                here.mkdir(exist_ok=True)
            case "COPY":
                *sources, target = step.words()
                for source in sources:
                    copy(ROOT / source, here / target / ("" if target == "./" else "."))
            case "ENV":
                for name, value in (pair.split("=", 1) for pair in shlex.split(step.rest)):
                    path = value.startswith("/")
                    variables[name] = str(container / value.lstrip("/")) if path else value
            case "RUN" if PYTORCH_INDEX not in step.rest and "apt-get" not in step.rest:
                command = step.rest.replace("pip install", "pip install --no-deps --quiet")
                subprocess.run(command, shell=True, cwd=here, env=variables, check=True)
    # Installed from what was copied, not this repository's own files.
    where = run_python(environment, "import googlenet; print(googlenet.__file__)", variables)
    assert Path(where).is_relative_to(environment)
    tiny_classifier().save(container / "model.safetensors")
    before = files(tmp_path)
    answer_once(environment, container, variables)
    assert files(tmp_path) == before  # it runs on a file system that is read-only


def files(folder: Path) -> dict[Path, int]:
    """Every file below, with the time of its last change."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def run_python(environment: Path, code: str, variables: dict[str, str]) -> str:
    command = [str(environment / "bin" / "python"), "-c", code]
    done = subprocess.run(
        command, env=variables, capture_output=True, text=True, check=True, cwd="/"
    )
    return done.stdout.strip()


def answer_once(environment: Path, container: Path, variables: dict[str, str]) -> None:
    """ENTRYPOINT and CMD, on another port, and HEALTHCHECK while they run."""
    model, *options = only("CMD").words()
    entry, *verb = only("ENTRYPOINT").words()
    command = [environment / "bin" / entry, *verb, container / model.lstrip("/"), *options]
    photo = encoded(noise(50, 40), "PNG")
    (expected,) = Classifier.load(container / "model.safetensors").predict([photo])
    with subprocess.Popen(
        [*map(str, command), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=container,
        env=variables,
    ) as service:
        assert service.stderr
        first = service.stderr.readline()
        assert "there is no --token" in first, first
        second = service.stderr.readline()
        found = re.search(r"http://0\.0\.0\.0:(\d+)\b", second)
        assert found, second
        at = f"http://127.0.0.1:{found[1]}"
        with httpx.Client(base_url=at, timeout=60, trust_env=False) as client:
            (result,) = client.post("/predict", content=photo).json()["results"]
            assert "<h1>Image classification</h1>" in client.get("/").text
        check = re.sub(r"^--.* CMD ", "", only("HEALTHCHECK").rest)
        *_, code = json.loads(check)
        run_python(environment, code.replace(":8000", f":{found[1]}"), variables)
        service.terminate()
        rest = service.stderr.read()
    assert (service.returncode, rest.splitlines()[-1].split()[-1]) == (0, "stopped")
    assert result["label"] == expected.label
