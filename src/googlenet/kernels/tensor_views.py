"""Maps as the kernels see them: channels-last, in float32 or bfloat16, on the CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from googlenet.kernels.library import Maps, library

DTYPES = (torch.float32, torch.bfloat16)


def usable(x: Tensor) -> bool:
    """Whether the kernels can read a map; where they cannot, PyTorch's operators do the work.

    Under `torch.compile`, `torch.export` and tracing there are no numbers to read.
    """
    return (
        not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        and type(x) in (Tensor, nn.Parameter)  # a subclass may have no numbers in memory
        and x.device.type == "cpu"
        and x.dtype in DTYPES
        and x.dim() == 4
        and x.numel() > 0
        and x.is_contiguous(memory_format=torch.channels_last)
        and library() is not None
    )


def has_hooks(module: nn.Module) -> bool:
    """Whether a hook watches a module or one inside it, whose own layers must then run."""
    everywhere = nn.modules.module
    return bool(everywhere._global_forward_hooks or everywhere._global_forward_pre_hooks) or any(
        m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks
        for m in module.modules()
    )


def new_map(like: Tensor, channels: int) -> Tensor:
    """An empty map of as many pixels: (N, C, H, W) -> (N, channels, H, W), channels-last."""
    n, _, h, w = like.shape
    return torch.empty(
        (n, channels, h, w),
        dtype=like.dtype,
        device=like.device,
        memory_format=torch.channels_last,
    )


def channels_last(x: Tensor) -> Tensor:
    """The same values with the channels of a pixel side by side; copied only if they are not."""
    return x if pixel_stride(x) else x.contiguous(memory_format=torch.channels_last)


def pixel_stride(x: Tensor) -> int:
    """Values from one pixel of a map to the next, 0 where its pixels do not lie so in memory."""
    n, c, h, w = x.shape
    sn, sc, sh, sw = x.stride()
    if c > 1 and sc != 1:
        return 0
    stride = sw if w > 1 else sh if h > 1 else sn if n > 1 else c
    fits = stride >= c and (h == 1 or sh == w * stride) and (n == 1 or sn == h * w * stride)
    return stride if fits else 0


def maps(*kinds: Sequence[Tensor]) -> Maps:
    """The kernels' view of up to three kinds of maps, each up to four maps side by side.

    Maps of the same place have the same shape.
    """
    first = kinds[0]
    n, _, h, w = first[0].shape
    found = Maps(rows=n * h * w, count=len(first))
    for at, x in enumerate(first):
        found.channels[at] = x.shape[1]
    for kind, tensors in enumerate(kinds):
        for at, x in enumerate(tensors):
            found.data[kind][at] = x.data_ptr()
            found.stride[kind][at] = pixel_stride(x)
    return found


def call(name: str, *arguments: object, is_bf16: bool) -> None:
    """Run a kernel on as many threads as PyTorch uses."""
    kernels = library()
    assert kernels is not None
    values = [as_argument(value) for value in arguments]
    getattr(kernels, f"googlenet_{name}")(*values, int(is_bf16), torch.get_num_threads())


def as_argument(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.data_ptr()
    return ctypes.byref(value) if isinstance(value, ctypes.Structure) else value


def is_bf16(x: Tensor) -> bool:
    return x.dtype == torch.bfloat16


def double_backward(
    plain: Callable[..., Tensor], inputs: Iterable[Tensor | None], grad: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradients of `plain` at its inputs, in differentiable operators."""
    inputs = list(inputs)
    wanted = [x for x in inputs if x is not None and x.requires_grad]
    with torch.enable_grad():
        found = iter(torch.autograd.grad(plain(*inputs), wanted, grad, create_graph=True))
    return tuple(next(found) if x is not None and x.requires_grad else None for x in inputs)
