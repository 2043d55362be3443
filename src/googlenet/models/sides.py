"""Sides of maps: what convolutions, pools, and heads make of an image of any size."""

from __future__ import annotations

from googlenet.models.table import Conv, MaxPool, Stage, Variant
from googlenet.runtime.errors import UsageError


def conv_output(side: int, kernel: int, stride: int, padding: str) -> int:
    """Side of a convolution's output: k//2 pixels of padding, or TensorFlow's SAME."""
    if padding == "same":
        return -(-side // stride)
    return (side + 2 * (kernel // 2) - kernel) // stride + 1


def pool_output(side: int, kernel: int, stride: int, padding: str) -> int:
    """Side of a max pool's output: ceil mode without padding, or TensorFlow's SAME.

    Ceil mode gives 112 → 56 → 28 → 14 → 7; floor would give 55, 27, 13, 6.
    """
    if padding == "same":
        return -(-side // stride)
    return -(-(side - kernel) // stride) + 1


def stage_output(stage: Stage, side: int, padding: str) -> int:
    """Side of the map that a stage makes of a map of this side."""
    match stage:
        case Conv():
            return conv_output(side, stage.kernel, stage.stride, padding)
        case MaxPool():
            return pool_output(side, stage.kernel, stage.stride, padding)
        case _:
            return side


def final_side(network: Variant, size: int) -> int:
    """Side of the map under the final average pool for an image of `size` pixels.

    Raises UsageError where the image is too small to leave a pixel of it.
    """
    side = size
    for stage in network.trunk():
        side = stage_output(stage, side, network.padding)
        if side < 1:
            raise UsageError(
                f"size must leave at least one pixel after {stage.name} "
                f"of variant {network.name}, got {size}"
            )
    return side


def head_windows(side: int) -> tuple[int, tuple[int, ...]]:
    """Side and offsets of the four windows along one axis with which a head pools to 4×4.

    On a 14×14 map these are the paper's 5×5 windows with stride 3; on others the windows keep
    that fraction of the map, so that a head's weights fit every input size.
    """
    window = max(1, round(5 * side / 14))
    return window, tuple(i * (side - window) // 3 for i in range(4))
