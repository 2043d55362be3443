"""Embeddings: what a layer says of a whole image, as one vector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from googlenet.images.decode import ImageError, Source, name_of
from googlenet.inference.backends.base import Pixels
from googlenet.inference.backends.torch import TorchBackend
from googlenet.inference.classifier import Classifier
from googlenet.insight.activations import activations
from googlenet.insight.layers import find_layer
from googlenet.insight.model_digest import model_digest
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.registry import Network
from googlenet.models.taps import relu_of
from googlenet.runtime.prefetch import prefetch


@dataclass(frozen=True)
class Embedding:
    """An image's embedding, (D,) float32; `error` is set and `vector` None if it is unreadable."""

    path: str
    vector: NDArray[np.float32] | None = None
    error: str | None = None


class Embedder:
    """Embeds images with a classifier's network, in its fast form where that has the layer.

    layer: any tap; by default the map under the average pool, or of a compared network the last
    layer with a ReLU.  A map (C, h, w) is averaged over its places.  l2: whether vectors have
    length 1.  Raises UsageError for a layer that the network does not have, GoogLeNetError for a
    classifier that another engine than PyTorch runs.
    """

    def __init__(self, classifier: Classifier, layer: str | None = None, l2: bool = False) -> None:
        self.classifier, self.network, self.l2 = classifier, classifier.network, l2
        self.layer = find_layer(self.network, layer or default_layer(self.network))
        assert isinstance(classifier.backend, TorchBackend)
        self.backend = classifier.backend
        p = classifier.preprocessing
        blank = np.zeros((1, p.size, p.size, p.channels), np.uint8)
        self.dimensions = self.vectors(blank).shape[1]

    def embed(
        self, sources: Iterable[Source], batch: int = 32, workers: int = 2
    ) -> Iterator[Embedding]:
        """An embedding per image, in order; an unreadable one has `error` set.

        Sources are read in `workers` threads, a few batches ahead, as in `Classifier.predict`.
        """

        def read(source: Source) -> tuple[str, Pixels | str]:
            try:
                return name_of(source), self.classifier.load_input(source)
            except ImageError as error:
                return name_of(source), str(error)

        images = prefetch(read, sources, workers, ahead=batch)
        while chunk := list(islice(images, batch)):
            inputs = [pixels for _, pixels in chunk if not isinstance(pixels, str)]
            vectors = iter(self.vectors(inputs) if inputs else ())
            for path, pixels in chunk:
                if isinstance(pixels, str):
                    yield Embedding(path, error=pixels)
                else:
                    yield Embedding(path, next(vectors))

    @torch.inference_mode()
    def vectors(self, pixels: Sequence[Pixels] | Pixels) -> NDArray[np.float32]:
        """(N, size, size, channels) uint8 -> (N, D) float32."""
        images = torch.from_numpy(np.asarray(pixels)).to(self.backend.device.device)
        x = self.classifier.preprocessing.normalize(images)
        ((_, output),) = activations(self.classifier, [self.layer], x)
        maps = output.float()
        vectors = maps.mean((2, 3)) if maps.dim() == 4 else maps.flatten(1)
        return (F.normalize(vectors) if self.l2 else vectors).cpu().numpy()

    def facts(self) -> dict[str, str]:
        """What vectors must share to be compared: the layer, the weights, the preprocessing."""
        return {"layer": self.layer, "model": model_digest(self.classifier)}


def default_layer(network: Network) -> str:
    if isinstance(network, GoogLeNet):
        return network.trunk[-1]
    units = [name for name in network.trunk if relu_of(getattr(network, name)) is not None]
    return units[-1]
