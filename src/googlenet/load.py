"""Any path or name to a classifier: the only place that knows every format."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from googlenet.hub.folder import MODEL_NAME, find_pretrained, write_description
from googlenet.inference import classifier as inference
from googlenet.inference.backends.base import ENGINES, require, select_engine
from googlenet.inference.exported_file import (
    ExportedFile,
    detect_format,
    read_exported,
    start_engine,
)
from googlenet.inference.header import ModelHeader
from googlenet.inference.model_file import (
    DETECTOR_KEY,
    is_model_file,
    model_path,
    read_model_file,
)
from googlenet.models.table import variant_name
from googlenet.runtime.device import ComputeDevice, thread_count
from googlenet.runtime.errors import UsageError
from googlenet.runtime.files import map_file
from googlenet.weights.registry import KNOWN, no_such_file

if TYPE_CHECKING:
    from torch import Tensor

    from googlenet.weights.convert import Report

STREAMS = 4  # at most: each has its own feature maps in memory


class Classifier(inference.Classifier):
    """Says what is in images.

    classifier = Classifier.load("model.safetensors")
    for result in classifier.predict(["cat.jpg"]):
        print(result.label, result.probability)
    """

    @classmethod
    def load(
        cls,
        source: str | Path,
        device: str | None = None,
        engine: str | None = None,
        precision: str = "fp32",
    ) -> Classifier:
        """As `load_classifier`."""
        return load_classifier(source, device, engine, precision)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        revision: str | None = None,
        device: str | None = None,
        engine: str | None = None,
        precision: str = "fp32",
    ) -> Classifier:
        """The classifier in a folder that `save_pretrained` wrote, or in a repository of the
        Hugging Face Hub, "OWNER/NAME", at a `revision`; or anything that `load` takes.

        A folder needs neither a network nor `huggingface_hub`.  Raises GoogLeNetError in one
        sentence, as `load` does, and for a repository that cannot be reached.
        """
        return load_classifier(find_pretrained(source, revision), device, engine, precision)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model file, its header as config.json, and a model card to a folder.

        A README.md that is there stays.  Raises GoogLeNetError if that fails.
        """
        path = Path(folder)
        self.save(path / MODEL_NAME)
        write_description(path, self.header)


class ModelContent(NamedTuple):
    """A header, the network's tensors, and how third-party ones became these; None for ours."""

    header: ModelHeader
    tensors: dict[str, Tensor]
    report: Report | None


def load_classifier(
    source: str | Path,
    device: str | None = None,
    engine: str | None = None,
    precision: str = "fp32",
    parallel: bool = False,
) -> Classifier:
    """The classifier in a model file, a run folder (its `last.safetensors`), a file that
    `googlenet export` wrote, a published weight file of any known format, or the known file of
    that name ("bvlc").

    device: "cpu" (the default), "cuda", or "auto" for a GPU if there is one.  engine: "torch",
    "onnxruntime", "openvino" or "auto", the fastest installed one; by default PyTorch, or for an
    exported file the engine that it was made for.  precision: "fp32", "bf16", or "auto" for bf16
    where the hardware computes in it; an exported file has its own.  parallel: whether another
    engine than PyTorch is to compute several batches at the same time.
    Raises GoogLeNetError in one sentence for a file that is damaged, not a GoogLeNet or of a
    future format; UsageError for one that does not exist.
    """
    path = find_file(source)
    data = map_file(path)
    streams = min(STREAMS, thread_count()) if parallel else 1
    exported = read_exported(path, data, engine)
    if exported is not None and exported.engine != "torch":
        return Classifier(exported.header, exported.start(streams))
    if exported is not None:
        return load_torch_export(exported, data, device, precision)
    header, tensors, _ = read_content(path, data)
    return load_content(path, header, tensors, device, engine, precision, streams)


def find_file(source: str | Path) -> Path:
    """The file that is meant: a path, a run folder, or a known name, downloaded if needed."""
    path = model_path(source)
    if path.is_file():
        return path
    if str(source) in KNOWN:
        from googlenet.weights.download import fetch

        return fetch(KNOWN[str(source)])
    raise no_such_file("MODEL", path)


def require_weights(source: str | Path, name: str) -> None:
    """Raises UsageError if `name` does not exist or is an exported file, which has no weights."""
    path = model_path(source)
    if not path.exists() and str(source) not in KNOWN:
        raise no_such_file(name, source)
    if path.is_file() and detect_format(map_file(path)) is not None:
        raise UsageError(f"{name} must be a model file, got {source}, an exported one")


def read_content(path: Path, data: memoryview) -> ModelContent:
    """The header and tensors of a model file or a third-party weight file."""
    if is_model_file(data):
        return ModelContent(*read_model_file(path, data), None)
    if is_model_file(data, DETECTOR_KEY):
        raise UsageError(f"MODEL must be a classifier, got {path}, a detector: googlenet detect")
    from googlenet.weights.convert import convert_file
    from googlenet.weights.detect import read_weight_file

    return ModelContent(*convert_file(path, data, read_weight_file(path, data)))


def convert_source(source: str | Path) -> tuple[Classifier, Report]:
    """The classifier in a model file or a third-party weight file, and the tensors' report."""
    path = find_file(source)
    from googlenet.weights.convert import Report

    header, tensors, report = read_content(path, map_file(path))
    if report is None:
        kept = {name: name for name in tensors}
        report = Report("model file", "googlenet", variant_name(header.variant), kept)
    return load_content(path, header, tensors), report


def compute_device(device: str | None, precision: str) -> ComputeDevice:
    """Raises UsageError for a precision that does not exist."""
    detected = ComputeDevice.detect(precision)
    return detected if device == "auto" else ComputeDevice(device or "cpu", precision)


def load_content(
    path: Path,
    header: ModelHeader,
    tensors: dict[str, Tensor],
    device: str | None = None,
    engine: str | None = None,
    precision: str = "fp32",
    streams: int = 1,
) -> Classifier:
    """A classifier from a file's header and tensors."""
    from googlenet.inference.backends.torch import TorchBackend
    from googlenet.inference.network import build_empty, load_tensors

    computes = compute_device(device, precision)
    network = build_empty(header, sum(t.numel() for t in tensors.values()), f"{path}: its header")
    load_tensors(network, tensors, path)
    network.eval()
    name = engine_for(engine, computes)
    if name == "torch":
        return Classifier(header, TorchBackend(network, computes))
    require("onnx")
    from googlenet.export.onnx_graph import network_model
    from googlenet.export.onnx_rewrite import rewrite_for_onnxruntime

    model = network_model(network, header.preprocessing.size)
    if name == "onnxruntime":
        model = rewrite_for_onnxruntime(model)
    wanted = "bf16" if computes.bf16 else "fp32"
    backend = start_engine(name, model.SerializeToString(), wanted, streams, source=str(path))
    return Classifier(replace(header, heads=()), backend)


def engine_for(engine: str | None, device: ComputeDevice) -> str:
    """The engine that is to run a model file.

    Raises UsageError for one that does not exist or does not compute in the precision.
    """
    if engine in (None, "torch"):
        return "torch"
    supported: tuple[str, ...] = ENGINES
    if engine == "auto" and not find_spec("onnx"):
        supported = ("torch",)
    elif engine == "auto" and device.bf16:
        supported = ("openvino", "torch")
    name = select_engine(str(engine), supported)
    if name == "onnxruntime" and device.bf16:
        raise UsageError("precision must be fp32 with the engine onnxruntime, got bf16")
    return name


def load_torch_export(
    exported: ExportedFile, data: memoryview, device: str | None, precision: str
) -> Classifier:
    """The classifier in a `.pt2` file: its fused network, in PyTorch."""
    import torch

    from googlenet.inference.backends.torch import TorchBackend
    from googlenet.inference.network import build_empty, load_tensors
    from googlenet.inference.torch_export import read_pt2
    from googlenet.models.fuse import fuse_conv_bn

    header, path = exported.header, exported.path
    tensors = read_pt2(path, data)
    # Fused, batch normalization has one number per filter, not two.
    numbers = 2 * sum(t.numel() for t in tensors.values())
    network = fuse_conv_bn(build_empty(header, numbers, f"{path}: its header"))
    load_tensors(network, tensors, path)
    if next(iter(tensors.values())).dtype == torch.bfloat16:
        precision = "auto"  # conversion is ten times slower
    return Classifier(header, TorchBackend(network, compute_device(device, precision)))
