"""From a header and tensors to a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from googlenet.inference.header import ModelHeader, header_errors
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.registry import Network, build_network
from googlenet.runtime.errors import ModelFileError

SHOWN_NAMES = 4  # of the tensors that do not fit


def build_empty(header: ModelHeader, numbers: int, subject: str) -> Network:
    """The network that a header describes, its weights yet to be loaded.

    numbers: how many the file's tensors hold in all.  Raises ModelFileError, which begins with
    the subject ("m.safetensors: its header"), for a header that describes a larger network,
    before that is built, or whose calibration needs another.
    """
    with header_errors(subject):
        if header.parameters > numbers:
            raise ModelFileError(
                f"it describes a network of {header.parameters:,} parameters, "
                f"the tensors hold {numbers:,}"
            )
        network = build_network(
            header.variant,
            len(header.classes),
            size=header.preprocessing.size,
            in_channels=header.preprocessing.channels,
            width=header.width,
            with_aux_heads=bool(header.heads),
            initialization=None,
        )
        ood = header.calibration and header.calibration.ood
        widths = network.ood_widths if isinstance(network, GoogLeNet) else ()
        if ood and not ood.fits(widths):
            raise ValueError(f"the tensors of unknown do not fit the score {ood.score!r}")
    return network


def load_tensors(network: Network, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fill a network from a file's tensors, all of them, each of its own shape.

    Raises ModelFileError, which names the tensors that do not fit, on both sides.
    """
    expected = network.state_dict()
    misshapen = [
        f"{name} must have shape {tuple(tensor.shape)}, has {tuple(tensors[name].shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    problems = [
        tensor_list("missing", sorted(expected.keys() - tensors.keys())),
        tensor_list("unexpected", sorted(tensors.keys() - expected.keys())),
        tensor_list("misshapen", misshapen),
    ]
    if any(problems):
        raise ModelFileError(f"{path}: {'; '.join(filter(None, problems))}")
    network.load_state_dict(tensors)


def tensor_list(kind: str, names: Sequence[str]) -> str:
    """The count and the first few: "12 missing tensors (a, b, c, d, …)"; "" for none."""
    if not names:
        return ""
    more = ", …" if len(names) > SHOWN_NAMES else ""
    plural = "s" * (len(names) > 1)
    return f"{len(names)} {kind} tensor{plural} ({', '.join(names[:SHOWN_NAMES])}{more})"
