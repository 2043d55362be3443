"""Reading photos inside PyTorch, ours and a peer's: the same photos to logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from googlenet.bench.contest import Contestant
from googlenet.bench.peers import Missing, torchvision_network
from googlenet.bench.training import BASE, short
from googlenet.cost import network_cost
from googlenet.deploy.form import inference_form
from googlenet.model import GoogLeNet


def contestants(
    size: int, batch: int, bf16: bool, peers: Path | None, compiled: bool = False
) -> tuple[dict[str, Contestant], dict[str, str]]:
    """Who takes part, and who does not and why."""
    found: dict[str, Contestant] = {}
    skipped: dict[str, str] = {}
    dtypes = [torch.float32, *([torch.bfloat16] if bf16 else [])]
    if not bf16:
        skipped["bf16"] = "this processor computes bfloat16 by conversion"
    last = torch.channels_last
    try:
        macs = network_cost("torchvision", size).total.macs
        settings = [(BASE, torch.contiguous_format, torch.float32, False)]
        settings += [(f"torchvision, channels-last {short(d)}", last, d, False) for d in dtypes]
        if compiled:
            settings += [(f"torchvision, compiled {short(d)}", last, d, True) for d in dtypes]
        for name, layout, dtype, compile_it in settings:
            network = torchvision_network(peers).eval().to(memory_format=layout)  # type: ignore[call-overload]
            if compile_it:
                network.compile()
            found[name] = Contestant(reads(network, size, batch, layout, dtype), dtype, macs)
    except Missing as missing:
        skipped["torchvision"] = str(missing)
    for variant in ("torchvision", "bn", "paper"):
        macs = network_cost(variant, size).total.macs
        for dtype in dtypes:
            for compile_it in (False, True) if compiled else (False,):
                form = inference_form(
                    GoogLeNet(variant, 1000), precision=short(dtype), compiled=compile_it
                )
                name = f"googlenet {variant}, {'compiled ' if compile_it else ''}{short(dtype)}"
                found[name] = Contestant(reads(form, size, batch, last, None), dtype, macs)
    return found, skipped


def reads(
    network: nn.Module,
    size: int,
    batch: int,
    layout: torch.memory_format,
    autocast: torch.dtype | None,
) -> Callable[[], Tensor]:
    """The same made-up photos each time; a peer computes in bfloat16 under autocast."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 3, size, size, generator=generator).contiguous(memory_format=layout)

    @torch.inference_mode()
    def read() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast == torch.bfloat16):
            logits: Tensor = network(x)
        return logits

    return read
