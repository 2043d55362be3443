"""What made an image's prediction: its class activation maps, the channels of each layer, the
strongest unit at each place.

A channel's part in a prediction is the sum over places of activation × gradient of the logit
(the channel attribution of Olah et al. 2018, "The Building Blocks of Interpretability",
doi 10.23915/distill.00010); for the last map it is exact: weight × mean activation.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from googlenet.insight.cam import class_activation_maps
from googlenet.insight.chunks import Chunk
from googlenet.insight.microscope.data import data_path, pairs, probabilities, write_data
from googlenet.insight.microscope.examples import batches, load_views
from googlenet.insight.microscope.plan import Plan
from googlenet.insight.microscope.votes import highest, lowest

PREDICTIONS = 5
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
    made = (record for part in batches(views) for record in records_of(plan, part, scales))
    for image, record in zip(numbers, made, strict=True):
        for label in set(record["cams"]) - keep_cams(plan, image, record["top"]):
            del record["cams"][label]
        records[image - images.start] = record
    write_data(plan.folder, f"images-{number:03}", records)


def keep_cams(plan: Plan, image: int, top: list[list[float]]) -> set[int]:
    """The classes whose maps are worth showing: the predicted ones and the labels."""
    return {int(c) for c, _ in top[:2]} | set(
        plan.samples.classes_of(image) if plan.labeled else ()
    )


def records_of(plan: Plan, views: NDArray[np.uint8], scales: Tensor) -> list[dict[str, Any]]:
    network, names = plan.network, [layer.name for layer in plan.layers]
    inputs = plan.header.preprocessing.normalize(torch.from_numpy(views)).requires_grad_()
    last = network.trunk[-1]
    with torch.enable_grad(), network.tap(*dict.fromkeys([*names, last])) as maps:
        logits = network(inputs)
        predicted = logits.argmax(1)
        chosen = logits.gather(1, predicted[:, None]).sum()
        gradients = torch.autograd.grad(chosen, [maps[name] for name in names])
    with torch.inference_mode():
        every = torch.arange(logits.shape[1]).expand(len(logits), -1)
        cams = class_activation_maps(maps[last], network.classifier, every)
        layers = {}
        for layer, gradient in zip(plan.layers, gradients, strict=True):
            activations = maps[layer.name].detach()[:, : layer.units]
            parts = (activations * gradient[:, : layer.units]).sum((2, 3))
            own = scales[plan.columns()[layer.name]]
            layers[layer.name] = (parts.numpy(), *grid(activations, own))
    chances = probabilities(plan, logits.detach().numpy())
    return [
        {
            "top": pairs(highest(row, PREDICTIONS)),
            "cams": cams_of(cams[n]),
            "side": cams.shape[-1],
            "layers": {
                name: layer_record(*(a[n] for a in found)) for name, found in layers.items()
            },
        }
        for n, row in enumerate(chances)
    ]


def cams_of(maps: Tensor) -> dict[int, str]:
    """(classes, h, w) -> each class's map: 0 for no evidence, 255 for the strongest of it."""
    scaled = maps.clamp(min=0) / maps.amax((1, 2), keepdim=True).clamp(min=1e-12) * 255
    return {c: packed(each.round().to(torch.uint8).numpy()) for c, each in enumerate(scaled)}


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


def layer_record(
    parts: NDArray[np.float32], units: NDArray[np.uint16], strength: NDArray[np.uint8]
) -> dict[str, Any]:
    return {
        "for": pairs(highest(parts, CHANNELS)),
        "against": pairs(lowest(parts, CHANNELS)),
        "grid": [units.ravel().tolist(), packed(strength)],
    }


def packed(values: NDArray[np.uint8] | NDArray[np.int8]) -> str:
    """Bytes in a text file."""
    return b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
