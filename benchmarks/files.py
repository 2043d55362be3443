"""What a model file and a checkpoint cost to write, to read and to check, at full size.

    python benchmarks/files.py [FOLDER]

A line a file: megabytes, then the least of seven times for its digest alone, for writing it
(digest and fsync included) and for reading it (digest checked).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import torch
from torch import Tensor

from googlenet.inference.model_file import digest, read_tensors, write_tensors
from googlenet.models.registry import build_network


def least(work: Callable[[], object]) -> str:
    """Seconds on the clock and of the processor."""
    pairs = []
    for _ in range(7):
        clock, processor = perf_counter(), process_time()
        work()
        pairs.append((perf_counter() - clock, process_time() - processor))
    return f"{min(c for c, _ in pairs):.3f} s (processor {min(p for _, p in pairs):.3f} s)"


def tensors() -> dict[str, dict[str, Tensor]]:
    """A model, and the checkpoint of the run that it comes from."""
    network = build_network("bn", 1000, size=224, generator=torch.Generator().manual_seed(0))
    state = network.state_dict()
    model = {name: tensor for name, tensor in state.items() if not name.startswith("aux_")}
    parameters = {name: torch.randn_like(p) for name, p in network.named_parameters()}
    checkpoint = {f"network/{name}": tensor for name, tensor in state.items()}
    for part in ("average", "optimizer/momentum_buffer"):
        checkpoint |= {f"{part}/{name}": tensor.clone() for name, tensor in parameters.items()}
    return {"model": model, "checkpoint": checkpoint}


def main(folder: Path) -> None:
    for name, found in tensors().items():
        path = folder / f"{name}.safetensors"
        size = sum(tensor.nbytes for tensor in found.values()) / 1e6
        print(
            f"{name:<10} {size:6.1f} MB  digest {least(lambda t=found: digest(t, {}))}  "
            f"write {least(lambda t=found, p=path: write_tensors(p, t, {'k': 'v'}))}  "
            f"read {least(lambda p=path: read_tensors(p))}",
            flush=True,
        )


if __name__ == "__main__":
    with TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        main(Path(place))
