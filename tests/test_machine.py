"""Device and precision."""

from __future__ import annotations

import platform

import pytest
import torch

from googlenet.errors import UsageError
from googlenet.machine import Machine, cpu_name


def test_precision_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match="precision must be one of auto, fp32, bf16, got 'fp16'"):
        Machine.here("fp16")


@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_computes_in_the_precision(precision: str, kind: torch.dtype) -> None:
    with Machine("cpu", precision).autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == kind


@pytest.mark.parametrize("has", [True, False])
def test_auto_is_bf16_where_the_processor_has_it(
    has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for test in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, test, lambda: has, raising=False)
    assert Machine("cpu", "auto").bf16 is has


def test_description_says_what_a_measurement_needs() -> None:
    described = Machine("cpu", "fp32").describe()
    assert described["device"] == cpu_name() != ""
    assert described["precision"] == "fp32"
    assert described["torch"] == torch.__version__
    assert described["python"] == platform.python_version()
    assert described["threads"] == str(torch.get_num_threads())
