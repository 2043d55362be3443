"""Inference in PyTorch and in other engines, ours and a peer's: image tensors to logits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from googlenet.bench.harness import (
    Candidate,
    Conditions,
    compile_modes,
    dtype_name,
    peer_modes,
    synthetic_images,
)
from googlenet.bench.peers import Missing, counted_macs, reference, timm_network
from googlenet.bench.training import VARIANTS
from googlenet.inference.backends.base import Backend, require
from googlenet.inference.backends.onnxruntime import OnnxRuntimeBackend
from googlenet.inference.backends.openvino import OpenVINOBackend
from googlenet.kernels.optimize import optimize_for_inference
from googlenet.models.cost import network_cost
from googlenet.models.googlenet import GoogLeNet
from googlenet.runtime.errors import GoogLeNetError

ENGINES: dict[str, type[OnnxRuntimeBackend | OpenVINOBackend]] = {
    "ONNX Runtime": OnnxRuntimeBackend,
    "OpenVINO": OpenVINOBackend,
}


def candidates(given: Conditions) -> tuple[dict[str, Candidate], dict[str, str], str]:
    """The candidates, what is skipped and why, and the candidate that ratios are relative to."""
    found: dict[str, Candidate] = {}
    skipped: dict[str, str] = {}
    peer = reference(given.peers, skipped)
    macs = network_cost("torchvision", given.size).total.macs
    for mode in peer_modes(given):
        network = peer.build().eval()
        if mode.compiled:
            network.compile()
        step = forward_step(network, given, mode.layout, mode.dtype)
        found[f"{peer.name}, {mode.name}"] = Candidate(step, mode.dtype, macs)
    add_timm(found, skipped, given)
    if given.device == "cpu":
        add_engines(found, skipped, given)
    for variant in VARIANTS:
        macs = network_cost(variant, given.size).total.macs
        for dtype in given.dtypes:
            for mode_name, compiled in compile_modes(given.compiled):
                ours = GoogLeNet(variant, 1000).to(given.device)
                form = optimize_for_inference(ours, precision=dtype_name(dtype), compiled=compiled)
                step = forward_step(form, given, torch.channels_last, None)
                name = f"googlenet {variant}, {mode_name}{dtype_name(dtype)}"
                found[name] = Candidate(step, dtype, macs)
    return found, skipped, peer.base


def add_timm(found: dict[str, Candidate], skipped: dict[str, str], given: Conditions) -> None:
    """timm's Inception v3, of 1.8 times the multiply-adds: compare it by its % of roofline."""
    try:
        macs = counted_macs(timm_network(given.peers), given.size)
        for dtype in given.dtypes:
            step = forward_step(timm_network(given.peers), given, torch.channels_last, dtype)
            name = f"timm inception_v3, channels-last {dtype_name(dtype)}"
            found[name] = Candidate(step, dtype, macs)
    except Missing as missing:
        skipped["timm"] = str(missing)


def add_engines(found: dict[str, Candidate], skipped: dict[str, str], given: Conditions) -> None:
    """The layers of torchvision's network in other engines, exported by us."""
    macs = network_cost("torchvision", given.size).total.macs
    images = synthetic_images(given, torch.contiguous_format).numpy()
    for name, kind in ENGINES.items():
        try:
            engine = load_engine(kind, given.size)
        except GoogLeNetError as error:
            skipped[name] = str(error)
            continue
        step = lambda engine=engine: engine.run(images)  # noqa: E731
        found[f"{name}, torchvision's layers, fp32"] = Candidate(step, torch.float32, macs)


def load_engine(kind: type[OnnxRuntimeBackend | OpenVINOBackend], size: int) -> Backend:
    """An engine with random weights.  Raises GoogLeNetError where a package is missing."""
    require("onnx")
    from googlenet.export.onnx_graph import network_model  # imports onnx

    network = GoogLeNet("torchvision", 1000).eval()
    network.drop_heads()
    return kind(network_model(network, size).SerializeToString())


def forward_step(
    network: nn.Module, given: Conditions, layout: torch.memory_format, autocast: torch.dtype | None
) -> Callable[[], Tensor]:
    """A forward pass of one batch; `autocast`: a peer's precision, None for ours, which has it."""
    x = synthetic_images(given, layout)
    network = network.to(device=given.device)
    if autocast is not None:
        network = network.to(memory_format=layout)  # type: ignore[call-overload]

    @torch.inference_mode()
    def step() -> Tensor:
        with torch.autocast(given.device, torch.bfloat16, enabled=autocast == torch.bfloat16):
            logits: Tensor = network(x)
        return logits

    return step
