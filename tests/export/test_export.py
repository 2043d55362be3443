"""`googlenet export`: files that other engines run, without this package, and that agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock

from googlenet import Classifier
from googlenet.export import export as exporting
from googlenet.export.parity import LIMITS, Limits
from googlenet.export.parity_images import parity_images
from googlenet.images.decode import decode
from googlenet.images.view import to_nchw
from googlenet.inference.backends.onnxruntime import OnnxRuntimeBackend
from googlenet.inference.backends.torch import TorchBackend
from googlenet.inference.calibration import ENERGY_AND_ANGLES, Calibration, OODDetector
from googlenet.inference.outputs import softmax
from googlenet.load import load_classifier
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.errors import GoogLeNetError, ModelFileError, UsageError
from googlenet.serving.input_image import Crop
from googlenet.serving.predict import Request, predict_batch, supports_cam
from tests.cli.conftest import command
from tests.fixtures import noise, photo_folder, set_header, slow, tiny_classifier

FILES = {"onnx": "m.onnx", "openvino": "m.xml", "torch": "m.pt2"}
KEYS = {
    "agreement", "max_difference", "mean_difference", "accuracy_before", "accuracy_after",
    "images", "bytes",
}  # fmt: skip


def classifier(variant: str = "bn", size: int = 32) -> Classifier:
    """32 pixels: the last map is a single one, and a `.pt2` file's sides are fixed.

    With free sides PyTorch takes twenty seconds to write and read one, however small: the tests
    of that are slow ones.
    """
    found = tiny_classifier(variant=variant, size=size, heads=True)
    assert isinstance(found.network, GoogLeNet)
    numbers = {
        f"directions.{i}": torch.linalg.qr(torch.randn(width, 3))[0].contiguous()
        for i, width in enumerate(found.network.ood_widths)
    } | {"slopes": torch.tensor([4.0, 3.0])}
    ood = OODDetector(ENERGY_AND_ANGLES, 0.5, 5.0, {k: t.numpy() for k, t in numbers.items()})
    set_header(found, calibration=Calibration(2.0, ood), licence="CC0-1.0")
    set_header(found, provenance={"seed": 3})
    return found


class Exported(dict[str, tuple[Path, dict[str, Any]]]):
    """Each format's file and report, made when first asked for, once for all workers."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.model = folder / "model.safetensors"
        with FileLock(folder / "model.lock"):
            if not self.model.exists():
                classifier().save(self.model)

    def __missing__(self, form: str) -> tuple[Path, dict[str, Any]]:
        out = self.model.with_name(FILES[form])
        report = out.with_suffix(f".{form}.json")
        with FileLock(report.with_suffix(".lock")):
            if not report.exists():
                options = ("--to", form, "--out", out, "--images", 16, "--json")
                answer = command("export", self.model, *options)
                assert answer.code == 0, answer.err
                report.write_text(answer.out)
        self[form] = out, json.loads(report.read_text())
        return self[form]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported"
    folder.mkdir(exist_ok=True)
    return Exported(folder)


@pytest.fixture(scope="module")
def model(exported: Exported) -> Path:
    return exported.model


@pytest.mark.parametrize("form", FILES)
def test_report(exported: Exported, form: str) -> None:
    path, report = exported[form]
    assert set(report) >= KEYS
    assert (report["agreement"], report["images"]) == (100, 16)
    assert 0 < report["max_difference"] < 1e-5
    assert report["mean_difference"] <= report["max_difference"]
    assert report["accuracy_before"] is report["accuracy_after"] is None
    files = [path] + ([path.with_suffix(".bin")] if form == "openvino" else [])
    assert report["bytes"] == sum(file.stat().st_size for file in files)
    assert not list(path.parent.glob(f".{path.name}*"))


@pytest.mark.parametrize("form", FILES)
def test_exported_file_is_a_classifier(exported: Exported, form: str, model: Path) -> None:
    """It knows its classes, preprocessing, calibration; 1 and 10 views; one image and several."""
    ours, theirs = Classifier.load(model), Classifier.load(exported[form][0])
    assert theirs.header.to_json() == ours.header.to_json() | {"heads": []}
    photos = [noise(90, 70, 1), noise(64, 200, 2), noise(65, 64, 3)]
    for mine, found in zip(ours.predict(photos), theirs.predict(photos), strict=True):
        assert [name for name, _ in mine.top] == [name for name, _ in found.top]
        assert (mine.unknown, mine.indices) == (found.unknown, found.indices)
        assert mine.score == pytest.approx(found.score, abs=1e-4)
        for (_, a), (_, b) in zip(mine.top, found.top, strict=True):
            assert a == pytest.approx(b, abs=1e-5)
    ten = ours.crops(photos[0], 10)
    np.testing.assert_allclose(
        theirs.probabilities(ten), ours.probabilities(ten), rtol=0, atol=1e-5
    )


PLAIN = {
    "onnx": """
import onnxruntime
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
header = json.loads(session.get_modelmeta().custom_metadata_map["googlenet"])
run = lambda x: session.run(None, {session.get_inputs()[0].name: x})
""",
    "openvino": """
import openvino
core = openvino.Core()
model = core.read_model(path)
header = json.loads(model.get_rt_info("googlenet").value)
compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
run = lambda x: list(compiled([x]).values())
""",
    "torch": """
import torch
files = {"googlenet": ""}
program = torch.export.load(path, extra_files=files).module()
header = json.loads(files["googlenet"])
run = lambda x: [each.detach().numpy() for each in program(torch.from_numpy(x))]
""",
}


def run_plainly(form: str, path: Path, arrays: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The file's logits and probabilities in a program that knows nothing of this package."""
    np.savez(folder / "in.npz", **arrays)
    program = f"""
import json, sys
import numpy as np
sys.path = [each for each in sys.path if not each.endswith("src")]
path = {str(path)!r}
{PLAIN[form]}
assert "googlenet" not in sys.modules
outputs = {{}}
with np.load({str(folder / "in.npz")!r}) as arrays:
    for name in arrays:
        logits, probabilities, summary, score = run(arrays[name])
        outputs[name], outputs[name + ".p"], outputs[name + ".s"] = logits, probabilities, score
np.savez({str(folder / "out.npz")!r}, header=json.dumps(header), **outputs)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / "out.npz") as outputs:
        return dict(outputs)


@pytest.mark.parametrize("form", FILES)
def test_runs_without_this_package(
    exported: Exported, form: str, model: Path, tmp_path: Path
) -> None:
    """Any number of images, and of any size; the calibrated softmax is the second output."""
    ours = Classifier.load(model)
    crops = [ours.crops(noise(80, 90, seed))[0] for seed in range(5)]
    x = to_nchw(np.stack(crops), ours.preprocessing)
    other = np.random.default_rng(0).normal(size=(2, 3, 97, 71)).astype(np.float32)
    given = {"five": x, "one": x[:1]} | ({"other": other} if form != "torch" else {})
    found = run_plainly(form, exported[form][0], given, tmp_path)
    outputs = ours.outputs(crops)
    expected = outputs.logits
    np.testing.assert_allclose(found["five"], expected, atol=1e-4)
    np.testing.assert_allclose(found["one"], expected[:1], atol=1e-4)
    np.testing.assert_allclose(found["five.p"], softmax(expected / 2), atol=1e-5)
    if form != "torch":
        with torch.inference_mode():
            expected = ours.network(torch.from_numpy(other))
        np.testing.assert_allclose(found["other"], expected, rtol=1e-4, atol=1e-4)
    header = json.loads(str(found["header"]))
    assert [c["name"] for c in header["classes"]] == ["name0", "name1", "name2"]
    assert header["preprocessing"]["size"] == 32
    assert header["calibration"]["temperature"] == 2
    assert ours.calibration
    assert ours.calibration.ood
    scores = ours.calibration.ood.id_scores(outputs)
    np.testing.assert_allclose(found["five.s"], scores, rtol=1e-3)
    assert header["calibration"]["unknown"]["threshold"] == ours.calibration.ood.threshold


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["bn", "paper"])
def test_a_program_takes_images_of_other_sizes(variant: str, tmp_path: Path) -> None:
    ours, out = classifier(variant, size=64), tmp_path / "m.pt2"
    ours.save(tmp_path / "m.safetensors")
    answer = command("export", tmp_path / "m.safetensors", "--to", "torch", "--out", out)
    assert answer.code == 0, answer.err
    arrays = {
        f"{n}x{height}x{width}": np.random.default_rng(0).normal(size=(n, 3, height, width))
        for n, height, width in ((1, 64, 64), (2, 97, 71), (5, 80, 160))
    }
    arrays = {name: x.astype(np.float32) for name, x in arrays.items()}
    found = run_plainly("torch", out, arrays, tmp_path)
    for name, x in arrays.items():
        with torch.inference_mode():
            expected = ours.network(torch.from_numpy(x))
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ["onnx", "openvino"])
@pytest.mark.slow
def test_with_preprocessing_takes_an_image_of_any_size(
    form: str, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / FILES[form]
    answer = command(
        "export", model, "--to", form, "--out", out, "--with-preprocessing", "--images", 8
    )
    assert answer.code == 0, answer.err
    assert "network alone       top-1 agreement 100.00 % on the same crops" in answer.out
    assert "one image (height, width, 3) uint8 of any size" in answer.out
    ours = Classifier.load(model)
    photos = {f"p{i}": noise(*size, i) for i, size in enumerate([(90, 70), (33, 121), (640, 481)])}
    found = run_plainly(form, out, {n: np.asarray(p) for n, p in photos.items()}, tmp_path)
    loaded = Classifier.load(out)
    assert loaded.backend.takes_raw_image
    for name, photo in photos.items():
        expected = ours.outputs(ours.crops(photo)).logits
        np.testing.assert_allclose(found[name], expected, atol=0.05)
        np.testing.assert_allclose(
            loaded.outputs(loaded.crops(photo)).logits, found[name], rtol=1e-5, atol=1e-5
        )
    with pytest.raises(UsageError, match="views must be 1 for a file with its preprocessing"):
        loaded.crops(photos["p0"], 10)
    labels = [each.label for each in ours.predict(list(photos.values()))]
    assert [each.label for each in loaded.predict(list(photos.values()))] == labels
    if form == "onnx":  # the other engine, whose reading of the file needs putting right
        other = Classifier.load(out, engine="openvino")
        for photo in photos.values():
            np.testing.assert_allclose(
                other.outputs(other.crops(photo)).logits,
                loaded.outputs(loaded.crops(photo)).logits,
                rtol=0, atol=0.05,
            )  # fmt: skip


@pytest.mark.parametrize(
    ("form", "variant"),
    [
        slow("openvino", "paper"),
        ("onnx", "paper"),
        slow("openvino", "bn"),
        slow("onnx", "bn"),
    ],
)
def test_int8(form: str, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrated on the training part; near, and not the same.

    Answers drawn at random lie so close together that the limit for networks that have learned
    something would be too much to ask; and of three channels that batch normalization has
    stretched, eight bits leave less than of the paper's.
    """
    far = {"paper": 0.2, "bn": 0.5}[variant]
    monkeypatch.setitem(LIMITS, "int8", Limits(50))
    colors = ("red", "green", "blue")
    data = photo_folder(
        tmp_path / "data", {f"train/{c}": 4 for c in colors} | {f"val/{c}": 2 for c in colors}
    )
    model = classifier(variant)
    named = zip(model.classes, colors, strict=True)
    set_header(model, classes=tuple(c._replace(id=colour) for c, colour in named))
    model.save(tmp_path / "m.safetensors")
    out = tmp_path / FILES[form]
    answer = command(
        "export", tmp_path / "m.safetensors", "--to", form, "--out", out, "--int8",
        "--data", data, "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    report = answer.json()
    assert (report["images"], report["calibration_images"]) == (6, 12)
    assert "warning: int8 is calibrated on 12 images only" in answer.err
    assert report["data"] == "data (val)"
    assert 1e-5 < report["max_difference"] < far
    assert report["accuracy_before"] is not None
    loaded = Classifier.load(out)
    assert loaded.backend.network is None
    crops = [model.crops(noise(80, 80, seed))[0] for seed in range(3)]
    np.testing.assert_allclose(
        loaded.probabilities(crops), model.probabilities(crops), rtol=0, atol=far
    )


@pytest.mark.slow
def test_bf16(
    model: Path, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half as large in OpenVINO; of a program so small most is not its weights."""
    monkeypatch.setitem(LIMITS, "bf16", Limits(50))  # answers drawn at random, as in `test_int8`
    for form in ("openvino", "torch"):
        out = tmp_path / FILES[form]
        answer = command(
            "export", model, "--to", form, "--out", out, "--precision", "bf16", "--json",
            "--images", 8,
        )  # fmt: skip
        assert answer.code == 0, answer.err
        assert answer.json()["max_difference"] > 0
    weights = [
        path.with_suffix(".bin").stat().st_size
        for path in (tmp_path / "m.xml", exported["openvino"][0])
    ]
    assert weights[0] < 0.55 * weights[1]
    loaded = Classifier.load(tmp_path / "m.pt2")
    assert isinstance(loaded.backend, TorchBackend)
    assert loaded.backend.device == ComputeDevice(
        "cpu", "auto"
    )  # bf16 where the processor computes in it
    weight = loaded.network.get_parameter("conv1.conv.weight")
    assert torch.equal(weight, weight.bfloat16().float())
    photo = noise(70, 80)
    (ours,), (theirs,) = Classifier.load(model).predict([photo]), loaded.predict([photo])
    assert theirs.probability == pytest.approx(ours.probability, abs=0.05)


def test_a_file_that_disagrees_is_not_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written has other weights than what it is compared with."""
    out, new = tmp_path / "m.onnx", tmp_path / "new" / "m.onnx"
    out.write_text("an older export")
    original = exporting.write

    def wrong(given: Classifier, *arguments: Any) -> None:
        other = tiny_classifier(size=32, seed=1)
        original(
            Classifier(given.header, other.backend),
            *arguments,
        )

    monkeypatch.setattr(exporting, "write", wrong)
    answer = command("export", model, "--to", "onnx", "--out", out, "--json")
    assert answer.code == 1
    assert f"{out}: not written, it disagrees with {model}" in answer.err
    assert answer.err.count("\n") == 1
    report = answer.json()
    assert not report["passed"]
    assert report["agreement"] < 100
    assert command("export", model, "--to", "onnx", "--out", new).code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]  # and no folder
    assert out.read_text() == "an older export"


@pytest.mark.parametrize(
    ("variant", "form"),
    [
        ("paper", "openvino"), ("slim", "onnx"), ("lenet5", "torch"),
        *(
            pytest.param(variant, form, marks=pytest.mark.slow)
            for form in ("onnx", "openvino", "torch")
            for variant in ("paper", "google2014", "slim", "lenet5")
            if (variant, form) not in (("paper", "openvino"), ("slim", "onnx"), ("lenet5", "torch"))
        ),
    ],
)  # fmt: skip
def test_other_networks(variant: str, form: str, tmp_path: Path) -> None:
    model = tiny_classifier(variant=variant, size=32)
    model.save(tmp_path / "m.safetensors")
    answer = command(
        "export",
        tmp_path / "m.safetensors",
        "--to",
        form,
        "--out",
        tmp_path / FILES[form],
        "--json",
    )
    assert answer.code == 0, answer.err
    (ours,) = model.predict([noise(50, 40)])
    (theirs,) = Classifier.load(tmp_path / FILES[form]).predict([noise(50, 40)])
    assert ours.label == theirs.label


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "auto"])
def test_engines_run_model_files(engine: str, model: Path) -> None:
    ours, theirs = Classifier.load(model), Classifier.load(model, engine=engine)
    assert theirs.backend.name == ("openvino" if engine == "auto" else engine)
    crops = [ours.crops(noise(80, 80, seed))[0] for seed in range(3)]
    np.testing.assert_allclose(
        theirs.probabilities(crops), ours.probabilities(crops), rtol=0, atol=1e-5
    )
    assert theirs.header.to_json() == ours.header.to_json() | {"heads": []}


def test_auto_is_what_is_installed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package that writes graphs, or any engine, PyTorch computes."""
    absent = {"onnx"}

    def find(name: str) -> object:
        return None if name in absent else name

    for module in ("load", "inference.backends.base"):
        monkeypatch.setattr(f"googlenet.{module}.find_spec", find)
    crop = Classifier.load(model).crops(noise(80, 80))
    for missing in ({"onnx"}, {"openvino", "onnxruntime"}):
        absent = missing
        found = Classifier.load(model, engine="auto")
        assert found.backend.name == "torch"
        np.testing.assert_allclose(
            found.probabilities(crop), Classifier.load(model).probabilities(crop)
        )
    absent = {"openvino"}
    found = Classifier.load(model, engine="auto")
    assert found.backend.name == "onnxruntime"


def test_engines_on_the_command_line(model: Path, exported: Exported, tmp_path: Path) -> None:
    noise(80, 70).save(tmp_path / "a.png")
    answers = [
        command("predict", *arguments, tmp_path / "a.png", "--json", "--threads", "1").json()
        for arguments in (
            [model], [model, "--engine", "onnxruntime"], [model, "--engine", "openvino"],
            [exported["onnx"][0]], [exported["onnx"][0], "--engine", "openvino"],
            [exported["openvino"][0], "--engine", "auto"], [exported["torch"][0]],
        )
    ]  # fmt: skip
    for answer in answers[1:]:
        assert answer["label"] == answers[0]["label"]
        assert answer["probability"] == pytest.approx(answers[0]["probability"], abs=1e-5)


def test_evaluate_takes_exported_files(exported: Exported, model: Path, tmp_path: Path) -> None:
    data = photo_folder(tmp_path / "data", {"id0": 4, "id1": 4, "id2": 4})
    results = []
    for path in (model, exported["onnx"][0], exported["openvino"][0]):
        answer = command("evaluate", path, "--data", data, "--views", "1,10", "--json")
        assert answer.code == 0, answer.err
        results.append([row["top1_error"] for row in answer.json()["results"]])
    assert results[0] == results[1] == results[2]
    answer = command("evaluate", model, "--engine", "openvino", "--data", data, "--json")
    assert answer.json()["results"][0]["top1_error"] == results[0][0]


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_the_service_answers_with_exported_files(exported: Exported, form: str) -> None:
    ours, theirs = Classifier.load(exported.model), Classifier.load(exported[form][0])
    crop = Crop(ours.crops(noise(80, 70))[0], 80, 70)
    (expected,), (found,) = (predict_batch(each, [Request(crop, 2)]) for each in (ours, theirs))
    assert found.prediction.indices == expected.prediction.indices
    assert supports_cam(ours)
    assert not supports_cam(theirs)
    assert predict_batch(theirs, [Request(crop, 2, cam=True)])[0].cam is None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["MODEL", "--to", "onnx", "--out", "x.xml"], 2, "--out must end in .onnx for --to onnx"),
        (["MODEL", "--to", "onnx", "--out", "x.onnx", "--int8"], 2, "--int8 needs images"),
        (
            ["MODEL", "--to", "onnx", "--out", "x.onnx", "--int8", "--precision", "fp32"],
            2, "--precision must be int8 with --int8, got fp32",
        ),
        (
            ["MODEL", "--to", "torch", "--out", "x.pt2", "--int8", "--data", "digits"],
            2, "precision must be fp32 or bf16 for torch, got int8",
        ),
        (
            ["MODEL", "--to", "onnx", "--out", "x.onnx", "--precision", "bf16"],
            2, "precision must be fp32 or int8 for onnx, got bf16",
        ),
        (
            ["MODEL", "--to", "torch", "--out", "x.pt2", "--with-preprocessing"],
            2, "--with-preprocessing must go with onnx or openvino, got torch",
        ),
        (
            [
                *("MODEL", "--to", "onnx", "--out", "x.onnx", "--with-preprocessing"),
                *("--int8", "--data", "digits"),
            ],
            2, "--int8 --with-preprocessing must go with openvino, got onnx",
        ),
        (
            ["MODEL", "--to", "onnx", "--out", "x.onnx", "--calibration-data", "digits"],
            2, "--calibration-data is only valid with --int8, got precision fp32",
        ),
        (["none", "--to", "onnx", "--out", "x.onnx"], 2, "none"),
        (["EXPORTED", "--to", "onnx", "--out", "x.onnx"], 2, "MODEL must be a model file, got "),
        (["MODEL", "--to", "onnx", "--out", "x.onnx", "--data", "nowhere"], 2, "nowhere"),
        (["MODEL", "--to", "onnx", "--out", "m.safetensors/x.onnx"], 1, "cannot be written"),
    ],
)  # fmt: skip
def test_refusals_are_one_sentence(
    arguments: list[str], code: int, message: str, model: Path, exported: Exported,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.safetensors").write_bytes(b"")
    places = {"MODEL": model, "EXPORTED": exported["onnx"][0]}
    answer = command("export", *(places.get(each, each) for each in arguments))
    assert (answer.code, answer.out, answer.err.count("\n")) == (code, "", 1), answer.err
    assert message in answer.err


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("MODEL", "calibrate EXPORTED --data digits --out x.safetensors"),
        ("SOURCE", "convert EXPORTED --out x.safetensors"),
        ("--weights", "train digits --weights EXPORTED --out x"),
        ("MODEL", "export EXPORTED --to onnx --out x.onnx"),
    ],
)
@pytest.mark.parametrize("form", FILES)
def test_exported_files_are_no_weights_to_go_on_with(
    form: str, name: str, line: str, exported: Exported, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    source = str(exported[form][0])
    answer = command(*(source if word == "EXPORTED" else word for word in line.split()))
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), answer.err
    assert f": {name} must be a model file, got {source}, an exported one" in answer.err
    assert not list(tmp_path.iterdir())


def test_a_file_of_one_shape_is_a_classifier(tmp_path: Path) -> None:
    classifier, out = tiny_classifier(size=64), tmp_path / "m.onnx"
    options = exporting.ExportOptions("onnx", fixed=True)
    report = exporting.export(classifier, options, out, parity_images(classifier, None, False, 5))
    assert report["passed"]
    backend = load_classifier(out).backend
    assert isinstance(backend, OnnxRuntimeBackend)
    assert backend.session.get_inputs()[0].shape == [1, 3, 64, 64]
    assert {output.shape[0] for output in backend.session.get_outputs()} == {1}
    images = [noise(80, 70, seed) for seed in range(3)]
    ours = [result.probability for result in classifier.predict(images)]
    theirs = [result.probability for result in load_classifier(out).predict(images)]
    assert theirs == pytest.approx(ours, abs=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        exporting.ExportOptions("openvino", fixed=True),
        exporting.ExportOptions("onnx", with_preprocessing=True, fixed=True),
    ],
)
def test_one_shape_is_for_onnx_without_preprocessing(options: exporting.ExportOptions) -> None:
    with pytest.raises(UsageError, match="--fixed must go with --to onnx"):
        options.check()


def test_several_labels_are_compared_by_their_answers(tmp_path: Path) -> None:
    """There is no top-1 accuracy to be had, and no reason to refuse."""
    data = photo_folder(tmp_path / "data", {"a": 3, "b": 3})
    photos = sorted(data.rglob("*.png"))
    rows = [
        f"{path.relative_to(data)},{label}"
        for path, label in zip(photos, ["a|b", "", "b"] * 2, strict=True)
    ]
    (data / "labels.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    model = tiny_classifier(classes=2, size=32)
    set_header(model, multilabel=True)
    set_header(
        model,
        classes=tuple(c._replace(id=name) for c, name in zip(model.classes, "ab", strict=True)),
    )
    model.save(tmp_path / "m.safetensors")
    out = tmp_path / "m.onnx"
    answer = command(
        "export", tmp_path / "m.safetensors", "--to", "onnx", "--out", out,
        "--data", data / "labels.csv", "--json",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert (answer.json()["agreement"], answer.json()["accuracy_before"]) == (100, None)


def test_wrong_engines_are_refused(model: Path, exported: Exported) -> None:
    with pytest.raises(UsageError, match=r"engine must be auto or one of torch, .* got 'caffe'"):
        Classifier.load(model, engine="caffe")
    with pytest.raises(UsageError, match="engine must be one of openvino for this file"):
        Classifier.load(exported["openvino"][0], engine="torch")
    with pytest.raises(UsageError, match="precision must be fp32 with the engine onnxruntime"):
        Classifier.load(model, engine="onnxruntime", precision="bf16")


def test_missing_packages_are_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("googlenet.inference.backends.base.find_spec", lambda _: None)
    answer = command("export", model, "--to", "openvino", "--out", "x.xml")
    assert answer.code == 1
    assert answer.err == (
        "googlenet export: the package onnx must be installed: pip install 'googlenet[onnx]'\n"
    )
    answer = command("predict", model, model, "--engine", "openvino")
    assert "pip install 'googlenet[openvino]'" in answer.err


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("damage", ["truncated", "header"])
def test_damaged_files_are_one_sentence(
    form: str, damage: str, exported: Exported, tmp_path: Path
) -> None:
    source = exported[form][0]
    data = source.read_bytes()
    if damage == "truncated":
        data = data[: len(data) // 2]
    else:
        data = data.replace(b'"variant"', b'"variand"').replace(
            b"&quot;variant&quot;", b"&quot;variand&quot;"
        )
    bad = tmp_path / source.name
    bad.write_bytes(data)
    if form == "openvino":
        bad.with_suffix(".bin").write_bytes(source.with_suffix(".bin").read_bytes())
    with pytest.raises(GoogLeNetError) as raised:
        Classifier.load(bad)
    assert str(raised.value).startswith(str(bad))


def test_openvino_file_without_its_weights(exported: Exported, tmp_path: Path) -> None:
    lonely = tmp_path / "m.xml"
    lonely.write_bytes(exported["openvino"][0].read_bytes())
    with pytest.raises(ModelFileError, match=r"m\.xml: its weights must be beside it, in m\.bin, "):
        Classifier.load(lonely)


def test_a_program_is_read_and_never_run(exported: Exported, tmp_path: Path) -> None:
    """A `.pt2` file whose program is replaced by anything at all still loads: only data is read."""
    hollow = tmp_path / "m.pt2"
    with zipfile.ZipFile(exported["torch"][0]) as source, zipfile.ZipFile(hollow, "w") as target:
        for name in source.namelist():
            code = name.endswith(("model.json", "model.pt"))
            target.writestr(name, b"not a program" if code else source.read(name))
    photo = noise(80, 80)
    (ours,) = Classifier.load(exported["torch"][0]).predict([photo])
    (theirs,) = Classifier.load(hollow).predict([photo])
    assert ours == theirs


def test_pickled_weights_are_refused(exported: Exported, tmp_path: Path) -> None:
    pickled = tmp_path / "m.pt2"
    with zipfile.ZipFile(exported["torch"][0]) as source, zipfile.ZipFile(pickled, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, data.replace(b'"use_pickle": false', b'"use_pickle": true'))
    with pytest.raises(ModelFileError, match="a weight is pickled"):
        Classifier.load(pickled)


def test_an_exported_network_cannot_be_looked_into(exported: Exported) -> None:
    loaded = Classifier.load(exported["onnx"][0])
    with pytest.raises(GoogLeNetError, match="use the model file that it came from"):
        loaded.network.tap("conv1")


def test_planes_are_normalize_to_the_bit() -> None:
    p = classifier().preprocessing
    pixels = np.stack([np.asarray(decode(noise(64, 64, seed))) for seed in range(2)])
    expected = p.normalize(torch.from_numpy(pixels)).contiguous().numpy()
    assert np.array_equal(to_nchw(pixels, p), expected)
