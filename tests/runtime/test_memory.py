"""Memory that is left, in files as Linux has them."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch

from googlenet.runtime.memory import available_memory, out_of_memory

KEPT = 1 << 20  # of the page cache


def root(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return folder


def test_container_of_version_2(tmp_path: Path) -> None:
    """The path is the container's root; the limit above a group holds for it too."""
    group = "sys/fs/cgroup"
    files = {
        "proc/self/cgroup": "0::/app/job",
        f"{group}/app/memory.max": str(64 << 20),
        f"{group}/app/memory.current": str(10 << 20),
        f"{group}/app/memory.stat": f"anon 5\ninactive_file {KEPT}",
        f"{group}/app/job/memory.max": "max",
        f"{group}/app/job/memory.current": "5",
        f"{group}/app/job/memory.stat": "anon 5",
    }
    assert available_memory(root(tmp_path, files)) == (54 << 20) + KEPT


@pytest.mark.parametrize("path", ["/", "/docker/0123"])  # with and without a namespace
def test_container_of_version_1(tmp_path: Path, path: str) -> None:
    group = "sys/fs/cgroup/memory"
    files = {
        "proc/self/cgroup": f"9:name=systemd:{path}\n4:cpu,memory:{path}\n0::{path}",
        f"{group}/memory.limit_in_bytes": str(64 << 20),
        f"{group}/memory.usage_in_bytes": str(70 << 20),
        f"{group}/memory.stat": "cache 5\ntotal_inactive_file 0",
    }
    assert available_memory(root(tmp_path, files)) == 0


def test_without_a_limit_it_is_what_the_system_has_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Free:
        available = 12345

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Free)
    assert available_memory(tmp_path) == 12345


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "out of memory"),
        (MemoryError("Unable to allocate 2.24 GiB for an array with shape (3, 10)"),
         "out of memory (2.4 GB more were requested)"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't "
                      "allocate memory: you tried to allocate 3024000000 bytes. Error code 12"),
         "out of memory (3.0 GB more were requested)"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 512.00 MiB. GPU 0 has"),
         "out of memory (0.5 GB more were requested)"),
        (RuntimeError("std::bad_alloc"), "out of memory"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (KeyError("x"), None),
    ],
)  # fmt: skip
def test_failed_allocations_of_every_library(error: Exception, sentence: str | None) -> None:
    assert out_of_memory(error) == sentence
    wrapped = RuntimeError("a batch failed")
    wrapped.__cause__ = error
    assert out_of_memory(wrapped) == sentence
