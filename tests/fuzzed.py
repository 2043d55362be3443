"""A program that reads damaged files: `python -m tests.fuzzed KIND COUNT FOLDER [FIRST]`.

It reads the files of the numbers from FIRST (or 0) on.  Each file is a function of KIND and its
number.  Every one must be refused in a sentence or read rightly, in little memory and time:
the system ends this process beyond its limits.
Prints a JSON object: how many were refused and how many read.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from googlenet import Classifier
from googlenet.inference.model_file import digest
from googlenet.load import load_classifier
from googlenet.runtime.errors import GoogLeNetError
from googlenet.training.checkpoint import Progress, read_checkpoint, restore, save_checkpoint
from googlenet.training.run_folder import RunFolder
from googlenet.training.settings import Settings
from googlenet.weights.detect import read_weight_file
from tests.fixtures import tiny_classifier
from tests.mutations import ANY, SAFETENSORS, SETTINGS, Mutation
from tests.training.small_runs import nothing, settings, trainer

MEMORY = 1 << 30  # bytes of address space beyond what reading the whole file took
SECONDS = 20  # of the processor, for one file

Read = Callable[[Path], Any]  # what a file says, to compare; raises GoogLeNetError


class Kind(NamedTuple):
    """name: of the file; content: when nobody has damaged it; sealed: it has a digest in it."""

    name: str
    content: bytes
    read: Read
    mutations: tuple[Mutation, ...]
    sealed: bool = False


def model(folder: Path) -> Kind:
    path = folder / "m.safetensors"
    tiny_classifier(heads=True).save(path)

    def read(path: Path) -> str:
        loaded = Classifier.load(path)
        return digest(loaded.network.state_dict(), {"header": json.dumps(loaded.header.to_json())})

    return Kind(path.name, path.read_bytes(), read, SAFETENSORS, sealed=True)


def checkpoint(folder: Path) -> Kind:
    path = folder / "checkpoint.safetensors"
    run = trainer()
    run.train_epoch(nothing)
    history = [{"epoch": 1.0, "loss": 0.5}]
    save_checkpoint(path, run, Progress("abc", "def", {"seed": 1}, history=history, best=50.0))

    def read(path: Path) -> Any:
        progress = restore(read_checkpoint(path), run, Progress("abc", "def", {"seed": 1}))
        return (
            run.step,
            run.sums,
            run.unreadable,
            progress,
            digest(run.network.state_dict(), {}),
            digest(run.average.values, {}),
        )

    return Kind(path.name, path.read_bytes(), read, SAFETENSORS, sealed=True)


def settings_file(folder: Path) -> Kind:
    run = RunFolder(folder / "run")
    run.create(settings("photos").to_json())
    run.release()

    def read(path: Path) -> Settings:
        found = RunFolder(path.parent)
        return Settings.from_json(found.read_settings(), found.settings)

    return Kind("settings.json", run.settings.read_bytes(), read, SETTINGS)


def foreign(name: str) -> Kind:
    """A small file of a foreign format, every tensor of it."""
    from tests.weights.test_detect import FILES

    return Kind("weights.dat", FILES[name][1], read_weight_file, ANY)


def convertible(name: str) -> Kind:
    """A whole network in a foreign format, to a classifier."""
    from tests.weights import protos
    from tests.weights.foreign import BY_NAME, foreign_tensors, random_network

    tensors = foreign_tensors(random_network("paper"), BY_NAME["caffe"])
    write = {"caffe": protos.caffe_model, "onnx": protos.onnx_model}[name]
    return Kind("weights.dat", write(tensors).SerializeToString(), load_classifier, ANY)


OURS = {"model": model, "checkpoint": checkpoint, "settings": settings_file}


def kind_named(name: str, folder: Path) -> Kind:
    from tests.untrusted import KINDS

    if name in OURS | KINDS:
        return (OURS | KINDS)[name](folder)
    family, _, name = name.partition(":")
    return {"foreign": foreign, "convert": convertible}[family](name)


def mutant(kind: Kind, name: str, number: int) -> bytes:
    rng = Random(f"{name} {number}")
    return rng.choice(kind.mutations)(kind.content, rng)


def limit() -> None:
    """No more memory from here on than so much, as the system counts it.

    The address sanitizer reserves far more and has a limit of its own.
    """
    if "ASAN_OPTIONS" in os.environ:
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def outcome(kind: Kind, path: Path, called: str) -> Any:
    """What the file says, or the error that says why it says nothing; all else is a bug."""
    try:
        return kind.read(path)
    except GoogLeNetError as error:
        return error
    except BaseException:
        print(called, file=sys.stderr)
        raise


def main(name: str, count: int, folder: Path, first: int = 0) -> None:
    kind = kind_named(name, folder)
    path = folder / kind.name
    path.write_bytes(kind.content)
    right = kind.read(path)
    limit()
    tally = {"refused": 0, "read": 0}
    for number in range(first, first + count):
        content = mutant(kind, name, number)
        path.write_bytes(content)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        said = outcome(kind, path, f"number {number} of {name}")
        signal.setitimer(signal.ITIMER_PROF, 0)
        if isinstance(said, GoogLeNetError):
            tally["refused"] += 1
            named = str(path.parent) in str(said) or path.name in str(said)
            assert named, f"{number}: does not name the file: {said}"
            assert "\n" not in str(said), f"{number}: {said}"
        else:
            tally["read"] += 1
            intact = not kind.sealed or said == right or b"googlenet-sha256" not in content
            assert intact, f"{number}: something else was read, and not noticed"
    print(json.dumps(tally))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:]))
