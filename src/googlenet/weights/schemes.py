"""The schemes under which GoogLeNet's weights are published, and what their numbers mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from googlenet.images.preprocess import Preprocessing
from googlenet.weights import names
from googlenet.weights.weight_file import WeightFileError


@dataclass(frozen=True)
class Scheme:
    """One way of naming and meaning.

    layers, parameters: tables of `names.py`.
    layout: of convolution kernels; HWIO is TensorFlow's, whose maps are flattened HWC too.
    classes: how its class list begins and in what order ImageNet's thousand follow.
    untrained_heads: its published auxiliary heads are noise.
    """

    name: str
    variant: str
    layers: Mapping[str, str]
    parameters: Mapping[str, str]
    preprocessing: Preprocessing
    layout: Literal["OIHW", "HWIO"] = "OIHW"
    classes: Literal["wnid", "background+wnid", "dummy+devkit"] = "wnid"
    untrained_heads: bool = False

    def names(self, ours: Iterable[str]) -> dict[str, str]:
        """Our tensors' names to this scheme's."""
        return names.name_map(self.layers, self.parameters, ours)

    def signature(self) -> frozenset[str]:
        """The names of the trunk's kernels, by which the scheme is recognised."""
        suffix = self.parameters["conv.weight"]
        trunk = (layer for layer in names.layers(self.layers).items() if is_trunk(layer[0]))
        return frozenset(theirs + suffix for _, theirs in trunk)


def is_trunk(layer: str) -> bool:
    return layer.startswith(("conv", "inception_"))


# BVLC's protocol: images squashed to 256×256, center 224; the mean of ImageNet in BGR.
BVLC_INPUT = Preprocessing(
    mode="squash", channel_order="BGR", mean=(104.0, 117.0, 123.0), scale=(1.0, 1.0, 1.0)
)
# inception5h: one mean for all channels, not scaled; section 7's protocol.
GOOGLE_INPUT = Preprocessing(mean=(117.0,) * 3, scale=(1.0,) * 3)
# −1 to 1.  torchvision normalizes by ImageNet's mean and deviation, and `transform_input` undoes
# that again inside the network: together they are x/127.5 − 1.
UNIT_INPUT = Preprocessing(mean=(127.5,) * 3, scale=(1 / 127.5,) * 3)
# TF-Slim takes the central 87.5 % of both sides, whatever their ratio, and squashes it to 224.
SLIM_INPUT = Preprocessing(mode="squash", mean=(127.5,) * 3, scale=(1 / 127.5,) * 3)

SCHEMES = (
    Scheme("caffe", "paper", names.CAFFE, names.CAFFE_PARAMETERS, BVLC_INPUT),
    Scheme("onnx", "paper", names.CAFFE, names.ONNX_PARAMETERS, BVLC_INPUT),
    Scheme(
        "inception5h",
        "inception5h",
        names.INCEPTION5H,
        names.INCEPTION5H_PARAMETERS,
        GOOGLE_INPUT,
        layout="HWIO",
        classes="dummy+devkit",
    ),
    Scheme(
        "slim",
        "slim",
        names.SLIM,
        names.SLIM_PARAMETERS,
        SLIM_INPUT,
        layout="HWIO",
        classes="background+wnid",
    ),
    Scheme(
        "torchvision",
        "torchvision",
        names.TORCHVISION,
        names.SAME_PARAMETERS,
        UNIT_INPUT,
        untrained_heads=True,
    ),
)
CAFFE = SCHEMES[0]
OUR_SIGNATURE = frozenset(
    f"{layer}.conv.weight" for layer in names.layers(names.OURS) if is_trunk(layer)
)


def scheme_of(found: Iterable[str]) -> Scheme:
    """The scheme that names at least half of the network's kernels as the file does.

    Raises WeightFileError for a file of another network, and for one of ours that has lost
    its header, without which input and output are unknown.
    """
    present = {names.canonical_name(name) for name in found}
    if len(OUR_SIGNATURE & present) * 2 >= len(OUR_SIGNATURE):
        raise WeightFileError(
            "has this program's tensor names but no header: its classes and preprocessing are lost"
        )
    best = max(SCHEMES, key=lambda scheme: len(scheme.signature() & present))
    if len(best.signature() & present) * 2 < len(best.signature()):
        shown = ", ".join(sorted(present)[:3]) or "none"
        raise WeightFileError(
            f"holds {len(present)} tensors ({shown}{', …' if len(present) > 3 else ''}), "
            "not those of a GoogLeNet"
        )
    return best
