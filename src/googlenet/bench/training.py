"""A step of training, ours and a peer's: the same photos, heads, loss and optimizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.bench.contest import Contestant
from googlenet.bench.peers import Missing, logits_of, torchvision_network
from googlenet.cost import network_cost
from googlenet.model import GoogLeNet

BASE = "torchvision, eager fp32"
HEADS = 0.3  # what each auxiliary head's loss counts (section 5)
Forward = Callable[[Tensor], dict[str, Tensor]]


def contestants(
    size: int, batch: int, bf16: bool, peers: Path | None
) -> tuple[dict[str, Contestant], dict[str, str]]:
    """Who takes part, and who does not and why."""
    found: dict[str, Contestant] = {}
    skipped: dict[str, str] = {}
    dtypes = [torch.float32, *([torch.bfloat16] if bf16 else [])]
    if not bf16:
        skipped["bf16"] = "this processor computes bfloat16 by conversion"
    try:
        settings = [(BASE, torch.contiguous_format, torch.float32)]
        settings += [
            (f"torchvision, channels-last {short(d)}", torch.channels_last, d) for d in dtypes
        ]
        for name, layout, dtype in settings:
            network = torchvision_network(peers)
            macs = training_macs("torchvision", size)
            step = steps(network, peer_forward(network), size, batch, layout, dtype)
            found[name] = Contestant(step, dtype, macs)
    except Missing as missing:
        skipped["torchvision"] = str(missing)
    for variant in ("torchvision", "bn", "paper"):
        for dtype in dtypes:
            ours = GoogLeNet(variant, 1000)
            step = steps(ours, ours.forward_heads, size, batch, torch.channels_last, dtype)
            macs = training_macs(variant, size)
            found[f"googlenet {variant}, {short(dtype)}"] = Contestant(step, dtype, macs)
    return found, skipped


def short(dtype: torch.dtype) -> str:
    return "bf16" if dtype == torch.bfloat16 else "fp32"


def peer_forward(network: nn.Module) -> Forward:
    return lambda x: logits_of(network(x))


def steps(
    network: nn.Module,
    forward: Forward,
    size: int,
    batch: int,
    layout: torch.memory_format,
    dtype: torch.dtype,
) -> Callable[[], None]:
    """A step on the same made-up photos each time: forward with both heads, backward, SGD."""
    generator = torch.Generator().manual_seed(0)
    network.train().to(memory_format=layout)  # type: ignore[call-overload]
    x = torch.randn(batch, 3, size, size, generator=generator).contiguous(memory_format=layout)
    labels = torch.randint(1000, (batch,), generator=generator)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits = forward(x)
        losses = {head: F.cross_entropy(out.float(), labels) for head, out in logits.items()}
        loss = losses["main"] + HEADS * (losses["4a"] + losses["4d"])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def training_macs(variant: str, size: int) -> int:
    """Multiply-adds of a step for a photo: forward, and for the gradients of maps and weights.

    The first convolution's map is the photo, which needs no gradient.
    """
    cost = network_cost(variant, size)
    forward = cost.total.macs + sum(row.cost.macs for row in cost.heads)
    return 3 * forward - cost.rows[0].cost.macs
