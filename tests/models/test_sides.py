"""Sides of maps, against PyTorch's own operators."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from googlenet.models import sides, table
from googlenet.runtime.errors import UsageError

# ../shared/paper.md, "Other input sizes": the map under the final average pool
FINAL_SIDES = {96: 3, 128: 4, 160: 5, 192: 6, 224: 7, 256: 8, 288: 9, 320: 10}

side_lengths = st.integers(3, 400)


def works(network: table.Variant, size: int) -> bool:
    try:
        return sides.final_side(network, size) > 0
    except UsageError:
        return False


@pytest.mark.parametrize("size", FINAL_SIDES)
@pytest.mark.parametrize("name", table.VARIANTS)
def test_final_map(name: str, size: int) -> None:
    assert sides.final_side(table.variant(name), size) == FINAL_SIDES[size]


@pytest.mark.parametrize("name", table.VARIANTS)
def test_smallest_image(name: str) -> None:
    """The smallest that leaves a pixel everywhere works; the one below names the stage."""
    network = table.variant(name)
    smallest = next(size for size in range(1, 100) if works(network, size))
    assert sides.final_side(network, smallest) == 1
    if smallest > 1:
        message = rf"size must leave at least one pixel after \w+ .*{name}, got {smallest - 1}"
        with pytest.raises(UsageError, match=message):
            sides.final_side(network, smallest - 1)


@given(side=side_lengths, kernel=st.sampled_from([1, 3, 5, 7]), stride=st.integers(1, 3))
def test_symmetric_convolution_side(side: int, kernel: int, stride: int) -> None:
    photo = torch.empty(1, 1, side, side, device="meta")
    weight = torch.empty(1, 1, kernel, kernel, device="meta")
    output = F.conv2d(photo, weight, stride=stride, padding=kernel // 2)
    assert sides.conv_output(side, kernel, stride, "symmetric") == output.shape[3]


@given(side=st.integers(1, 400), kernel=st.integers(2, 3))
def test_ceil_mode_pool_side(side: int, kernel: int) -> None:
    photo = torch.empty(1, 1, side, side, device="meta")
    if side == 1 and kernel == 3:
        assert sides.pool_output(side, kernel, 2, "symmetric") < 1
        return
    output = F.max_pool2d(photo, kernel, 2, ceil_mode=True)
    assert sides.pool_output(side, kernel, 2, "symmetric") == output.shape[3]


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_pools_halve_as_the_paper_says(padding: str) -> None:
    side, seen = 112, []
    for _ in range(4):
        side = sides.pool_output(side, 3, 2, padding)
        seen.append(side)
    assert seen == [56, 28, 14, 7]


def test_head_windows_at_224_pixels_are_the_papers() -> None:
    assert sides.head_windows(14) == (5, (0, 3, 6, 9))


@given(side=st.integers(1, 200))
def test_head_windows_span_the_map(side: int) -> None:
    window, offsets = sides.head_windows(side)
    assert window == max(1, round(5 * side / 14))
    assert len(offsets) == 4
    assert offsets[0] == 0
    assert offsets[-1] + window == side
    assert list(offsets) == sorted(offsets)
