"""What made an image's prediction: its class activation maps, the channels of each layer, the
strongest unit at each place.

A channel's part in a prediction is the sum over places of activation × gradient of the logit
(the channel attribution of Olah et al. 2018, "The Building Blocks of Interpretability",
doi 10.23915/distill.00010); for the last map it is exact: weight × mean activation.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from googlenet.insight.cam import class_activation_maps
from googlenet.insight.chunks import Chunk
from googlenet.insight.microscope.data import data_path, pairs, probabilities, write_data
from googlenet.insight.microscope.examples import BATCH, load_views
from googlenet.insight.microscope.plan import Plan
from googlenet.insight.microscope.votes import highest, lowest

PREDICTIONS = 5
CAMS = 2  # predicted classes with a map, beside the labels
CHANNELS = 6  # per layer, for and against
GRID = 7  # places per side of an activation grid, at most
COST = 0.35  # CPU-seconds per image, about


def image_chunks(plan: Plan) -> list[Chunk]:
    return [
        Chunk(data_path(plan.folder, f"images-{n:03}"), write_records, (n,), COST * len(images))
        for n, images in enumerate(plan.chunks())
    ]


def write_records(plan: Plan, number: int) -> None:
    """data/images-NNN.js: a record for each image of a chunk, null for an unreadable one."""
    images = plan.chunks()[number]
    scales = torch.from_numpy(np.load(plan.work / "scales.npz")["scales"])
    numbers, views, _ = load_views(plan, images)
    records: list[Any] = [None] * len(images)
    for begin in range(0, len(views), BATCH):
        some = numbers[begin : begin + BATCH]
        found = records_of(plan, some, np.stack(views[begin : begin + BATCH]), scales)
        for image, record in zip(some, found, strict=True):
            records[image - images.start] = record
    write_data(plan.folder, f"images-{number:03}", records)


def records_of(
    plan: Plan, images: Sequence[int], views: NDArray[np.uint8], scales: Tensor
) -> list[dict[str, Any]]:
    """Of images, by their numbers: the predictions, and what made the first of them."""
    network, names = plan.network, [layer.name for layer in plan.layers]
    inputs = plan.header.preprocessing.normalize(torch.from_numpy(views)).requires_grad_()
    last = network.trunk[-1]
    with torch.enable_grad(), network.tap(*dict.fromkeys([*names, last])) as maps:
        logits = network(inputs)
        predicted = logits.argmax(1)
        chosen = logits.gather(1, predicted[:, None]).sum()
        gradients = torch.autograd.grad(chosen, [maps[name] for name in names])
    with torch.inference_mode():
        layers = [
            layer_records(
                maps[layer.name].detach()[:, : layer.units],
                gradient[:, : layer.units],
                scales[plan.columns()[layer.name]],
            )
            for layer, gradient in zip(plan.layers, gradients, strict=True)
        ]
    records = []
    for n, row in enumerate(probabilities(plan, logits.detach().numpy())):
        top = highest(row, PREDICTIONS)
        wanted = {c for c, _ in top[:CAMS]}
        wanted |= set(plan.samples.classes_of(images[n]) if plan.labeled else ())
        record = {
            "top": pairs(top),
            "cams": cams_of(plan, maps[last][n].detach(), sorted(wanted)),
            "side": maps[last].shape[-1],
            "layers": {name: own[n] for name, own in zip(names, layers, strict=True)},
        }
        records.append(record)
    return records


@torch.inference_mode()
def cams_of(plan: Plan, features: Tensor, classes: list[int]) -> dict[int, str]:
    """Each class's map from (channels, h, w): 0 for no evidence, 255 for the strongest of it."""
    chosen = torch.tensor([classes])
    (maps,) = class_activation_maps(features[None], plan.network.classifier, chosen)
    scaled = maps.clamp(min=0) / maps.amax((1, 2), keepdim=True).clamp(min=1e-12) * 255
    shades = scaled.round().to(torch.uint8).numpy()
    return {c: packed(shade) for c, shade in zip(classes, shades, strict=True)}


def layer_records(activations: Tensor, gradient: Tensor, scales: Tensor) -> list[dict[str, Any]]:
    """Of a layer of N images: the units behind the predictions, and the activation grid."""
    parts = (activations * gradient).sum((2, 3)).numpy()
    units, strength = grid(activations, scales)
    return [
        {
            "for": pairs(highest(own, CHANNELS)),
            "against": pairs(lowest(own, CHANNELS)),
            "grid": [units[n].ravel().tolist(), packed(strength[n])],
        }
        for n, own in enumerate(parts)
    ]


def grid(activations: Tensor, scales: Tensor) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """The strongest unit at each place, each measured by the highest that it reached anywhere.

    activations: (N, units, h, w).  Returns the units and their strength, 255 for that highest,
    (N, side, side) each; places beyond GRID per side are pooled.
    """
    side = min(GRID, activations.shape[-1])
    pooled = F.adaptive_max_pool2d(activations / scales[:, None, None], side)
    strength, unit = pooled.max(1)
    strength = (strength.clamp(max=1) * 255).round()
    return unit.numpy().astype(np.uint16), strength.numpy().astype(np.uint8)


def packed(values: NDArray[np.uint8] | NDArray[np.int8]) -> str:
    """Bytes in a text file."""
    return b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
