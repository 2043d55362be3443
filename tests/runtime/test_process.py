"""What the command line sets for its process, and that nothing else sets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's own settings")
PROBE = """
import json, os, sys
from googlenet.runtime import process
{setting}
status = open("/proc/self/status").read()
size = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
print(json.dumps([process.TUNED, os.environ.get("GOMP_SPINCOUNT"), size]))
"""


def tuned(setting: str, **variables: str) -> tuple[list[str], str | None, int]:
    """What was tuned, the threads' patience, and the memory held in KiB, in a fresh process."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    code = PROBE.format(setting=setting)
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, env=kept | variables, capture_output=True, text=True, check=True)
    found: tuple[list[str], str | None, int] = tuple(json.loads(done.stdout))
    return found


@LINUX
def test_tuned_once_and_no_memory_is_taken() -> None:
    what, spins, size = tuned("process.tune_process()")
    assert (what, spins) == (["allocator"], "1000")
    assert size < 200_000  # the heap's address space is reserved, not filled


@LINUX
def test_importing_sets_nothing() -> None:
    assert tuned("import googlenet, googlenet.cli")[:2] == ([], None)


@LINUX
def test_called_from_a_program_the_command_line_sets_nothing() -> None:
    code = (
        "from googlenet.cli import main\nsys.stdout = sys.stderr\n"
        "main(['table'])\nsys.stdout = sys.__stdout__"
    )
    assert tuned(code)[:2] == ([], None)


@LINUX
def test_what_the_user_has_set_stays() -> None:
    assert tuned("process.tune_process()", GOOGLENET_TUNE="0")[:2] == ([], None)
    assert tuned("process.tune_process()", GOMP_SPINCOUNT="7")[1] == "7"
    assert tuned("process.tune_process()", OMP_WAIT_POLICY="active")[1] is None


@LINUX
def test_large_maps_are_not_fresh_memory_each_time() -> None:
    """Page faults of a hundred maps of 64 MiB: those of one, but for what the heap grows."""
    code = (
        "process.tune_process()\nimport ctypes, resource\nlibrary = ctypes.CDLL(None)\n"
        "library.malloc.restype = ctypes.c_void_p\n"
        "library.free.argtypes = [ctypes.c_void_p]\n"
        "library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]\n"
        "def faults(n):\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(n):\n"
        "        block = library.malloc(64 << 20)\n"
        "        library.memset(block, 1, 64 << 20)\n"
        "        library.free(block)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "faults(1)\nprocess.TUNED.append(faults(20))\n"
    )
    what = tuned(code)[0]
    assert int(what[1]) < 1000  # 20 · 16,384 without
