"""`googlenet export`: a model file to one that other engines run, kept only if it agrees."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from googlenet import __version__
from googlenet.export.parity import LIMITS, PHOTO_LIMITS, Parity
from googlenet.export.parity_images import ParityPhotos, decoded
from googlenet.images.turbo_jpeg import DecodedImage
from googlenet.images.view import to_nchw
from googlenet.inference.classifier import Classifier
from googlenet.inference.engine_classifier import (
    EngineClassifier,
    load_exported,
    packed_numbers,
)
from googlenet.inference.engines import Torch, require
from googlenet.inference.model_file import FORMAT, KEY
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.files import parent_dir

FORMATS = ("onnx", "openvino", "torch")
PRECISIONS = ("fp32", "bf16", "int8")
BATCH = 16  # photos compared at a time
# What each format can hold.
HOLDS = {"onnx": ("fp32", "int8"), "openvino": PRECISIONS, "torch": ("fp32", "bf16")}
SUFFIX = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}
NEEDS = {"onnx": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino"), "torch": ()}


@dataclass(frozen=True)
class Plan:
    """What to write: `calibration` is the crops (N, size, size, channels) for int8."""

    to: str
    precision: str = "fp32"
    whole_photos: bool = False
    calibration: NDArray[np.uint8] | None = None

    def check(self) -> None:
        """Raises UsageError for what no format holds, GoogLeNetError for a missing package."""
        if self.to not in FORMATS:
            raise UsageError(f"--to must be one of {', '.join(FORMATS)}, got {self.to!r}")
        if self.precision not in HOLDS[self.to]:
            raise UsageError(
                f"precision must be {' or '.join(HOLDS[self.to])} for {self.to}, "
                f"got {self.precision}"
            )
        if self.whole_photos and self.precision == "int8" and self.to == "onnx":
            raise UsageError("--int8 --with-preprocessing must go with openvino, got onnx")
        if self.whole_photos and self.to == "torch":
            raise UsageError("--with-preprocessing must go with onnx or openvino, got torch")
        for package in NEEDS[self.to]:
            require(package)
        if self.precision == "int8" and self.to == "openvino":
            require("nncf")


def export(
    classifier: Classifier,
    plan: Plan,
    out: Path,
    photos: ParityPhotos,
    *,
    workers: int = 2,
    progress: Callable[[], object] = lambda: None,
    bad: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Write the file, run it in its own engine, compare; the report, as `--json` prints it.

    The file appears under its name only if it agrees: `passed` tells, `failure` says why not.
    A file of that name that was there before then stays.
    """
    plan.check()
    try:
        with parent_dir(out), beside(out) as folder:
            made = folder / out.name
            write(classifier, plan, made)
            found = compare(classifier, plan, made, photos, workers, progress, bad)
            limits = (PHOTO_LIMITS if plan.whole_photos else LIMITS)[plan.precision]
            failure = found.failure(limits)
            inner = None
            if plan.whole_photos and plan.precision == "fp32":
                inner = network_alone(classifier, plan, folder / "network", photos, workers)
                failure = failure or inner.failure(LIMITS["fp32"])
            # The .bin before the .xml.
            files = sorted(folder.iterdir(), key=lambda path: path == made)
            size = sum(path.stat().st_size for path in files)
            if failure is None:
                for path in files:
                    path.replace(out.with_name(path.name))
    except OSError as error:
        raise GoogLeNetError(f"{out}: cannot be written ({error})") from error
    return {
        "out": str(out),
        "format": plan.to,
        "precision": plan.precision,
        "with_preprocessing": plan.whole_photos,
        "data": photos.name,
        **found.to_json(),
        "network_agreement": inner and inner.agreement,
        "network_max_difference": inner and inner.max_difference,
        "calibration_images": 0 if plan.calibration is None else len(plan.calibration),
        "bytes": size,
        "native_bf16": ComputeDevice("cpu", "auto").bf16,
        "passed": failure is None,
        "failure": failure,
    }


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """A folder beside the file that is to be; afterwards it is gone with what it still holds."""
    folder = Path(mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def header_of(classifier: Classifier, plan: Plan) -> dict[str, Any]:
    """The model file's header, of the network without heads, and how it was exported."""
    size = classifier.preprocessing.size
    return {
        "format": FORMAT,
        **classifier.header(),
        "heads": [],
        "export": {
            "format": plan.to,
            "precision": plan.precision,
            "input": "photo" if plan.whole_photos else "normalised",
            "shape": ["height", "width", 3] if plan.whole_photos
            else ["batch", classifier.preprocessing.channels, size, size],
            "unknown": packed_numbers(classifier),
            "program": f"googlenet {__version__}",
        },
    }  # fmt: skip


def write(classifier: Classifier, plan: Plan, path: Path) -> None:
    header = header_of(classifier, plan)
    if plan.to == "torch":
        from googlenet.export.torch_program import write_pt2

        write_pt2(classifier, path, header, plan.precision == "bf16")
    elif plan.to == "onnx":
        write_onnx(classifier, plan, path, header)
    else:
        write_openvino(classifier, plan, path, header)


def write_onnx(classifier: Classifier, plan: Plan, path: Path, header: dict[str, Any]) -> None:
    from googlenet.export.image_graph import with_photo
    from googlenet.export.onnx_graph import network_model, with_metadata
    from googlenet.export.quantize import quantise_onnx

    p = classifier.preprocessing
    model = network_model(classifier.network, p.size, classifier.multi, classifier.calibration)
    if plan.calibration is not None:
        model = quantise_onnx(model, to_nchw(plan.calibration, p))
    if plan.whole_photos:
        model = with_photo(p, model)
    with_metadata(model, KEY, header)
    path.write_bytes(model.SerializeToString())


def write_openvino(classifier: Classifier, plan: Plan, path: Path, header: dict[str, Any]) -> None:
    from googlenet.export import openvino_model
    from googlenet.export.image_graph import photo_model
    from googlenet.export.onnx_graph import network_model
    from googlenet.export.quantize import quantise_openvino

    p = classifier.preprocessing
    model = openvino_model.from_onnx(
        network_model(classifier.network, p.size, classifier.multi, classifier.calibration)
    )
    if plan.calibration is not None:
        model = quantise_openvino(model, to_nchw(plan.calibration, p))
    if plan.whole_photos:
        photo = openvino_model.from_onnx(photo_model(p))
        model = openvino_model.with_photo(photo, model)
    openvino_model.write(model, path, KEY, header, half=plan.precision == "bf16")


def compare(
    classifier: Classifier,
    plan: Plan,
    path: Path,
    photos: ParityPhotos,
    workers: int,
    progress: Callable[[], object],
    bad: Callable[[str], object],
) -> Parity:
    """Probabilities before and after, of the same photos, before any calibration."""
    exported = running(classifier, plan, path)
    before: list[Tensor] = []
    after: list[Tensor] = []
    indices: list[int] = []
    waiting: list[DecodedImage] = []

    def compute() -> None:
        crops = [classifier.crops(photo)[0] for photo in waiting]
        before.append(classifier.uncalibrated(classifier.outputs(crops).logits.double()))
        theirs = [exported.crops(photo)[0] for photo in waiting]
        after.append(classifier.uncalibrated(exported.outputs(theirs).logits.double()))
        waiting.clear()

    for index, photo in decoded(photos, workers, bad):
        progress()
        indices.append(index)
        waiting.append(photo)
        if len(waiting) == BATCH:
            compute()
    if waiting:
        compute()
    if not indices:
        raise GoogLeNetError(f"{photos.name}: none of the photos could be read")
    labels = None
    if photos.labelled and photos.samples.multi_hot is None:
        labels = torch.tensor([photos.samples.labels[i] for i in indices])
    return Parity(
        torch.cat(before),
        torch.cat(after),
        [photos.samples.name(i) for i in indices],
        labels,
    )


def network_alone(
    classifier: Classifier, plan: Plan, folder: Path, photos: ParityPhotos, workers: int
) -> Parity:
    """The network of a file with its preprocessing built in, fed with Pillow's own crops.

    Resizing differs by a level here and there and hides what the rest of the graph does; this
    is held to the limits of a file that takes crops.
    """
    bare = replace(plan, whole_photos=False)
    folder.mkdir()
    made = folder / f"network{SUFFIX[plan.to]}"
    write(classifier, bare, made)
    found = compare(classifier, bare, made, photos, workers, lambda: None, lambda _: None)
    shutil.rmtree(folder)
    return found


def running(classifier: Classifier, plan: Plan, path: Path) -> Classifier:
    """The exported file at work in its own engine: of a `.pt2` file the program itself."""
    if plan.to != "torch":
        found = load_exported(path, ComputeDevice(), None)
        assert isinstance(found, EngineClassifier)
        return found
    program = torch.export.load(str(path)).module()  # written a moment ago, by us
    return EngineClassifier.around(classifier, Torch(program, plan.precision))
