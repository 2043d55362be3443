"""Two models on the same images: CKA between each layer of one and each of the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from googlenet.images.decode import ImageError, Source
from googlenet.inference.backends.base import Pixels
from googlenet.inference.classifier import Classifier
from googlenet.insight.activations import activations
from googlenet.insight.cka import MinibatchCKA, centered_gram
from googlenet.models.googlenet import Inception
from googlenet.models.registry import Network
from googlenet.models.taps import relu_of
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.prefetch import prefetch

BATCH = 64


@dataclass
class Comparison:
    """cka: (layers_a, layers_b).  images: how many could be read; errors: of the others."""

    layers_a: Sequence[str]
    layers_b: Sequence[str]
    cka: NDArray[np.float64]
    images: int = 0
    errors: list[str] = field(default_factory=list)


def compare(
    a: Classifier,
    b: Classifier,
    sources: Iterable[Source],
    layers_a: Sequence[str],
    layers_b: Sequence[str],
    progress: Callable[[int], object] = lambda images: None,
) -> Comparison:
    """CKA between the layers, taps, of two models, each with its own preprocessing.

    The images must come in a random order: a batch of one class would say little.
    Raises GoogLeNetError where fewer than 4 images can be read.
    """
    sums = MinibatchCKA(len(layers_a), len(layers_b))
    found = Comparison(layers_a, layers_b, sums.cross)

    def read(source: Source) -> tuple[Pixels, Pixels] | str:
        try:
            return a.load_input(source), b.load_input(source)
        except ImageError as error:
            return str(error)

    images = prefetch(read, sources, 2, ahead=BATCH)
    while chunk := list(islice(images, BATCH)):
        pairs = [each for each in chunk if not isinstance(each, str)]
        found.errors += [each for each in chunk if isinstance(each, str)]
        if pairs:
            sums.add(
                grams(a, layers_a, [pair[0] for pair in pairs]),
                grams(b, layers_b, [pair[1] for pair in pairs]),
            )
        found.images += len(pairs)
        progress(len(chunk))
    if found.images < 4:
        raise GoogLeNetError(f"CKA needs at least 4 images that can be read, got {found.images}")
    found.cka = sums.result()
    return found


def grams(
    classifier: Classifier, layers: Sequence[str], pixels: Sequence[Pixels]
) -> list[NDArray[np.float64]]:
    """`centered_gram` of each layer, in the order of the layers."""
    images = torch.from_numpy(np.stack(pixels)).to(next(classifier.network.parameters()).device)
    x = classifier.preprocessing.normalize(images)
    found = {name: centered_gram(maps) for name, maps in activations(classifier, layers, x)}
    return [found[name] for name in layers]


def layers_with_weights(network: Network) -> list[str]:
    """The stages that end in a ReLU: convolutions, Inception modules, hidden units."""
    modules = ((name, getattr(network, name)) for name in network.trunk)
    return [n for n, m in modules if isinstance(m, Inception) or relu_of(m) is not None]
