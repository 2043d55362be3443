"""Images that excite units: gradient ascent through a network, and DeepDream."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.images.preprocess import Preprocessing
from googlenet.inference.classifier import Classifier
from googlenet.insight.layers import find_layer
from googlenet.insight.objectives import Objective, channel, energy, neuron, one_each
from googlenet.insight.parameterizations import PARAMETERIZATIONS
from googlenet.insight.transforms import transform
from googlenet.kernels.optimize import optimize, restore
from googlenet.models.googlenet import BRANCHES, Inception
from googlenet.models.registry import Network
from googlenet.models.taps import stage_of, tap
from googlenet.runtime.errors import UsageError
from googlenet.runtime.memory import out_of_memory

UNITS_PER_BATCH = 4  # fixed: another batch size rounds differently, and small steps amplify it
MIN_SIZE = 16

Image = NDArray[np.uint8]  # (H, W, 3), or (H, W) of a grayscale model


@dataclass(frozen=True)
class RenderSettings:
    """How images are made.

    size: pixels a side.  sign: 1 for what excites a unit, -1 for its opposite.  of: "channel" for
    the mean of a unit's map, "neuron" for its center.
    """

    size: int = 128
    steps: int = 64
    seed: int = 0
    sign: int = 1
    of: str = "channel"
    parameterization: str = "fourier"

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("parameterization", self.parameterization, tuple(PARAMETERIZATIONS)),
            ("of", self.of, ("channel", "neuron")),
        ):
            if value not in allowed:
                raise UsageError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
        if self.size < MIN_SIZE:
            raise UsageError(f"size must be {MIN_SIZE} or more, got {self.size}")
        check_seed(self.seed)


def check_seed(seed: int) -> None:
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed must be from 0 to 2^63 − 1, got {seed}")


class Rendered(NamedTuple):
    """A unit, the image made for it, and the unit's activation there, before its ReLU."""

    unit: int
    image: Image
    activation: float


def visualize(
    classifier: Classifier, layer: str, units: Sequence[int], settings: RenderSettings
) -> Iterator[Rendered]:
    """An image per unit of a layer.

    An image depends on the model, the layer, the unit and the settings alone, not on the other
    units, provided that PyTorch has one thread.
    Raises UsageError for a layer or a unit that the network does not have.
    """
    network = classifier.network
    layer = find_layer(network, layer)
    make = {"channel": channel, "neuron": neuron}[settings.of]
    objectives = [settings.sign * make(network, layer, unit) for unit in units]
    seeds = [seed_of(settings.seed, layer, unit) for unit in units]
    made = maximize(network, classifier.preprocessing, objectives, seeds, settings)
    for unit, (image, score) in zip(units, made, strict=True):
        yield Rendered(unit, image, settings.sign * score)


def seed_of(seed: int, layer: str, unit: int) -> int:
    """A generator's seed for this unit alone."""
    text = f"{seed} {layer} {unit}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def maximize(
    network: Network,
    p: Preprocessing,
    objectives: Sequence[Objective],
    seeds: Sequence[int],
    settings: RenderSettings,
) -> Iterator[tuple[Image, float]]:
    """An image per objective that makes it large, and what the objective is there at the end.

    The image depends on its own objective and seed, not on those beside it.
    Raises UsageError for a size that the network cannot take.
    """
    for objective in objectives[:1]:
        with frozen(network):
            check_shape(network, objective, p, (settings.size, settings.size))
    for first in range(0, len(objectives), UNITS_PER_BATCH):
        some = [*zip(objectives, seeds, strict=True)][first : first + UNITS_PER_BATCH]
        filled = some + some[-1:] * (UNITS_PER_BATCH - len(some))
        batch = one_each([objective for objective, _ in filled])
        found = maximize_batch(network, p, batch, [seed for _, seed in filled], settings)
        yield from found[: len(some)]


def maximize_batch(
    network: Network,
    p: Preprocessing,
    objective: Objective,
    seeds: Sequence[int],
    settings: RenderSettings,
) -> list[tuple[Image, float]]:
    """`maximize` for images that are made together."""
    drawn = [torch.Generator().manual_seed(seed) for seed in seeds]
    parameters = PARAMETERIZATIONS[settings.parameterization](drawn, settings.size, p.channels)
    optimizer = torch.optim.Adam(parameters.parameters, parameters.learning_rate)
    moves = torch.Generator().manual_seed(settings.seed)
    with frozen(network):
        for step in range(settings.steps):
            images = transform(parameters.images(), moves, 1 - step / settings.steps)
            scores = evaluate(network, objective, to_inputs(images, p))
            optimizer.zero_grad()
            (-scores.sum()).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            images = parameters.images()
            scores = evaluate(network, objective, to_inputs(images, p))
    return [*zip(map(to_pixels, images), scores.tolist(), strict=True)]


def evaluate(network: Network, objective: Objective, inputs: Tensor) -> Tensor:
    """The objective of each image; the network runs no further than it needs."""
    missing = {stage_of(name) for name in objective.taps}
    with tap(network, *objective.taps) as activations:
        if not missing <= set(network.trunk):
            network.forward_heads(inputs)
            return objective.score(activations)
        x = inputs
        for name in network.trunk:
            missing.discard(name)
            if not missing:
                run_last(getattr(network, name), x, name, objective.taps)
                break
            x = getattr(network, name)(x)
        return objective.score(activations)


def check_shape(
    network: Network, objective: Objective, p: Preprocessing, shape: Sequence[int]
) -> None:
    """Raises UsageError for (height, width) that leave a layer nothing, or that fit no head."""
    try:
        with torch.no_grad():
            evaluate(network, objective, torch.zeros(1, p.channels, *shape))
    except RuntimeError as error:
        if out_of_memory(error) is not None:
            raise
        raise UsageError(
            f"size {shape[1]}×{shape[0]} does not fit {', '.join(sorted(objective.taps))} of the "
            f"network: take another, such as the model's own, {p.size}"
        ) from error


def run_last(module: nn.Module, x: Tensor, name: str, taps: Collection[str]) -> None:
    """Run a stage; of an Inception module only the branches that have something to tap."""
    inside = {t.partition(":")[0].removeprefix(f"{name}.") for t in taps if stage_of(t) == name}
    if not isinstance(module, Inception) or not inside <= set(ENDS):
        module(x)
        return
    for branch, layers in ENDS.items():
        if branch in inside:
            out = x
            for layer in layers:
                out = module[layer](out)


# Of Figure 2(a) the pool itself is the last branch.
ENDS = BRANCHES | {"pool": ("pool",)}


@contextmanager
def frozen(network: Network) -> Iterator[None]:
    """Evaluation mode, fast layers, and no gradients of weights, as long as the context lasts."""
    training = network.training
    wanted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.eval()
    for parameter in wanted:
        parameter.requires_grad_(False)
    optimize(network)
    try:
        yield
    finally:
        restore(network)
        network.train(training)
        for parameter in wanted:
            parameter.requires_grad_(True)


def to_inputs(images: Tensor, p: Preprocessing) -> Tensor:
    """(N, C, H, W) in [0, 1], RGB or gray -> what the network takes, channels-last."""
    ordered = images.flip(1) if p.channel_order == "BGR" else images
    mean = torch.tensor(p.mean).view(-1, 1, 1)
    scale = torch.tensor(p.scale).view(-1, 1, 1)
    inputs: Tensor = (255 * ordered - mean) * scale
    return inputs.contiguous(memory_format=torch.channels_last)


def to_pixels(image: Tensor) -> Image:
    """(C, H, W) in [0, 1] -> (H, W, 3) uint8, or (H, W) of one channel."""
    pixels = (255 * image.detach()).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


@dataclass(frozen=True)
class DreamSettings:
    """google/deepdream's: the image at several sizes, from small to its own, ten steps each."""

    layer: str = "inception_4c"
    octaves: int = 4
    octave_scale: float = 1.4
    steps: int = 10
    step_size: float = 1.5  # of 255, relative to the mean size of the gradient
    jitter: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)


def dream(classifier: Classifier, image: NDArray[np.uint8], settings: DreamSettings) -> Image:
    """The image with whatever the layer sees in it, made stronger.

    image: (H, W, 3) RGB.  Mordvintsev et al. 2015, "Inceptionism"; google/deepdream.
    Raises UsageError for a layer that the network does not have and for an image too small.
    """
    network, p = classifier.network, classifier.preprocessing
    if min(image.shape[:2]) < MIN_SIZE:
        height, width = image.shape[:2]
        raise UsageError(f"image must be {MIN_SIZE} pixels or more a side, got {width}×{height}")
    objective = energy(find_layer(network, settings.layer))
    base = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    if p.channels == 1:
        base = (base * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    moves = torch.Generator().manual_seed(settings.seed)
    detail = torch.zeros_like(base)
    with frozen(network):
        for octave in reversed(range(settings.octaves)):
            factor = settings.octave_scale**-octave
            shape = [max(MIN_SIZE, round(side * factor)) for side in base.shape[2:]]
            check_shape(network, objective, p, shape)
            start = resized(base, shape)
            current = start + resized(detail, shape)
            for _ in range(settings.steps):
                current = ascend(network, objective, current, p, settings, moves)
            detail = current - start
    return to_pixels((resized(base, list(base.shape[2:])) + detail)[0].clamp(0, 1))


def ascend(
    network: Network,
    objective: Objective,
    images: Tensor,
    p: Preprocessing,
    settings: DreamSettings,
    moves: torch.Generator,
) -> Tensor:
    """One step up the gradient, of the image rolled by a random number of pixels."""
    reach = (-settings.jitter, settings.jitter + 1)
    dy, dx = torch.randint(*reach, (2,), generator=moves).tolist()
    rolled = images.roll((dy, dx), (2, 3)).requires_grad_()
    score = evaluate(network, objective, to_inputs(rolled, p)).sum()
    (gradient,) = torch.autograd.grad(score, [rolled])
    size = gradient.abs().mean().clamp(min=1e-30)
    moved = rolled.detach() + settings.step_size / 255 * gradient / size
    return moved.clamp(0, 1).roll((-dy, -dx), (2, 3))


def resized(images: Tensor, shape: list[int]) -> Tensor:
    if list(images.shape[2:]) == shape:
        return images
    return F.interpolate(images, shape, mode="bilinear", antialias=True, align_corners=False)
