"""The most memory that this process has held."""

from __future__ import annotations

from pathlib import Path


def peak_memory() -> float:
    """In MiB, since the program began or `forget_peak`.

    Not `getrusage`: its figure outlives `exec`, so that a child has at least its parent's.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def forget_peak() -> float:
    """Have the peak begin again at what is held now; returns that, in MiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()
