"""A step of training, ours and a peer's: the same photos, heads, loss and optimizer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.bench.harness import Conditions, Contestant
from googlenet.bench.peers import Forward, peer_forward, reference
from googlenet.models.cost import network_cost
from googlenet.models.googlenet import GoogLeNet

HEADS = 0.3  # what each auxiliary head's loss counts (section 5)
VARIANTS = ("torchvision", "bn", "paper")

Photos = Callable[[], tuple[Tensor, Tensor]]  # the next batch, normalised, and its labels


def contestants(given: Conditions) -> tuple[dict[str, Contestant], dict[str, str], str]:
    """Who takes part, who does not and why, and to which of them the ratios are."""
    found: dict[str, Contestant] = {}
    skipped: dict[str, str] = {}
    peer = reference(given.peers, skipped)
    last = torch.channels_last
    settings = [("eager fp32", torch.contiguous_format, torch.float32, False)]
    settings += [
        (f"{manner}{short(d)}", last, d, compiled)
        for manner, compiled in manners(given.compiled, "channels-last ")
        for d in given.dtypes
    ]
    macs = training_macs("torchvision", given.size)
    for name, layout, dtype, compiled in settings:
        network = peer.build().to(given.device)
        photos = made_up(given, layout)
        step = steps(network, peer_forward(network), photos, dtype, layout, compiled)
        found[f"{peer.name}, {name}"] = Contestant(step, dtype, macs)
    sources = {"": made_up(given, last)}
    if given.data:
        from googlenet.bench.device_crops import cropped_on_device

        sources[", cropped on the device"] = cropped_on_device(given)
    for variant in VARIANTS:
        macs = training_macs(variant, given.size)
        for dtype, (manner, compiled), (source, photos) in product(
            given.dtypes, manners(given.compiled), sources.items()
        ):
            ours = GoogLeNet(variant, 1000).to(given.device)
            step = steps(ours, ours.forward_heads, photos, dtype, last, compiled)
            name = f"googlenet {variant}, {manner}{short(dtype)}{source}"
            found[name] = Contestant(step, dtype, macs)
    return found, skipped, peer.base


def manners(compiled: bool, eager: str = "") -> list[tuple[str, bool]]:
    return [(eager, False), *([("compiled ", True)] if compiled else [])]


def short(dtype: torch.dtype) -> str:
    return "bf16" if dtype == torch.bfloat16 else "fp32"


def made_up(given: Conditions, layout: torch.memory_format) -> Photos:
    """The same photos each time."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(given.batch, 3, given.size, given.size, generator=generator)
    x = x.to(given.device).contiguous(memory_format=layout)
    labels = torch.randint(1000, (given.batch,), generator=generator).to(given.device)
    return lambda: (x, labels)


def steps(
    network: nn.Module,
    forward: Forward,
    photos: Photos,
    dtype: torch.dtype,
    layout: torch.memory_format,
    compiled: bool = False,
) -> Callable[[], None]:
    """A step: forward with both heads, backward, SGD with momentum."""
    network.train().to(memory_format=layout)  # type: ignore[call-overload]
    device = next(network.parameters()).device.type
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, fused=True)

    def loss_of(x: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = forward(x)
        losses = {head: F.cross_entropy(out.float(), labels) for head, out in logits.items()}
        return losses["main"] + HEADS * (losses["4a"] + losses["4d"])

    computed = torch.compile(loss_of) if compiled else loss_of

    def step() -> None:
        x, labels = photos()
        optimizer.zero_grad()
        computed(x, labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def training_macs(variant: str, size: int) -> int:
    """Multiply-adds of a step for a photo: forward, and for the gradients of maps and weights.

    The first convolution's map is the photo, which needs no gradient.
    """
    cost = network_cost(variant, size)
    forward = cost.total.macs + sum(row.cost.macs for row in cost.heads)
    return 3 * forward - cost.rows[0].cost.macs
