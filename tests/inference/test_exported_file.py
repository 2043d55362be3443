"""Exported files: their predictions without PyTorch, and what is refused."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch
from filelock import FileLock
from numpy.typing import NDArray

from googlenet import Classifier
from googlenet.images.decode import Source
from googlenet.inference.calibration import ENERGY, ENERGY_AND_ANGLES, Calibration, OODDetector
from googlenet.inference.exported_file import read_exported
from googlenet.inference.header import KEY
from googlenet.inference.outputs import Outputs
from googlenet.inference.prediction import Prediction
from googlenet.load import STREAMS, load_classifier
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.errors import ModelFileError, UsageError
from googlenet.runtime.files import map_file
from tests.cli.conftest import command
from tests.fixtures import noise, set_header, tiny_classifier


def saved(folder: Path, multi: bool = False) -> Path:
    model = tiny_classifier(size=32)
    assert isinstance(model.network, GoogLeNet)
    numbers = {
        f"directions.{i}": torch.linalg.qr(torch.randn(width, 3))[0].contiguous().numpy()
        for i, width in enumerate(model.network.ood_widths)
    } | {"slopes": np.array([4.0, 3.0], np.float32)}
    set_header(
        model, calibration=Calibration(2.0, OODDetector(ENERGY_AND_ANGLES, 0.5, 5.0, numbers))
    )
    if multi:
        set_header(model, multilabel=True, threshold=0.4, calibration=None)
    path = folder / "m.safetensors"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    made = {"model": saved(folder)}
    for form, name in {"onnx": "m.onnx", "openvino": "m.xml"}.items():
        with FileLock(folder / "lock"):
            out = made[form] = folder / name
            answer = command("export", made["model"], "--to", form, "--out", out, "--images", 8)
            assert answer.code == 0, answer.err
    return made


def same(ours: Prediction, theirs: Prediction) -> None:
    assert (ours.path, ours.indices, ours.unknown) == (theirs.path, theirs.indices, theirs.unknown)
    assert [name for name, _ in ours.top] == [name for name, _ in theirs.top]
    for (_, a), (_, b) in zip(ours.top, theirs.top, strict=True):
        assert a == pytest.approx(b, abs=1e-5)
    assert ours.score == pytest.approx(theirs.score, abs=1e-4)
    assert (ours.labels is None) == (theirs.labels is None)


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_predictions_are_the_model_s(form: str, files: dict[str, Path], tmp_path: Path) -> None:
    """More images than a batch, in order, a bad one among them."""
    bad = tmp_path / "bad.jpg"
    bad.write_text("no photo")
    photos = [noise(60 + n % 7, 90 - n % 5, n) for n in range(11)]
    sources: list[Source] = [*photos[:4], bad, *photos[4:]]
    predictor = load_classifier(files[form], parallel=True)
    found = list(predictor.predict(sources, top=2, batch=3))
    expected = list(Classifier.load(files["model"]).predict(sources, top=2, batch=3))
    assert len(found) == len(expected) == 12
    for ours, theirs in zip(found, expected, strict=True):
        if theirs.error:
            assert ours == theirs
        else:
            same(ours, theirs)
    assert found[4].error is not None
    assert 1 <= predictor.backend.streams <= STREAMS


def test_several_streams_change_no_answer(files: dict[str, Path]) -> None:
    photos = [noise(60, 90, n) for n in range(9)]
    outputs = []
    for streams in (1, 3):
        file = read_exported(files["openvino"], map_file(files["openvino"]))
        assert file is not None
        classifier = Classifier(file.header, file.start(streams))
        outputs.append(list(classifier.predict(photos, 3, batch=2)))
    for one, three in zip(*outputs, strict=True):
        same(one, three)


SIGNALED = """
import signal, sys
from pathlib import Path
import numpy as np
from googlenet.inference.exported_file import read_exported
from googlenet.load import Classifier
from googlenet.runtime.files import map_file
seen, path = [], Path(sys.argv[1])
signal.signal(signal.SIGINT, lambda *_: seen.append(1))
for streams in (1, 3):
    file = read_exported(path, map_file(path))
    classifier = Classifier(file.header, file.start(streams))
    list(classifier.predict([np.zeros((60, 90, 3), np.uint8)] * 9, batch=2))
del classifier, file
signal.raise_signal(signal.SIGINT)
print(len(seen))
"""


def test_a_signal_after_the_last_engine_is_handled(files: dict[str, Path]) -> None:
    """OpenVINO freed the main thread's signal stack with an engine that another thread dropped."""
    done = subprocess.run(
        [sys.executable, "-c", SIGNALED, str(files["openvino"])], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_other_streams_wait_for_one_image_not_for_a_batch(files: dict[str, Path]) -> None:
    file = read_exported(files["onnx"], map_file(files["onnx"]))
    assert file is not None
    classifier = Classifier(file.header, file.start(streams=2))
    run, sizes = classifier.backend.run, list[int]()

    def counted(x: NDArray[Any]) -> Outputs:
        sizes.append(len(x))
        return run(x)

    classifier.backend.run = counted  # type: ignore[method-assign]
    inputs = [classifier.load_input(noise(60, 90, n)) for n in range(3)]
    for _ in range(2):
        assert len(list(classifier.predict_batch(inputs, 3))) == 3
    assert sizes == [1, 3, 3]


def test_several_labels(tmp_path: Path) -> None:
    model = saved(tmp_path, multi=True)
    out = tmp_path / "m.onnx"
    assert command("export", model, "--to", "onnx", "--out", out, "--images", 8).code == 0
    exported = Classifier.load(out)
    assert (exported.multilabel, exported.threshold) == (True, 0.4)
    (ours,), (theirs,) = (p.predict([noise(50, 60)]) for p in (exported, Classifier.load(model)))
    same(ours, theirs)
    assert ours.labels is not None
    assert theirs.labels is not None
    assert [name for name, _ in ours.labels] == [name for name, _ in theirs.labels]


def test_other_files_are_not_exported_ones(files: dict[str, Path]) -> None:
    assert read_exported(files["model"], map_file(files["model"])) is None
    with pytest.raises(UsageError, match="engine must be one of openvino for this file"):
        load_classifier(files["openvino"], engine="torch")


def test_header_that_cannot_be_used(files: dict[str, Path], tmp_path: Path) -> None:
    for name in ("m.xml", "m.bin"):
        (tmp_path / name).write_bytes(files["openvino"].with_name(name).read_bytes())
    damaged = tmp_path / "m.xml"
    damaged.write_text(damaged.read_text().replace("classes", "klasses"))
    with pytest.raises(ModelFileError, match=r"m\.xml: its header cannot be used"):
        load_classifier(damaged)


def edited(source: Path, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The ONNX file with another header."""
    model = onnx.load(source)
    (entry,) = (e for e in model.metadata_props if e.key == KEY)
    header = json.loads(entry.value)
    change(header)
    entry.value = json.dumps(header)
    out = folder / "edited.onnx"
    onnx.save(model, out)
    return out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.pop("export"), "export must be an object with a precision, is None"),
        (lambda h: h.update(export=[]), r"export must be an object with a precision, is \[\]"),
        (lambda h: h["export"].pop("precision"), "export must be an object with a precision"),
        (lambda h: h["calibration"].update(temperature=0), "temperature must be above 0, is 0"),
        (lambda h: h["calibration"].update(temperature=nan), "temperature must be above 0, is nan"),
        (lambda h: h["calibration"]["unknown"].update(threshold=inf), "must be a finite number"),
        (lambda h: h["calibration"]["unknown"].update(score="x"), "score must be one of energy"),
        (lambda h: h["export"].pop("unknown"), "the tensors of unknown do not fit the score"),
        (lambda h: h["calibration"]["unknown"].update(score=ENERGY), "do not fit the score"),
    ],
)
def test_damaged_headers_are_refused_in_a_sentence(
    change: Callable[[dict[str, Any]], object],
    message: str,
    files: dict[str, Path],
    tmp_path: Path,
) -> None:
    file = edited(files["onnx"], tmp_path, change)
    with pytest.raises(
        ModelFileError, match=rf"edited\.onnx: its header cannot be used.*{message}"
    ):
        load_classifier(file)


def narrower(header: dict[str, Any]) -> None:
    """Directions for maps that the network has not."""
    numbers = {"directions.0": np.eye(5, 2, dtype=np.float32), "slopes": np.ones(1, np.float32)}
    header["export"]["unknown"] = base64.b64encode(safetensors.numpy.save(numbers)).decode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h["classes"].pop(), r"its network predicts \d classes, its header names \d"),
        (lambda h: h["export"].update(input="photo"), "onnxruntime cannot run it"),
        (narrower, "the tensors of unknown do not fit its network"),
    ],
)
def test_headers_of_another_network_are_refused_in_a_sentence(
    change: Callable[[dict[str, Any]], object],
    message: str,
    files: dict[str, Path],
    tmp_path: Path,
) -> None:
    predictor = load_classifier(edited(files["onnx"], tmp_path, change))
    with pytest.raises(ModelFileError, match=rf"edited\.onnx: {message}"):
        list(predictor.predict([noise(50, 60)]))


def test_an_engine_that_cannot_start_leaves_out_as_it_was(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though every image that is read before is a bad one."""

    def refuse(*_: object, **__: object) -> None:
        raise ModelFileError("it cannot start")

    monkeypatch.setattr("googlenet.inference.exported_file.OnnxRuntimeBackend", refuse)
    photos, out = tmp_path / "photos", tmp_path / "x.csv"
    photos.mkdir()
    for n in range(200):
        (photos / f"{n}.jpg").write_text("no photo")
    out.write_text("before")
    answer = command("predict", files["onnx"], photos, "--out", out)
    assert (answer.code, out.read_text()) == (1, "before")
    assert "it cannot start" in answer.err


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_the_program_does_without_pytorch(
    form: str, files: dict[str, Path], tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for n in range(3):
        noise(50, 60, n).save(photos / f"{n}.jpg")
    out = tmp_path / "x.csv"
    code = (
        "import sys\nfrom googlenet.cli import main\n"
        f"code = main(['predict', {str(files[form])!r}, {str(photos)!r}, '--out', {str(out)!r}, "
        "'--threads', '1'])\nprint(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "0 False\n", done.stderr
    assert len(out.read_text().splitlines()) == 4
