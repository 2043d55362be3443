"""The activations of layers, one stage of the network at a time: no more than one map is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from googlenet.inference.backends.torch import TorchBackend
from googlenet.inference.classifier import Classifier
from googlenet.kernels.optimize import InferenceNetwork
from googlenet.models.taps import stage_of, tap


@torch.inference_mode()
def activations(
    classifier: Classifier, layers: Sequence[str], x: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """Name and output of each layer, a tap, in the network's order; x: normalized images (N, …).

    Whole stages come from the network's form for inference; nothing behind the last is computed.
    """
    backend = classifier.backend
    assert isinstance(backend, TorchBackend)
    network = backend.network
    stages = network.trunk
    of_stage = {layer: stage_of(layer) for layer in layers}
    if not set(of_stage.values()) <= set(stages):  # a head, the classifier
        with backend.device.autocast(), network.tap(*layers) as found:
            network.forward_heads(x)
        yield from found.items()
        return
    fast = backend.optimized() if set(layers) <= set(stages) else network
    running = fast
    if isinstance(fast, InferenceNetwork):
        running, x = fast.network, fast.cast(x)
    for name in stages[: 1 + max(map(stages.index, of_stage.values()))]:
        inside = [layer for layer, stage in of_stage.items() if stage == name]
        precision = backend.device.autocast() if running is network else nullcontext()
        with precision, tap(running, *inside) as found:
            x = getattr(running, name)(x)
        yield from found.items()
