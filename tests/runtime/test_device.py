"""Device and precision."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest
import torch

from googlenet.runtime.device import ComputeDevice, cores, cpu_name, native_bf16, thread_count
from googlenet.runtime.errors import UsageError


def test_precision_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match="precision must be one of auto, fp32, bf16, got 'fp16'"):
        ComputeDevice.detect("fp16")


@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_computes_in_the_precision(precision: str, kind: torch.dtype) -> None:
    with ComputeDevice("cpu", precision).autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == kind


@pytest.mark.parametrize("has", [True, False])
def test_auto_is_bf16_where_the_processor_has_it(
    has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = "fpu avx2 avx512_bf16" if has else "fpu avx2 avx512f"
    monkeypatch.setattr("googlenet.runtime.device.cpu_facts", lambda: {"flags": flags})
    assert ComputeDevice("cpu", "auto").bf16 is has


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="PyTorch is asked there")
def test_the_processor_is_what_pytorch_finds() -> None:
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    assert native_bf16() is any(getattr(torch.cpu, test, bool)() for test in tests)


@pytest.mark.parametrize("asked", [None, "3", "many", "0"])
def test_as_many_threads_as_pytorch_would_take(
    asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert thread_count() == torch.get_num_threads()
    monkeypatch.delitem(sys.modules, "torch")
    if asked is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert thread_count() == (3 if asked == "3" else cores())
    assert 1 <= cores() <= (os.cpu_count() or 1)


def test_description_says_what_a_measurement_needs() -> None:
    described = ComputeDevice("cpu", "fp32").describe()
    assert described["device"] == cpu_name() != ""
    assert described["precision"] == "fp32"
    assert described["torch"] == torch.__version__
    assert described["python"] == platform.python_version()
    assert described["threads"] == str(torch.get_num_threads())
