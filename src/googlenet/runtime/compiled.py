"""C++ sources compiled once for this CPU, kept in the cache and loaded with ctypes.

Nothing is compiled at import.  Where compiling or loading fails there is no library, its callers
do without, and one warning says why.  `GOOGLENET_NATIVE=0` in the environment switches it off.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any

from filelock import FileLock, Timeout

from googlenet.runtime.files import cache_dir, file_digest, fsync
from googlenet.runtime.watchdog import paused

COMPILERS = ("c++", "g++", "clang++")
FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-fPIC", "-fopenmp", "-fno-math-errno",
    "-fno-trapping-math", "-fno-strict-aliasing",
)  # fmt: skip
PREFIX = "googlenet_"  # of the functions' names in C++
WAIT_SECONDS = 600.0  # for another process that builds, and for the compiler
POINTER, INT, LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64

log = logging.getLogger(__name__)
warned: set[str] = set()  # reasons that the user has been told


class BuildError(Exception):
    """Why there is no library, in a sentence."""


@dataclass(eq=False)
class CompiledLibrary:
    """Functions in C++ and what they are called with.

    `signatures` has each function's argument types by its name without PREFIX; those in
    `returns_int` return an int, the others nothing.  `extra_flags` are a source's own, by its
    file name.
    """

    name: str
    sources: tuple[Path, ...]
    signatures: Mapping[str, Sequence[Any]]
    headers: tuple[Path, ...] = ()
    extra_flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    returns_int: tuple[str, ...] = ()
    problem: str | None = field(init=False, default=None)  # why `load` returned None
    _tried: bool = field(init=False, default=False, repr=False)
    _functions: ctypes.CDLL | None = field(init=False, default=None, repr=False)
    _lock: Any = field(init=False, default_factory=RLock, repr=False)

    def load(self) -> ctypes.CDLL | None:
        """The functions, or None.  The first call may compile; other threads wait for it."""
        if not self._tried:
            with self._lock:
                if not self._tried:
                    self._functions = self._load_or_warn()
                    self._tried = True
        return self._functions

    def status(self) -> str:
        """ "on", or why not: for people."""
        return "on" if self.load() else f"off: {self.problem}"

    def forget(self) -> None:
        """Have the next `load` begin anew."""
        self._tried, self._functions, self.problem = False, None, None

    def _load_or_warn(self) -> ctypes.CDLL | None:
        if os.environ.get("GOOGLENET_NATIVE") == "0":
            self.problem = "switched off by GOOGLENET_NATIVE=0"
            return None
        try:
            return self.open(self.build(cache_dir() / "native"))
        except (BuildError, OSError, Timeout, subprocess.SubprocessError, RuntimeError) as error:
            self.problem = str(error)
        if self.problem not in warned:
            warned.add(self.problem)
            log.warning("native kernels are unavailable (%s): slower code runs", self.problem)
        return None

    def build(self, folder: Path) -> Path:
        """The library's file in `folder`, compiled unless an intact one is there.

        Raises BuildError, OSError, Timeout or SubprocessError where that fails.
        """
        compiler = os.environ.get("CXX") or next(filter(shutil.which, COMPILERS), None)
        if compiler is None:
            raise BuildError("no C++ compiler is installed")
        path = folder / f"{self.name}-{self.fingerprint(compiler)}.so"
        if is_intact(path):
            return path
        folder.mkdir(parents=True, exist_ok=True)
        with paused(), FileLock(f"{path}.lock", timeout=WAIT_SECONDS):
            if not is_intact(path):
                self.compile(compiler, path)
        return path

    def compile(self, compiler: str, path: Path) -> None:
        """Compile beside `path`, then put the file and its digest in place atomically.

        Linking without OpenMP's own library leaves its names open, and those of the library that
        PyTorch has loaded fill them: one pool of threads, not two.
        """
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            linked, digest = Path(folder, "linked.so"), Path(folder, "digest")
            objects = [Path(folder, f"{source.stem}.o") for source in self.sources]
            with ThreadPoolExecutor() as pool:
                list(pool.map(partial(self.compile_one, compiler), self.sources, objects))
            run([*compiler.split(), "-shared", *map(str, objects), "-o", str(linked)])
            digest.write_text(file_digest(linked), encoding="ascii")
            for made, place in ((digest, digest_path(path)), (linked, path)):
                fsync(made)
                made.replace(place)
            fsync(path.parent)

    def compile_one(self, compiler: str, source: Path, target: Path) -> None:
        run([*compiler.split(), *self.flags(source), "-c", str(source), "-o", str(target)])

    def flags(self, source: Path) -> tuple[str, ...]:
        return (*FLAGS, *self.extra_flags.get(source.name, ()))

    def fingerprint(self, compiler: str) -> str:
        """What the file depends on: the sources, how they are compiled, and for which CPU."""
        parts = [file.read_bytes() for file in (*self.sources, *self.headers)]
        flags = [self.flags(source) for source in self.sources]
        parts.append(repr((compiler, flags, platform.machine())).encode())
        return hashlib.sha256(b"\n".join([*parts, *cpu_lines()])).hexdigest()[:16]

    def open(self, path: Path) -> ctypes.CDLL:
        """Raises OSError where the file cannot be loaded, BuildError where it lacks a function."""
        loaded = ctypes.CDLL(str(path))
        for name, arguments in self.signatures.items():
            function = getattr(loaded, PREFIX + name, None)
            if function is None:
                raise BuildError(f"{path} has no function {PREFIX}{name}")
            function.argtypes = list(arguments)
            function.restype = INT if name in self.returns_int else None
        return loaded


def run(command: Sequence[str]) -> None:
    """Run the compiler.  Raises BuildError with its first message of an error."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=WAIT_SECONDS
        )
    except FileNotFoundError as error:
        raise BuildError(f"the C++ compiler {command[0]!r} was not found") from error
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if "error" in line.lower()]
        reason = lines[0] if lines else f"exit status {done.returncode}"
        raise BuildError(f"the C++ compiler {command[0]!r} failed: {reason}")


def digest_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def is_intact(path: Path) -> bool:
    """Whether a built file is there with the bytes that it was given.

    Loading a truncated one would end the process with a bus error.
    """
    try:
        return digest_path(path).read_text(encoding="ascii") == file_digest(path)
    except (OSError, UnicodeError):
        return False


def cpu_lines() -> list[bytes]:
    """What Linux says of the CPU's model and instructions; nothing elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return []
    return sorted(
        {line for line in lines if line.startswith((b"model name", b"flags", b"Features"))}
    )
