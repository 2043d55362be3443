"""Reading photos inside PyTorch and in other engines, ours and a peer's: photos to logits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from googlenet.bench.harness import Conditions, Contestant
from googlenet.bench.peers import Missing, counted_macs, reference, timm_network
from googlenet.bench.training import VARIANTS, manners, short
from googlenet.inference.engines import Engine, OnnxRuntime, OpenVINO
from googlenet.kernels.inference import inference_form
from googlenet.models.cost import network_cost
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.errors import GoogLeNetError

ENGINES: dict[str, type[OnnxRuntime | OpenVINO]] = {
    "ONNX Runtime": OnnxRuntime,
    "OpenVINO": OpenVINO,
}


def contestants(given: Conditions) -> tuple[dict[str, Contestant], dict[str, str], str]:
    """Who takes part, who does not and why, and to which of them the ratios are."""
    found: dict[str, Contestant] = {}
    skipped: dict[str, str] = {}
    last = torch.channels_last
    peer = reference(given.peers, skipped)
    macs = network_cost("torchvision", given.size).total.macs
    settings = [("eager fp32", torch.contiguous_format, torch.float32, False)]
    settings += [
        (f"{manner}{short(d)}", last, d, compiled)
        for manner, compiled in manners(given.compiled, "channels-last ")
        for d in given.dtypes
    ]
    for name, layout, dtype, compiled in settings:
        network = peer.build().eval()
        if compiled:
            network.compile()
        found[f"{peer.name}, {name}"] = Contestant(
            reads(network, given, layout, dtype), dtype, macs
        )
    add_timm(found, skipped, given)
    if given.device == "cpu":
        add_engines(found, skipped, given)
    for variant in VARIANTS:
        macs = network_cost(variant, given.size).total.macs
        for dtype in given.dtypes:
            for manner, compiled in manners(given.compiled):
                ours = GoogLeNet(variant, 1000).to(given.device)
                form = inference_form(ours, precision=short(dtype), compiled=compiled)
                name = f"googlenet {variant}, {manner}{short(dtype)}"
                found[name] = Contestant(reads(form, given, last, None), dtype, macs)
    return found, skipped, peer.base


def add_timm(found: dict[str, Contestant], skipped: dict[str, str], given: Conditions) -> None:
    """Another network, with 1.8 times the multiply-adds: to be compared by the share it reaches."""
    try:
        macs = counted_macs(timm_network(given.peers), given.size)
        for dtype in given.dtypes:
            read = reads(timm_network(given.peers), given, torch.channels_last, dtype)
            name = f"timm inception_v3, channels-last {short(dtype)}"
            found[name] = Contestant(read, dtype, macs)
    except Missing as missing:
        skipped["timm"] = str(missing)


def add_engines(found: dict[str, Contestant], skipped: dict[str, str], given: Conditions) -> None:
    """The layers of torchvision's network in other engines, from our own graph of them."""
    macs = network_cost("torchvision", given.size).total.macs
    photos = made_up(given, torch.contiguous_format).numpy()
    for name, kind in ENGINES.items():
        try:
            engine = start(kind, given.size)
        except GoogLeNetError as error:
            skipped[name] = str(error)
            continue
        read = lambda engine=engine: engine.run(photos)  # noqa: E731
        found[f"{name}, torchvision's layers, fp32"] = Contestant(read, torch.float32, macs)


def start(kind: type[OnnxRuntime | OpenVINO], size: int) -> Engine:
    """An engine with random weights.  Raises GoogLeNetError where a package is missing."""
    from googlenet.inference.engines import require

    require("onnx")
    from googlenet.export.onnx_graph import network_model

    network = GoogLeNet("torchvision", 1000).eval()
    network.drop_heads()
    return kind(network_model(network, size).SerializeToString())


def made_up(given: Conditions, layout: torch.memory_format) -> Tensor:
    """The same photos each time."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(given.batch, 3, given.size, given.size, generator=generator)
    return x.to(given.device).contiguous(memory_format=layout)


def reads(
    network: nn.Module, given: Conditions, layout: torch.memory_format, autocast: torch.dtype | None
) -> Callable[[], Tensor]:
    """A pass over a batch; a peer computes in bfloat16 under autocast."""
    x = made_up(given, layout)
    network = network.to(device=given.device)
    if autocast is not None:  # a peer: ours is in its form already
        network = network.to(memory_format=layout)  # type: ignore[call-overload]

    @torch.inference_mode()
    def read() -> Tensor:
        with torch.autocast(given.device, torch.bfloat16, enabled=autocast == torch.bfloat16):
            logits: Tensor = network(x)
        return logits

    return read
