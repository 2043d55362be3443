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
from numpy.typing import NDArray

from googlenet import __version__
from googlenet.export.formats import FORMATS
from googlenet.export.parity import LIMITS, RAW_IMAGE_LIMITS, Parity
from googlenet.export.parity_images import ParityImages, decode_images
from googlenet.images.turbo_jpeg import DecodedImage
from googlenet.images.view import to_nchw
from googlenet.inference.backends.base import require
from googlenet.inference.classifier import Classifier
from googlenet.inference.exported_file import read_exported
from googlenet.inference.header import FORMAT, KEY, encode_tensors
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.files import map_file, parent_dir

BATCH = 16  # images compared at a time


@dataclass(frozen=True)
class ExportOptions:
    """What to write: `calibration` is the crops (N, size, size, channels) for int8."""

    to: str
    precision: str = "fp32"
    with_preprocessing: bool = False
    fixed: bool = False  # whether the input has one shape: a single image of the model's size
    calibration: NDArray[np.uint8] | None = None

    def check(self) -> None:
        """Raises UsageError for what no format holds, GoogLeNetError for a missing package."""
        if self.to not in FORMATS:
            raise UsageError(f"--to must be one of {', '.join(FORMATS)}, got {self.to!r}")
        form = FORMATS[self.to]
        if self.precision not in form.precisions:
            raise UsageError(
                f"precision must be {' or '.join(form.precisions)} for {self.to}, "
                f"got {self.precision}"
            )
        if self.with_preprocessing and self.precision == "int8" and self.to == "onnx":
            raise UsageError("--int8 --with-preprocessing must go with openvino, got onnx")
        if self.with_preprocessing and self.to not in ("onnx", "openvino"):
            raise UsageError(f"--with-preprocessing must go with onnx or openvino, got {self.to}")
        if self.fixed and (self.to != "onnx" or self.with_preprocessing):
            raise UsageError("--fixed must go with --to onnx, without --with-preprocessing")
        for package in form.packages:
            require(package)
        if self.precision == "int8" and self.to == "openvino":
            require("nncf")


def export(
    classifier: Classifier,
    options: ExportOptions,
    out: Path,
    images: ParityImages,
    *,
    workers: int = 2,
    progress: Callable[[], object] = lambda: None,
    on_unreadable: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Write the file, run it in its own engine, compare; the report, as `--json` prints it.

    The file appears under its name only if it agrees: see `passed`, and `failure` for why not.
    An earlier file of that name then stays.
    """
    options.check()
    try:
        with parent_dir(out), staging_dir(out) as folder:
            made = folder / out.name
            write(classifier, options, made)
            parity = compare(classifier, options, made, images, workers, progress, on_unreadable)
            limits = RAW_IMAGE_LIMITS if options.with_preprocessing else LIMITS
            failure = parity.failure(limits[options.precision])
            network = None
            if options.with_preprocessing and options.precision == "fp32":
                network = compare_network_only(
                    classifier, options, folder / "network", images, workers
                )
                failure = failure or network.failure(LIMITS["fp32"])
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
        "format": options.to,
        "precision": options.precision,
        "with_preprocessing": options.with_preprocessing,
        "fixed": options.fixed,
        "data": images.name,
        **parity.to_json(),
        "network_agreement": network and network.agreement,
        "network_max_difference": network and network.max_difference,
        "calibration_images": 0 if options.calibration is None else len(options.calibration),
        "bytes": size,
        "native_bf16": ComputeDevice("cpu", "auto").bf16,
        "passed": failure is None,
        "failure": failure,
    }


@contextmanager
def staging_dir(out: Path) -> Iterator[Path]:
    """A folder beside the file to be written, removed afterwards with what it still holds."""
    folder = Path(mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def export_header(classifier: Classifier, options: ExportOptions) -> dict[str, Any]:
    """The model file's header, for the network without heads, and how it was exported."""
    p, ood = classifier.preprocessing, classifier.calibration and classifier.calibration.ood
    raw, batch = options.with_preprocessing, 1 if options.fixed else "batch"
    export = {
        "format": options.to,
        "precision": options.precision,
        "input": "photo" if raw else "normalised",
        "shape": ["height", "width", 3] if raw else [batch, p.channels, p.size, p.size],
        "unknown": encode_tensors(ood.tensors) if ood else None,
        "program": f"googlenet {__version__}",
    }
    header = replace(classifier.header, heads=())
    return {"format": FORMAT, **header.to_json(), "export": export}


def write(classifier: Classifier, options: ExportOptions, path: Path) -> None:
    header = export_header(classifier, options)
    if options.to == "torch":
        from googlenet.export.torch_program import write_pt2

        write_pt2(classifier, path, header, options.precision == "bf16")
    elif options.to == "onnx":
        write_onnx(classifier, options, path, header)
    else:
        write_openvino(classifier, options, path, header)


def write_onnx(
    classifier: Classifier, options: ExportOptions, path: Path, header: dict[str, Any]
) -> None:
    from googlenet.export.image_graph import with_preprocessing
    from googlenet.export.onnx_graph import fix_shapes, network_model, with_metadata
    from googlenet.export.onnx_rewrite import rewrite_for_onnxruntime
    from googlenet.export.quantize import quantize_onnx

    p = classifier.preprocessing
    model = network_model(classifier.network, p.size, classifier.multilabel, classifier.calibration)
    if options.calibration is not None:
        model = quantize_onnx(model, to_nchw(options.calibration, p))
    model = rewrite_for_onnxruntime(model)
    if options.with_preprocessing:
        model = with_preprocessing(p, model)
    if options.fixed:
        fix_shapes(model, p.size)
    with_metadata(model, KEY, header)
    path.write_bytes(model.SerializeToString())


def write_openvino(
    classifier: Classifier, options: ExportOptions, path: Path, header: dict[str, Any]
) -> None:
    from googlenet.export import openvino_model
    from googlenet.export.image_graph import preprocessing_model
    from googlenet.export.onnx_graph import network_model
    from googlenet.export.quantize import quantize_openvino

    p = classifier.preprocessing
    model = openvino_model.from_onnx(
        network_model(classifier.network, p.size, classifier.multilabel, classifier.calibration)
    )
    if options.calibration is not None:
        model = quantize_openvino(model, to_nchw(options.calibration, p))
    if options.with_preprocessing:
        preprocessing = openvino_model.from_onnx(preprocessing_model(p))
        model = openvino_model.with_preprocessing(preprocessing, model)
    openvino_model.write(model, path, KEY, header, bf16=options.precision == "bf16")


def compare(
    classifier: Classifier,
    options: ExportOptions,
    path: Path,
    images: ParityImages,
    workers: int,
    progress: Callable[[], object],
    on_unreadable: Callable[[str], object],
) -> Parity:
    """Probabilities before and after, for the same images, before any calibration."""
    exported = load_for_parity(classifier, options, path)
    both: tuple[list[NDArray[Any]], list[NDArray[Any]]] = ([], [])
    indices: list[int] = []
    waiting: list[DecodedImage] = []

    def compute() -> None:
        for each, probabilities in zip((classifier, exported), both, strict=True):
            logits = each.outputs([each.crops(image)[0] for image in waiting]).logits
            probabilities.append(classifier.raw_probabilities(logits.astype(np.float64)))
        waiting.clear()

    for index, image in decode_images(images, workers, on_unreadable):
        progress()
        indices.append(index)
        waiting.append(image)
        if len(waiting) == BATCH:
            compute()
    if waiting:
        compute()
    if not indices:
        raise GoogLeNetError(f"{images.name}: none of the images could be read")
    labels = None
    if images.labelled and images.samples.multi_hot is None:
        labels = np.array([images.samples.labels[i] for i in indices])
    names = [images.samples.name(i) for i in indices]
    return Parity(np.concatenate(both[0]), np.concatenate(both[1]), names, labels)


def compare_network_only(
    classifier: Classifier,
    options: ExportOptions,
    folder: Path,
    images: ParityImages,
    workers: int,
) -> Parity:
    """The network of a file with its preprocessing built in, on Pillow's own crops.

    Resizing differs by a level in some pixels and hides what the rest of the graph does; this
    is held to the limits of a file that takes crops.
    """
    bare = replace(options, with_preprocessing=False)
    folder.mkdir()
    made = folder / f"network{FORMATS[options.to].suffixes[0]}"
    write(classifier, bare, made)
    found = compare(classifier, bare, made, images, workers, lambda: None, lambda _: None)
    shutil.rmtree(folder)
    return found


def load_for_parity(classifier: Classifier, options: ExportOptions, path: Path) -> Classifier:
    """The exported file in its own engine; for a `.pt2` file the program itself."""
    if options.to == "torch":
        from googlenet.export.torch_program import ProgramBackend

        return Classifier(classifier.header, ProgramBackend(path, options.precision))
    exported = read_exported(path, map_file(path))
    assert exported is not None
    return Classifier(exported.header, exported.start())
