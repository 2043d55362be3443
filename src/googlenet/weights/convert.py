"""Other people's weights to a classifier of ours, with an account of every tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isclose
from typing import Any

from torch import Tensor

from googlenet.inference.classifier import Classifier
from googlenet.models import table
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.registry import build_network
from googlenet.weights.caffe_named import HEADER, described_classifier
from googlenet.weights.classes import class_list
from googlenet.weights.layout import to_ours
from googlenet.weights.names import plain
from googlenet.weights.schemes import Scheme, scheme_of
from googlenet.weights.weight_file import WeightFile, WeightFileError

MAX_CLASSES = 25_000  # ImageNet has 21,841 synsets
COUNTER = "num_batches_tracked"


@dataclass
class Report:
    """What became of every tensor: of the file's, and of the network's.

    kept: our name to theirs.  dropped: theirs to the reason.  missing: ours that the file has
    not and the network does without.  reinitialised: ours that the network needs, to the value
    that it got.
    """

    format: str
    scheme: str
    variant: str
    kept: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    reinitialised: dict[str, str] = field(default_factory=dict)
    untrained_heads: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def convert(file: WeightFile) -> tuple[Classifier, Report]:
    """A classifier from a file's tensors, and what became of each of them.

    Raises WeightFileError for tensors of another network, too few of them, or of wrong shapes.
    """
    scheme = scheme_of(file.tensors)
    theirs = by_plain_name(file.tensors)
    classifier = skeleton(scheme, theirs, file)
    network = classifier.network
    assert isinstance(network, GoogLeNet)
    check_lrn(file, network.variant)
    report = Report(file.format, scheme.name, classifier.variant)
    settle_heads(network, scheme, theirs, report)
    fill(network, scheme, theirs, report)
    used = set(report.kept.values())
    for name in file.tensors:
        if plain(name) not in used:
            report.dropped.setdefault(name, "has no place in the network")
    report.dropped |= file.unread
    if scheme.untrained_heads:
        report.untrained_heads = list(network.heads)
    network.eval()
    return classifier, report


def by_plain_name(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {plain(name): tensor for name, tensor in tensors.items()}
    if len(found) < len(tensors):
        raise WeightFileError("holds two tensors whose names differ in their outer scope alone")
    return found


def skeleton(scheme: Scheme, theirs: Mapping[str, Tensor], file: WeightFile) -> Classifier:
    """A classifier of the right shape, its weights yet to come."""
    if HEADER in file.metadata:
        return described_classifier(file)
    name = scheme.names(["classifier.bias"])["classifier.bias"]
    if name not in theirs:
        raise WeightFileError(f"must hold the tensor {name!r}, has it not")
    count = theirs[name].numel()
    if not 2 <= count <= MAX_CLASSES:
        raise WeightFileError(f"must have 2 to {MAX_CLASSES:,} classes, has {count:,}")
    network = build_network(scheme.variant, count, size=scheme.preprocessing.size)
    classes = class_list(scheme.classes, count)
    return Classifier(network, classes, scheme.preprocessing, scheme.variant)


def check_lrn(file: WeightFile, network: table.Variant) -> None:
    """Refuse a graph whose own normalisation is not the variant's: its numbers would be wrong."""
    norm = network.norm
    for found in file.lrn:
        if not isinstance(norm, table.LRN) or not all(
            isclose(a, b, rel_tol=1e-5)
            for a, b in zip(asdict(found).values(), asdict(norm).values(), strict=True)
        ):
            raise WeightFileError(
                f"its graph normalises by {found}, variant {network.name!r} by {norm}"
            )


def settle_heads(
    network: GoogLeNet, scheme: Scheme, theirs: Mapping[str, Tensor], report: Report
) -> None:
    """Keep the auxiliary heads where the file has every tensor of both, drop them otherwise."""
    ours = [name for name in network.state_dict() if name.startswith("aux_")]
    names = scheme.names(ours)
    absent = [name for name in ours if names.get(name) not in theirs and COUNTER not in name]
    if not absent:
        return
    network.drop_heads()
    report.missing += absent
    for name in ours:
        if names.get(name) in theirs:
            report.dropped[names[name]] = "the auxiliary heads are not complete"


def fill(network: GoogLeNet, scheme: Scheme, theirs: Mapping[str, Tensor], report: Report) -> None:
    """Give every tensor of the network its values from the file."""
    state = network.state_dict()
    names = scheme.names(state)
    filled = {}
    for ours, target in state.items():
        name = names.get(ours, ours)
        if name in theirs:
            filled[ours] = to_ours(name, ours, theirs[name], target, scheme.layout)
            report.kept[ours] = name
        elif ours.endswith(COUNTER):
            filled[ours] = target.zero_()
            report.reinitialised[ours] = "0, a counter that only training uses"
        else:
            raise WeightFileError(f"must hold the tensor {name!r}, has it not")
    network.load_state_dict(filled)
