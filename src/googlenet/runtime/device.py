"""Where the arithmetic happens, in what precision and in how many threads.

PyTorch is imported where it computes: other engines ask here too, and do without it.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property

from googlenet.runtime.errors import UsageError

PRECISIONS = ("auto", "fp32", "bf16")
# Without one of these oneDNN computes bf16 by conversion, slower than fp32: what Linux calls them.
BF16_INSTRUCTIONS = ("avx512_bf16", "amx_tile")


@dataclass(frozen=True)
class ComputeDevice:
    """A device and a precision: "auto" is bf16 where the machine computes in it, else fp32."""

    device: str = "cpu"
    precision: str = "fp32"

    @classmethod
    def detect(cls, precision: str = "auto") -> ComputeDevice:
        """The machine that we are on.  Raises UsageError for a precision that does not exist."""
        if precision not in PRECISIONS:
            raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        import torch

        return cls("cuda" if torch.cuda.is_available() else "cpu", precision)

    @cached_property
    def bf16(self) -> bool:
        if self.precision != "auto":
            return self.precision == "bf16"
        if self.device == "cuda":
            import torch

            return bool(torch.cuda.is_bf16_supported())
        return native_bf16()

    def autocast(self) -> AbstractContextManager[object]:
        import torch

        return torch.autocast(self.device, torch.bfloat16, enabled=self.bf16)

    def describe(self) -> dict[str, str]:
        """What to write beside a measurement."""
        import torch

        return {
            "device": torch.cuda.get_device_name() if self.device == "cuda" else cpu_name(),
            "precision": "bf16" if self.bf16 else "fp32",
            "threads": str(torch.get_num_threads()),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
        }


def fork_rng() -> AbstractContextManager[object]:
    """Within it PyTorch's random numbers may be drawn and seeded; then they are as before.

    Of the GPUs it is that of this process alone: others would each have to be set up for it.
    """
    import torch

    mine = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    return torch.random.fork_rng(mine)


def thread_count() -> int:
    """Threads that compute: PyTorch's number; before it is loaded, what it would take.

    That is OMP_NUM_THREADS, or one for each core that this process may use.
    """
    if "torch" in sys.modules:
        import torch

        return torch.get_num_threads()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isascii() and asked.isdigit() and int(asked) else cores()


def cores() -> int:
    """Cores that this process may use, a core of two hardware threads counted once."""
    import psutil

    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return max(1, min(len(allowed), psutil.cpu_count(logical=False) or len(allowed)))


def native_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16."""
    if os.path.exists("/proc/cpuinfo"):  # noqa: PTH110
        return not set(BF16_INSTRUCTIONS).isdisjoint(cpu_facts().get("flags", "").split())
    import torch

    # Private functions, which may go.
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, test, bool)() for test in tests)


def cpu_name() -> str:
    """The CPU's model name, where the system provides it."""
    return cpu_facts().get("model name") or platform.processor() or platform.machine()


def cpu_facts() -> dict[str, str]:
    """What Linux's /proc/cpuinfo says of the first CPU; empty elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            first = file.read().split("\n\n", 1)[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes in one thread as long as the context lasts: the same bits everywhere."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
