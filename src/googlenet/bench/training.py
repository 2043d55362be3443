"""Training steps, ours and a peer's: the same images, auxiliary heads, loss and optimizer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.bench.device_crops import cropped_on_device
from googlenet.bench.harness import (
    Candidate,
    Conditions,
    NextBatch,
    compile_modes,
    dtype_name,
    peer_modes,
    synthetic_images,
)
from googlenet.bench.peers import Forward, peer_forward, reference
from googlenet.kernels.optimize import optimize
from googlenet.models.cost import network_cost
from googlenet.models.googlenet import GoogLeNet

AUX_LOSS_WEIGHT = 0.3  # of each auxiliary head (section 5)
VARIANTS = ("torchvision", "bn", "paper")


def candidates(given: Conditions) -> tuple[dict[str, Candidate], dict[str, str], str]:
    """The candidates, what is skipped and why, and the candidate that ratios are relative to."""
    found: dict[str, Candidate] = {}
    skipped: dict[str, str] = {}
    peer = reference(given.peers, skipped)
    macs = training_macs("torchvision", given.size)
    for mode in peer_modes(given):
        network = peer.build().to(given.device)
        batches = synthetic(given, mode.layout)
        step = train_step(
            network, peer_forward(network), batches, mode.dtype, mode.layout, mode.compiled
        )
        found[f"{peer.name}, {mode.name}"] = Candidate(step, mode.dtype, macs)
    last = torch.channels_last
    sources = {"": synthetic(given, last)}
    if given.data:
        sources[", cropped on the device"] = cropped_on_device(given)
    for variant in VARIANTS:
        macs = training_macs(variant, given.size)
        for dtype, (mode_name, compiled), (source, batches) in product(
            given.dtypes, compile_modes(given.compiled), sources.items()
        ):
            ours = optimize(GoogLeNet(variant, 1000).to(given.device))
            step = train_step(ours, ours.forward_heads, batches, dtype, last, compiled)
            name = f"googlenet {variant}, {mode_name}{dtype_name(dtype)}{source}"
            found[name] = Candidate(step, dtype, macs)
    return found, skipped, peer.base


def synthetic(given: Conditions, layout: torch.memory_format) -> NextBatch:
    """The same batch of random images and labels each time."""
    x = synthetic_images(given, layout)
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(1000, (given.batch,), generator=generator).to(given.device)
    return lambda: (x, labels)


def train_step(
    network: nn.Module,
    forward: Forward,
    next_batch: NextBatch,
    dtype: torch.dtype,
    layout: torch.memory_format,
    compiled: bool = False,
) -> Callable[[], None]:
    """Forward with both auxiliary heads, backward, SGD with momentum."""
    network.train().to(memory_format=layout)  # type: ignore[call-overload]
    device = next(network.parameters()).device.type
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, fused=True)

    def loss_of(x: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = forward(x)
        losses = {head: F.cross_entropy(out.float(), labels) for head, out in logits.items()}
        return losses["main"] + AUX_LOSS_WEIGHT * (losses["4a"] + losses["4d"])

    loss_fn = torch.compile(loss_of) if compiled else loss_of

    def step() -> None:
        x, labels = next_batch()
        optimizer.zero_grad()
        loss_fn(x, labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def training_macs(variant: str, size: int) -> int:
    """Multiply-adds of a training step per image: forward, and the gradients of feature maps and
    weights.  The first convolution's input is the image, which needs no gradient.
    """
    cost = network_cost(variant, size)
    forward = cost.total.macs + sum(row.cost.macs for row in cost.heads)
    return 3 * forward - cost.rows[0].cost.macs
