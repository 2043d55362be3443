"""Third-party weights to a header and tensors of ours, with a report on every tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from math import isclose
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from googlenet.inference.header import ModelHeader
from googlenet.inference.network import build_empty, tensor_list
from googlenet.models import table
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.errors import GoogLeNetError
from googlenet.weights.caffe_named import HEADER, read_own_header
from googlenet.weights.classes import class_list
from googlenet.weights.layout import to_ours
from googlenet.weights.names import canonical_name
from googlenet.weights.provenance import fingerprint, known_by, provenance
from googlenet.weights.schemes import Scheme, scheme_of
from googlenet.weights.weight_file import WeightFile, WeightFileError

MAX_CLASSES = 25_000  # ImageNet has 21,841 synsets
COUNTER = "num_batches_tracked"


@dataclass
class Report:
    """What became of every tensor: of the file's, and of the network's.

    kept: our name to theirs.  dropped: theirs to the reason.  missing: ours that the file lacks
    and the network does without.  reinitialised: ours that the network needs, to the value that
    it got.
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


class Converted(NamedTuple):
    """A header, the network's tensors under our names, and what became of the file's."""

    header: ModelHeader
    tensors: dict[str, Tensor]
    report: Report


def convert_file(path: Path, data: memoryview, file: WeightFile) -> Converted:
    """`convert`, with provenance and licence in the header.

    Raises ModelFileError, which names the file.
    """
    try:
        found = convert(file)
    except GoogLeNetError as error:
        raise WeightFileError(f"{path}: {error}") from error
    if HEADER in file.metadata:
        return found
    digest = sha256(data).hexdigest()
    known = known_by(digest, fingerprint(found.tensors))
    origin = provenance(path, digest, found.report.scheme, known)
    if found.report.untrained_heads:
        origin["untrained_heads"] = found.report.untrained_heads
    stated = file.metadata.get("licence") or file.metadata.get("license")
    header = replace(found.header, provenance=origin, licence=known.licence if known else stated)
    return found._replace(header=header)


def convert(file: WeightFile) -> Converted:
    """A header and tensors from a file's tensors.

    Raises ModelFileError for tensors of another network, too few of them, or of wrong shapes.
    """
    scheme = scheme_of(file.tensors)
    theirs = by_canonical_name(file.tensors)
    carried = read_own_header(file)
    header = carried or published_header(scheme, theirs)
    numbers = sum(map(Tensor.numel, file.tensors.values())) if carried else header.parameters
    network = build_empty(header, numbers, f"its {HEADER!r} metadata")
    assert isinstance(network, GoogLeNet)
    check_lrn(file, network.variant)
    report = Report(file.format, scheme.name, header.variant)
    keep_or_drop_heads(network, scheme, theirs, report)
    tensors = rename_tensors(network.state_dict(), scheme, theirs, report)
    used = set(report.kept.values())
    for name in file.tensors:
        if canonical_name(name) not in used:
            report.dropped.setdefault(name, "has no place in the network")
    report.dropped |= file.unread
    if scheme.untrained_heads:
        report.untrained_heads = list(network.aux_heads)
    return Converted(replace(header, heads=network.aux_heads), tensors, report)


def by_canonical_name(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {canonical_name(name): tensor for name, tensor in tensors.items()}
    if len(found) < len(tensors):
        raise WeightFileError("holds two tensors whose names differ in their outer scope alone")
    return found


def published_header(scheme: Scheme, theirs: Mapping[str, Tensor]) -> ModelHeader:
    """The header of a network that was published under the scheme."""
    name = scheme.names(["classifier.bias"])["classifier.bias"]
    if name not in theirs:
        raise missing([name])
    count = theirs[name].numel()
    if not 2 <= count <= MAX_CLASSES:
        raise WeightFileError(f"must have 2 to {MAX_CLASSES:,} classes, has {count:,}")
    heads = tuple(table.HEADS) if table.variant(scheme.variant).aux_pool else ()
    classes = class_list(scheme.classes, count)
    return ModelHeader(scheme.variant, classes, scheme.preprocessing, heads=heads)


def check_lrn(file: WeightFile, network: table.Variant) -> None:
    """Refuse a graph whose own normalization is not the variant's: its numbers would be wrong."""
    norm = network.norm
    for found in file.lrn:
        if not isinstance(norm, table.LRN) or not all(
            isclose(a, b, rel_tol=1e-5)
            for a, b in zip(asdict(found).values(), asdict(norm).values(), strict=True)
        ):
            raise WeightFileError(
                f"its graph normalizes by {found}, variant {network.name!r} by {norm}"
            )


def keep_or_drop_heads(
    network: GoogLeNet, scheme: Scheme, theirs: Mapping[str, Tensor], report: Report
) -> None:
    """Keep the auxiliary heads if the file has every tensor of both, drop them otherwise."""
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


def rename_tensors(
    state: Mapping[str, Tensor], scheme: Scheme, theirs: Mapping[str, Tensor], report: Report
) -> dict[str, Tensor]:
    """Every tensor of the network, its values from the file."""
    names = scheme.names(state)
    needed = {ours: names.get(ours, ours) for ours in state}
    absent = [
        name for ours, name in needed.items() if name not in theirs and not ours.endswith(COUNTER)
    ]
    if absent:
        raise missing(absent)
    found = {}
    for ours, target in state.items():
        name = needed[ours]
        if name in theirs:
            found[ours] = to_ours(name, ours, theirs[name], target, scheme.layout)
            report.kept[ours] = name
        else:
            found[ours] = torch.zeros_like(target)
            report.reinitialised[ours] = "0, a counter that only training uses"
    return found


def missing(names: Iterable[str]) -> WeightFileError:
    return WeightFileError(f"has {tensor_list('missing', [repr(name) for name in names])}")
