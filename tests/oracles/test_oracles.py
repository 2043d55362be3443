"""Weight files that other programs wrote and ran: our numbers against theirs, after `convert`.

Each program states the network a second time (topology.py), writes it in its framework's format
with random weights, and runs it on images that it preprocesses itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from programs import Program, run
from safetensors.numpy import save_file
from topology import GOOGLE, photos

from googlenet import Classifier

pytestmark = pytest.mark.slow

ALL = ("main", "4a", "4d")
FLATTENED = ("avgpool0", "head0_bottleneck", "nn0", "head1_bottleneck", "nn1")


@dataclass(frozen=True)
class Oracle:
    """Who wrote and ran what, and what `convert` must say of it."""

    name: str
    programs: tuple[Program, ...]
    model: str
    scheme: str
    variant: str
    classifiers: tuple[str, ...] = ALL
    dropped: tuple[str, ...] = ()
    expected: tuple[str, ...] = ("expected.npz",)


caffe = partial(Oracle, model="model.caffemodel", scheme="caffe", variant="paper")
ORACLES = (
    caffe("caffe", (Program("opencv", "caffe_opencv.py", ("current",)),)),
    caffe("caffe-v1", (Program("opencv", "caffe_opencv.py", ("v1",)),)),
    Oracle(
        "tensorflow",
        (Program("tensorflow", "tensorflow_graph.py"), Program("opencv", "tensorflow_opencv.py")),
        "model.pb",
        "inception5h",
        "inception5h",
        dropped=(
            *(f"mixed{module}/concat_dim" for module in GOOGLE),
            *(f"{layer}/reshape/shape" for layer in FLATTENED),
        ),
        expected=("expected.npz", "expected_opencv.npz"),
    ),
    Oracle(
        "slim",
        (Program("tensorflow", "slim_graph.py"),),
        "model.safetensors",
        "slim",
        "slim",
        classifiers=("main",),
        dropped=("global_step",),
    ),
    Oracle(
        "torchvision",
        (Program("torchvision", "torchvision_network.py", here=True),),
        "model.pth",
        "torchvision",
        "torchvision",
    ),
    Oracle(
        "onnx",
        (Program("onnx", "onnx_runtime.py"),),
        "model.onnx",
        "onnx",
        "paper",
        classifiers=("main",),
        dropped=("OC2_DUMMY_1",),
    ),
)


@dataclass(frozen=True)
class Outcome:
    oracle: Oracle
    photos: NDArray[np.uint8]  # (N, 224, 224, 3) RGB
    expected: dict[str, dict[str, NDArray[np.float32]]]  # by file: logits_4a … probabilities_main
    account: dict[str, object]  # what `convert --json` printed
    classifier: Classifier


@pytest.fixture(scope="module", params=ORACLES, ids=lambda oracle: oracle.name)
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The programs' files, converted on the command line and loaded from the model file."""
    oracle: Oracle = request.param
    folder = tmp_path_factory.mktemp(oracle.name)
    pixels = photos(2, 224)
    np.save(folder / "photos.npy", pixels)
    for program in oracle.programs:
        run(program, folder)
    if (folder / "tensors.npz").exists():
        save_file(dict(np.load(folder / "tensors.npz")), folder / oracle.model)
    out = folder / "ours.safetensors"
    command = ["convert", str(folder / oracle.model), "--out", str(out), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "googlenet", *command], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    expected = {name: dict(np.load(folder / name)) for name in oracle.expected}
    return Outcome(oracle, pixels, expected, json.loads(done.stdout), Classifier.load(out))


def inputs(outcome: Outcome) -> NDArray[np.uint8]:
    """The images in the order of channels that the converted file asks for."""
    preprocessing = outcome.classifier.preprocessing
    return np.stack([preprocessing.pixels(Image.fromarray(photo)) for photo in outcome.photos])


def test_probabilities_are_the_frameworks_own(outcome: Outcome) -> None:
    ours = outcome.classifier.probabilities(inputs(outcome))
    for name, expected in outcome.expected.items():
        theirs = expected["probabilities_main"]
        assert 0.01 < theirs.max() < 0.99, "the oracle's answer would not show a mistake"
        difference = np.abs(ours - theirs).max()
        print(f"{outcome.oracle.name}, {name}: probabilities within {difference:.0e}")
        assert difference <= 1e-5


@torch.inference_mode()
def test_logits_of_every_classifier_are_the_frameworks_own(outcome: Outcome) -> None:
    pixels = torch.from_numpy(inputs(outcome))
    crops = outcome.classifier.preprocessing.normalize(pixels)
    found = outcome.classifier.network.forward_heads(crops)
    assert set(found) == set(outcome.oracle.classifiers)
    for name, expected in outcome.expected.items():
        for at, logits in found.items():
            theirs = expected[f"logits_{at}"]
            assert theirs.std() > 0.5, "the oracle's answer would not show a mistake"
            error = np.abs(logits.numpy() - theirs).max() / np.abs(theirs).max()
            print(f"{outcome.oracle.name}, {name}, {at}: logits' relative error {error:.0e}")
            assert error <= 1e-5


def test_convert_accounts_for_every_tensor(outcome: Outcome) -> None:
    account, oracle = outcome.account, outcome.oracle
    assert (account["scheme"], account["variant"]) == (oracle.scheme, oracle.variant)
    assert account["heads"] == [at for at in oracle.classifiers if at != "main"]
    kept, dropped = account["kept"], account["dropped"]
    assert isinstance(kept, dict)
    assert isinstance(dropped, dict)
    assert set(dropped) == set(oracle.dropped)
    state = outcome.classifier.network.state_dict()
    counters = {name for name in state if name.endswith("num_batches_tracked")}
    assert set(kept) | counters == set(state)
