"""`predict` on a busy machine ends, whatever the engine: its first calls used to hang."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from tests.cli.conftest import command
from tests.fixtures import photo_folder, tiny_classifier

RUNS, AT_ONCE = 60, 4
PHOTOS = 130  # five batches, for four streams
FILES = {"openvino": "m.xml", "onnxruntime": "m.onnx", "torch": "m.pt2"}
FORMS = {"openvino": "openvino", "onnxruntime": "onnx", "torch": "torch"}
# OpenVINO's binding asks for NumPy's version within the initializer that hung.  A pause there lets
# the other thread come, every time.
DELAYED = """
import sys, time, numpy.lib
from googlenet.cli import main
compare = numpy.lib.NumpyVersion.__init__
def slowly(self, version):
    time.sleep(0.2)
    compare(self, version)
numpy.lib.NumpyVersion.__init__ = slowly
raise SystemExit(main())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, and images."""
    folder = tmp_path_factory.mktemp("hang")
    tiny_classifier(size=32).save(folder / "m.safetensors")
    photo_folder(folder, {"photos": PHOTOS})
    return folder


def exported(folder: Path, engine: str) -> Path:
    out = folder / FILES[engine]
    with FileLock(folder / "lock"):
        if not out.exists():
            words = ("--to", FORMS[engine], "--out", out, "--images", 8)
            answer = command("export", folder / "m.safetensors", *words)
            assert answer.code == 0, answer.err
    return out


def predict(model: Path, out: Path, *start: str) -> str:
    """What is wrong with a `predict` in a process of its own; nothing where it is as it should be.

    One that hangs ends after a minute, with the stacks of its threads.
    """
    words = [*(start or ("-m", "googlenet")), "predict", str(model), str(model.parent / "photos")]
    done = subprocess.run(
        [sys.executable, *words, "--threads", "4", "--out", str(out)],
        env=os.environ | {"GOOGLENET_STALL_SECONDS": "60"}, capture_output=True, text=True,
    )  # fmt: skip
    rows = len(out.read_text().splitlines()) - 1 if out.exists() else 0
    fine = (done.returncode, rows) == (0, PHOTOS)
    return "" if fine else f"exit code {done.returncode}, {rows} rows\n{done.stderr}"


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """Other programs beside, that take all they can get."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def test_two_first_calls_at_one_moment_do_not_hang(folder: Path, tmp_path: Path) -> None:
    assert predict(exported(folder, "openvino"), tmp_path / "x.csv", "-c", DELAYED) == ""


@pytest.mark.slow
@pytest.mark.parametrize("engine", FILES)
def test_sixty_predictions_on_a_busy_machine_end(engine: str, folder: Path, tmp_path: Path) -> None:
    model = exported(folder, engine)
    with busy(2), ThreadPoolExecutor(AT_ONCE) as pool:
        wrong = list(pool.map(lambda n: predict(model, tmp_path / f"{n}.csv"), range(RUNS)))
    assert [found for found in wrong if found] == []
