"""Where the arithmetic happens and in what precision."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

import torch

from googlenet.errors import UsageError

PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class Machine:
    """A device and a precision: "auto" is bf16 where the machine computes in it, else fp32."""

    device: str = "cpu"
    precision: str = "fp32"

    @classmethod
    def here(cls, precision: str = "auto") -> Machine:
        """The machine that we are on.  Raises UsageError for a precision that does not exist."""
        if precision not in PRECISIONS:
            raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        return cls("cuda" if torch.cuda.is_available() else "cpu", precision)

    @cached_property
    def bf16(self) -> bool:
        if self.precision != "auto":
            return self.precision == "bf16"
        if self.device == "cuda":
            return bool(torch.cuda.is_bf16_supported())
        # Without these instructions oneDNN computes bf16 by conversion, slower than fp32.
        # PyTorch tells of them only through private functions, which may go.
        tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, test, bool)() for test in tests)

    def autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.bf16)

    def describe(self) -> dict[str, str]:
        """What to write beside a measurement."""
        return {
            "device": torch.cuda.get_device_name() if self.device == "cuda" else cpu_name(),
            "precision": "bf16" if self.bf16 else "fp32",
            "threads": str(torch.get_num_threads()),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
        }


def random_state_kept() -> AbstractContextManager[object]:
    """Within it PyTorch's random numbers may be drawn and seeded; then they are as before.

    Of the GPUs it is that of this process alone: others would each have to be set up for it.
    """
    mine = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    return torch.random.fork_rng(mine)


def cpu_name() -> str:
    """The processor's own name where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
