"""`.pt2` files: a program of `torch.export` that runs in PyTorch without this package.

Such a file is a program: `torch.export.load` unpickles parts of it, evaluates strings of it and
looks up functions by names in it, so a file from a stranger can do anything.  Our own reading
runs nothing of it.  It takes the weights, which lie in the archive as plain bytes under the
paper's names, and the header, and builds the folded network from those.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from googlenet.inference.calibration import Calibration, Outputs
from googlenet.inference.classifier import Classifier, load_tensors
from googlenet.inference.model_file import KEY, ModelFileError
from googlenet.models import table
from googlenet.models.fuse import folded
from googlenet.models.googlenet import GoogLeNet, MaxPool
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.watchdog import paused

WEIGHTS = "data/weights/"
CONFIG = "model_weights_config.json"
# The numbers by which torch.export's files call the types that an export of ours has.
DTYPES = {7: torch.float32, 13: torch.bfloat16}


def read_pt2(path: Path, header: Mapping[str, Any], machine: ComputeDevice) -> Classifier:
    """The classifier in a `.pt2` file of ours.  Raises ModelFileError for one that is damaged."""
    tensors = read_weights(path)
    try:
        # Folded, batch normalisation has one number a filter, not two.
        numbers = 2 * sum(map(Tensor.numel, tensors.values()))
        classifier = Classifier.from_header(header, numbers)
    except (AttributeError, GoogLeNetError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{path}: its header cannot be used ({error})") from error
    classifier.network = folded(classifier.network)
    load_tensors(classifier.network, tensors, path)
    classifier.machine = machine
    if next(iter(tensors.values())).dtype == torch.bfloat16:
        classifier.machine = ComputeDevice(machine.device, "auto")  # conversion is ten times slower
    classifier.network.to(device=machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return classifier


def read_weights(path: Path) -> dict[str, Tensor]:
    """Every weight in the archive, read as bytes."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            config = next(name for name in names if name.endswith(WEIGHTS + CONFIG))
            folder = config.removesuffix(CONFIG)
            entries = json.loads(archive.read(config))["config"]
            return {
                name.removeprefix("network."): weight(
                    archive.read(folder + entry["path_name"]), entry
                )
                for name, entry in entries.items()
                if name.startswith("network.")
            }
    except (zipfile.BadZipFile, OSError, StopIteration, KeyError, ValueError, TypeError,
            RuntimeError) as error:  # fmt: skip
        raise ModelFileError(f"{path}: is no complete .pt2 file of ours ({error!r})") from error


def weight(data: bytes, entry: Mapping[str, Any]) -> Tensor:
    if entry["use_pickle"]:
        raise ValueError("a weight is pickled")
    meta = entry["tensor_meta"]
    sizes, strides = ([int(n["as_int"]) for n in meta[key]] for key in ("sizes", "strides"))
    flat = torch.frombuffer(bytearray(data), dtype=DTYPES[meta["dtype"]])
    return flat.as_strided(sizes, strides, int(meta["storage_offset"]["as_int"])).contiguous()


def write_pt2(classifier: Classifier, path: Path, header: Mapping[str, Any], half: bool) -> None:
    """The network as a program of `torch.export`, any number of photos at a time.

    Height and width are free too where the network's last map has more than one pixel at the
    model's own size: a program is either for maps of one pixel or for larger ones.
    """
    network = folded(classifier.network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for layer in network.modules():
        if isinstance(layer, MaxPool) and layer.ceil_mode:
            # The same, without a case distinction that a program with free sides cannot have.
            layer.add_module("pad", nn.ConstantPad2d((0, layer.stride - 1) * 2, -torch.inf))
            layer.ceil_mode = False
    size, free = classifier.preprocessing.size, torch.export.Dim.DYNAMIC
    sides = {2: free, 3: free}
    if not isinstance(network, GoogLeNet) or table.final_side(network.variant, size) == 1:
        sides = {}
    example = torch.zeros(2, network.in_channels, size, size)
    program = Program(classifier, network, torch.bfloat16 if half else torch.float32)
    with paused():  # minutes on a slow machine, and says nothing
        exported = torch.export.export(program, (example,), dynamic_shapes=({0: free, **sides},))
    with BytesIO() as archive:  # a path would have to end in .pt2
        torch.export.save(exported, archive, extra_files={KEY: json.dumps(header)})
        path.write_bytes(archive.getvalue())


class Program(nn.Module):
    """What is exported: photos (N, C, H, W) float32 to what the ONNX graph puts out, float32.

    logits, probabilities, summary (of a GoogLeNet) and score (where there is a threshold for it).
    """

    def __init__(self, classifier: Classifier, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network.to(dtype), dtype
        self.multi = classifier.multi
        self.calibration = classifier.calibration or Calibration()

    def forward(self, photos: Tensor) -> tuple[Tensor, ...]:
        x = photos.to(self.dtype)
        if not isinstance(self.network, GoogLeNet):
            logits = self.network(x).float()
            return logits, self.probabilities(logits)
        maps, summary = self.network.features_and_summary(x)
        logits = self.network.classify(maps).float()
        unknown = self.calibration.unknown
        score = (unknown.scores(Outputs(logits, summary)),) if unknown else ()
        return logits, self.probabilities(logits), summary, *score

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.sigmoid() if self.multi else self.calibration.probabilities(logits)
