"""C++ is compiled once for this CPU; a build that fails, and a damaged file, end nothing."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from googlenet.images import library as pixels
from googlenet.kernels import library as network
from googlenet.runtime import compiled
from googlenet.runtime.compiled import FLAGS, INT, CompiledLibrary

ADD = 'extern "C" int googlenet_add(int a, int b) { return a + b; }\n'


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("GOOGLENET_CACHE", str(tmp_path))
    monkeypatch.setattr(compiled, "warned", set())
    return tmp_path / "native"


def sum_library(folder: Path, code: str = ADD) -> CompiledLibrary:
    source = folder / "sum.cpp"
    source.write_text(code, encoding="utf-8")
    return CompiledLibrary("sum", (source,), {"add": [INT, INT]}, returns_int=("add",))


def added(library: CompiledLibrary) -> int:
    functions = library.load()
    assert functions is not None, library.problem
    return int(functions.googlenet_add(2, 3))


def test_built_once(
    kernels: None, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert added(sum_library(tmp_path)) == 5
    (path,) = cache.glob("*.so")
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(compiled, "run", lambda _: pytest.fail("built twice"))
    assert added(sum_library(tmp_path)) == 5
    assert path.stat().st_mtime_ns == before


def test_threads_wait_for_the_one_that_builds(
    kernels: None, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, commands = sum_library(tmp_path), list[object]()
    run = compiled.run

    def counted(command: list[str]) -> None:
        commands.append(command)
        run(command)

    monkeypatch.setattr(compiled, "run", counted)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: added(library), range(8))) == {5}
    assert len(commands) == 2  # compiling, linking


@pytest.mark.parametrize("damage", ["truncated", "empty", "changed", "text", "no digest"])
def test_a_damaged_file_is_built_anew(
    damage: str, kernels: None, cache: Path, tmp_path: Path
) -> None:
    """In a process of its own: loading a truncated library ends it with a bus error."""
    library = sum_library(tmp_path)
    path = library.build(cache)
    whole = path.read_bytes()
    match damage:
        case "truncated":
            path.write_bytes(whole[: len(whole) // 2])
        case "empty":
            path.write_bytes(b"")
        case "changed":
            path.write_bytes(whole[:5000] + b"\xff" + whole[5001:])
        case "text":
            path.write_text("not a library", encoding="ascii")
        case "no digest":
            compiled.digest_path(path).unlink()
    code = (
        "import sys; from pathlib import Path; from tests.runtime.test_compiled import *\n"
        "print(added(sum_library(Path(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=os.environ | {"GOOGLENET_CACHE": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr
    assert compiled.is_intact(path)


def test_each_source_and_compiler_has_a_file_of_its_own(tmp_path: Path) -> None:
    library = sum_library(tmp_path)
    first = library.fingerprint("g++")
    assert first == library.fingerprint("g++")
    assert first != library.fingerprint("clang++")
    assert first != sum_library(tmp_path, ADD + "\n").fingerprint("g++")


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        ("no-such-compiler", "the C++ compiler 'no-such-compiler' was not found"),
        ("false", "the C++ compiler 'false' failed: exit status 1"),
        (None, "sum.cpp:1:1: error: "),
    ],
)
def test_a_build_that_fails_says_so_once(
    compiler: str | None,
    reason: str,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if compiler is not None:
        monkeypatch.setenv("CXX", compiler)
    elif not any(map(shutil.which, compiled.COMPILERS)):
        pytest.skip("no C++ compiler is installed")
    for _ in range(2):
        library = sum_library(tmp_path, "nonsense\n")
        assert library.load() is None
        assert reason in str(library.problem)
    ((_, level, text),) = caplog.record_tuples
    assert level == logging.WARNING
    assert text == f"native kernels are unavailable ({library.problem}): slower code runs"
    assert capfd.readouterr() == ("", "")
    assert not list(cache.glob("*.so"))


def test_without_a_compiler_there_is_none(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    library = sum_library(tmp_path)
    assert library.load() is None
    assert library.problem == "no C++ compiler is installed"


def test_a_cache_that_cannot_be_written_is_none(kernels: None, cache: Path, tmp_path: Path) -> None:
    cache.write_text("a file where the folder should be", encoding="utf-8")
    assert sum_library(tmp_path).load() is None


def test_a_library_without_the_function_is_none(kernels: None, cache: Path, tmp_path: Path) -> None:
    library = sum_library(tmp_path, ADD.replace("_add", "_plus"))
    assert library.load() is None
    assert str(library.problem).endswith(" has no function googlenet_add")


def test_switched_off(no_kernels: None, caplog: pytest.LogCaptureFixture) -> None:
    assert network.library() is pixels.library() is None
    assert network.LIBRARY.problem == "switched off by GOOGLENET_NATIVE=0"
    assert not caplog.records


@pytest.mark.parametrize("library", [network.LIBRARY, pixels.LIBRARY], ids=lambda each: each.name)
def test_our_sources_compile_without_warnings(kernels: None, library: CompiledLibrary) -> None:
    compiler = os.environ.get("CXX") or next(filter(shutil.which, compiled.COMPILERS))
    # GCC's own vector headers warn of values that they leave undefined on purpose.
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-maybe-uninitialized", "-fsyntax-only"]
    assert "-w" not in FLAGS
    for source in library.sources:
        compiled.run([*compiler.split(), *library.flags(source), *warnings, str(source)])


def test_nothing_is_built_at_import(tmp_path: Path) -> None:
    code = (
        "import googlenet.kernels.library, googlenet.images.library, os\n"
        "print(os.listdir(os.environ['GOOGLENET_CACHE']))"
    )
    variables = os.environ | {"GOOGLENET_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
