"""What a microscope shows: layers, units, images; and the key that ties its parts together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from googlenet.data.dataset import Samples
from googlenet.inference.classifier import Classifier
from googlenet.inference.header import ModelHeader
from googlenet.insight.model_digest import model_digest
from googlenet.insight.receptive_field import ReceptiveField, receptive_field
from googlenet.models.googlenet import ConvUnit, GoogLeNet, Inception, SeparableUnit
from googlenet.runtime.errors import UsageError

FORMAT = 1  # of the site's files: another one begins anew
IMAGES_PER_CHUNK = 64
UNITS_PER_CHUNK = 16
CLASSES_PER_CHUNK = 100


@dataclass(frozen=True)
class Settings:
    """What a user chooses.

    layers: none for all Inception modules.  units: the first ones of each layer; None for all.
    images: at most so many of the data are shown.  atlas: the layers with an activation atlas.
    steps: of gradient ascent per visualization; 0 for a site without them.
    """

    layers: tuple[str, ...] = ()
    units: int | None = None
    images: int = 1000
    atlas: tuple[str, ...] = ()
    steps: int = 48
    seed: int = 0


class Layer(NamedTuple):
    """A layer on show: the first `units` of its `channels`, on a map of `side` × `side` places."""

    name: str
    units: int
    channels: int
    side: int
    field: ReceptiveField


@dataclass(frozen=True)
class Plan:
    """Everything that a part of the site is made from; sent to each process that makes some.

    samples: the images on show, in order.  labeled: whether their labels are the model's classes.
    """

    network: GoogLeNet
    header: ModelHeader
    samples: Samples
    names: tuple[str, ...]
    labeled: bool
    layers: tuple[Layer, ...]
    settings: Settings
    folder: Path
    key: str

    @property
    def work(self) -> Path:
        """Where parts lie that are not of the site; gone once it is complete."""
        return self.folder / "work"

    @property
    def units(self) -> int:
        return sum(layer.units for layer in self.layers)

    def layer(self, name: str) -> Layer:
        return next(layer for layer in self.layers if layer.name == name)

    def columns(self) -> dict[str, slice]:
        """Where each layer's units are in arrays of all units."""
        ends = np.cumsum([layer.units for layer in self.layers]).tolist()
        return {
            layer.name: slice(end - layer.units, end)
            for layer, end in zip(self.layers, ends, strict=True)
        }

    def chunks(self) -> list[range]:
        """The images in chunks, by their numbers."""
        count = len(self.samples)
        return [
            range(begin, min(begin + IMAGES_PER_CHUNK, count))
            for begin in range(0, count, IMAGES_PER_CHUNK)
        ]


def make_plan(
    classifier: Classifier, samples: Samples, labeled: bool, settings: Settings, folder: Path
) -> Plan:
    """Raises UsageError for a network without units to show, and for an unknown layer."""
    network = classifier.network
    if not isinstance(network, GoogLeNet):
        raise UsageError(
            f"a microscope shows the units of Inception modules, MODEL is of variant {network.name}"
        )
    network.eval()
    chosen = choose_images(samples, settings)
    shown = samples.take(chosen)
    layers = layers_of(classifier, network, settings)
    shown_names = [layer.name for layer in layers]
    atlas = dict.fromkeys(shown_layer(name, shown_names, "--atlas") for name in settings.atlas)
    settings = replace(settings, layers=tuple(shown_names), atlas=tuple(atlas))
    names = tuple(map(samples.name, chosen))
    return Plan(
        network, classifier.header, shown, names, labeled, layers, settings, folder,
        key_of(classifier, shown, names, labeled, layers, settings),
    )  # fmt: skip


def choose_images(samples: Samples, settings: Settings) -> list[int]:
    """The numbers of the images on show: all, or a random choice, in the order of the data."""
    count = len(samples)
    if count <= settings.images:
        return list(range(count))
    order = np.random.default_rng(settings.seed).permutation(count)
    return sorted(order[: settings.images].tolist())


@torch.inference_mode()
def layers_of(classifier: Classifier, network: GoogLeNet, settings: Settings) -> tuple[Layer, ...]:
    """The layers on show in the network's order, with what is known of their maps."""
    known = [n for n in network.trunk if is_shown(getattr(network, n))]
    chosen = [shown_layer(name, known, "--layers") for name in settings.layers]
    default = [n for n in known if isinstance(getattr(network, n), Inception)]
    names = [n for n in known if n in (chosen or default)]
    p = classifier.preprocessing
    device = next(network.parameters()).device
    with network.tap(*names) as maps:
        network(torch.zeros(1, p.channels, p.size, p.size, device=device))
    return tuple(
        Layer(
            name,
            min(settings.units or maps[name].shape[1], maps[name].shape[1]),
            maps[name].shape[1],
            maps[name].shape[2],
            receptive_field(network, name),
        )
        for name in names
    )


def shown_layer(name: str, known: Sequence[str], option: str) -> str:
    """The layer of that name, with or without its "inception_".  Raises UsageError."""
    for candidate in (name, f"inception_{name}"):
        if candidate in known:
            return candidate
    short = ", ".join(each.removeprefix("inception_") for each in known)
    raise UsageError(f"{option} must be of {short}, got {name!r}")


def is_shown(module: torch.nn.Module) -> bool:
    """Whether a stage of the network has units of its own."""
    return isinstance(module, ConvUnit | SeparableUnit | Inception)


def key_of(
    classifier: Classifier, samples: Samples, names: Sequence[str], labeled: bool,
    layers: Iterable[Layer], settings: Settings,
) -> str:  # fmt: skip
    """A hash of the model, the images' names and labels, and the settings.

    Folders do not count, so that data may move.
    """
    digest = sha256(model_digest(classifier).encode())
    header = classifier.header
    lines = [
        f"{Path(name).name} {samples.classes_of(i) if labeled else ''}"
        for i, name in enumerate(names)
    ]
    for fact in (FORMAT, header.classes, tuple(layers), settings, lines):
        digest.update(repr(fact).encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]
