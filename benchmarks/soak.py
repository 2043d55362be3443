"""Kill commands, damage files and load the service, for as long as one likes.

python benchmarks/soak.py OUT [--kills N] [--mutations N] [--minutes M] [--starts N] [--seed S]
    [--sanitize]

OUT is a folder; in it `results.json` has what was done, after every few cases.  Begun again with
the same OUT and seed it goes on where it was.  Each case is a function of the seed and its number.

--kills: training, prediction, packing and export are killed at random moments, N times each,
and begun again; what they leave must have the bytes of what a command writes that nothing kills.
--mutations: N damaged files or requests over all readers; with --sanitize our C++ is compiled
with the address and the undefined-behavior sanitizers.
--minutes: `benchmarks/serving.py`, a load with broken and hostile requests, for so long.
--starts: N fresh processes of `predict` with each engine, four at once beside two busy loops.
Prints results.json; exit code 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from tests.fixtures import encoded, noise, photo_folder, tiny_classifier  # noqa: E402
from tests.fuzzed import OURS  # noqa: E402
from tests.inference import test_hang  # noqa: E402
from tests.mutations import ANY  # noqa: E402
from tests.untrusted import KINDS  # noqa: E402
from tests.weights.test_detect import FILES  # noqa: E402

JOBS = ("training", "prediction", "packing", "export")
READERS = (*OURS, *KINDS, *(f"foreign:{name}" for name in FILES), "http")
CASES = 10  # of kills, in one process
DAMAGED = 100  # files that one process reads
SANITIZED = ("-g1", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
UNSANITIZED = ("exported:openvino",)  # its libraries do not load beside a sanitizer's
AT_ONCE = 4  # fresh processes
KILLED = (-signal.SIGKILL, -signal.SIGXFSZ)
TRAIN = "--size 32 --width 0.05 --epochs 2 --batch 4 --precision fp32 --checkpoint-minutes 0"
TRAIN_CALLS, OTHER_CALLS = 4000, 1500  # of Python functions, at one of which a session is killed
# Bytes of the largest file that a job writes: its writes are cut off anywhere.
SIZES = {"training": 400_000, "prediction": 1000, "packing": 1_300_000, "export": 300_000}


class Soak:
    """What was done so far, kept in `results.json`."""

    def __init__(self, out: Path, seed: int) -> None:
        self.path, self.seed = out / "results.json", seed
        self.results: dict[str, Any] = {
            "seed": seed, "kills": {}, "mutations": {}, "starts": {}, "load": None
        }  # fmt: skip
        out.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self.results = json.loads(self.path.read_text(encoding="utf-8"))
            if self.results["seed"] != seed:
                raise SystemExit(f"{self.path} is of the seed {self.results['seed']}")

    def save(self) -> None:
        beside = self.path.with_suffix(".part")
        beside.write_text(json.dumps(self.results, indent=1) + "\n", encoding="utf-8")
        beside.replace(self.path)

    def entry(self, kind: str, name: str, **begin: int) -> dict[str, Any]:
        found: dict[str, Any] = self.results[kind].setdefault(name, begin | {"wrong": []})
        return found

    @property
    def wrong(self) -> bool:
        kinds = [self.results[kind] for kind in ("kills", "mutations", "starts")]
        entries = [entry for kind in kinds for entry in kind.values()]
        return any(entry["wrong"] for entry in [*entries, self.results["load"] or {"wrong": 0}])


# --- kills


def commands(folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """What begins each job and what goes on with it, on data in the folder."""
    parts = {f"{part}/{c}": n for part, n in (("train", 3), ("val", 2)) for c in ("red", "blue")}
    data, model = photo_folder(folder / "data", parts), folder / "model.safetensors"
    tiny_classifier().save(model)
    train = ["train", str(data), "--out", str(folder / "out")]
    first = [*train, *TRAIN.split(), "--workers", "2"]
    resume = [*train, "--resume", "--checkpoint-minutes", "0", "--workers", "3"]
    to = folder / "out"
    predict = ["predict", str(model), str(data), "--out", str(to / "answers.csv")]
    large = folder / "large"  # of which there are several shards
    for number in range(10):
        (large / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        noise(400, 300, number).save(large / "ab"[number % 2] / f"{number}.png")
    pack = ["pack", str(large), str(to / "packed"), "--original", "--shard-size", "1"]
    export = ["export", str(model), "--to", "onnx", "--out", str(to / "model.onnx")]
    export += ["--images", "2"]
    same = {"prediction": predict, "packing": pack, "export": export}
    return {"training": (first, resume)} | {job: (line, line) for job, line in same.items()}


def kill(job: str, rng: Random) -> dict[str, Any]:
    """At a moment, at a Python call, at an operation on a file, or within a write."""
    calls = TRAIN_CALLS if job == "training" else OTHER_CALLS
    kinds: list[Callable[[], dict[str, Any]]] = [
        lambda: {"share": rng.random()},
        lambda: {"share": rng.random()},
        lambda: {"call": rng.randrange(1, calls)},
        lambda: {"file": rng.randrange(1, 60 if job == "training" else 9)},
        lambda: {"bytes": rng.randrange(1, SIZES[job])},
    ]
    return rng.choice(kinds)()


def kill_some(job: str, seed: int, first: int) -> dict[str, Any]:
    """CASES cases from the number `first` on: how many kills there were, and what was wrong."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        begin, resume = commands(folder)[job]
        cases: list[list[dict[str, Any]]] = [[]]
        for number in range(first, first + CASES):
            rng = Random(f"{seed} {job} {number}")
            cases.append([kill(job, rng) for _ in range(rng.randint(1, 3))])
        plan = {"first": begin, "resume": resume, "out": str(folder / "out"), "cases": cases}
        (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        program = "tests.training.killed" if job == "training" else "tests.killed_commands"
        done = python(["-m", program, str(folder / "plan.json")])
    found = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [] if done.returncode == 0 else [f"from {first} on: {done.stderr[-1000:]}"]
    kills = 0
    for number, result in enumerate(found[1:], first):
        *killed, last = result["ends"]
        kills += sum(end in KILLED for end in killed)
        ends = last == 0 and set(killed) <= {*KILLED, 0}
        other = [key for key in result if key != "ends" and result[key] != found[0][key]]
        if not ends or other:
            wrong.append(f"number {number}: ended with {result['ends']}, other {other}")
    return {"kills": kills, "wrong": wrong}


def soak_kills(soak: Soak, most: int) -> None:
    for job in JOBS:
        entry = soak.entry("kills", job, cases=0, kills=0)
        while entry["kills"] < most and not entry["wrong"]:
            found = kill_some(job, soak.seed, entry["cases"])
            entry["cases"] += CASES
            entry["kills"] += found["kills"]
            entry["wrong"] += found["wrong"]
            soak.save()


# --- damaged files and requests


def sanitizers(cache: Path) -> dict[str, str]:
    """The environment in which our C++ is compiled and run with sanitizers."""

    def library(name: str) -> str:
        command = ["g++", f"-print-file-name={name}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    cache.mkdir(parents=True, exist_ok=True)
    compiler = cache / "c++"  # its options come last: at -O3 the kernels take many minutes
    compiler.write_text(f'#!/bin/sh\nexec g++ "$@" {" ".join(SANITIZED)}\n', encoding="ascii")
    compiler.chmod(0o755)
    return {
        "CXX": str(compiler),
        "LD_PRELOAD": f"{library('libasan.so')}:{library('libstdc++.so')}",
        # `runtime/process` asks for 16 GiB once; a warning would be a line of the service's log.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=16400",
        "GOOGLENET_CACHE": str(cache),
    }


def damage(reader: str, first: int, environment: dict[str, str]) -> dict[str, Any]:
    if reader == "http":
        return damage_requests(first, environment)
    with TemporaryDirectory() as folder:
        done = python(["-m", "tests.fuzzed", reader, str(DAMAGED), folder, str(first)], environment)
    if done.returncode:
        return {"refused": 0, "read": 0, "wrong": [f"from {first} on: {done.stderr[-3000:]}"]}
    return json.loads(done.stdout.splitlines()[-1]) | {"wrong": []}


def damage_requests(first: int, environment: dict[str, str]) -> dict[str, Any]:
    """Damaged requests to a service, which must answer a whole one after each of them."""
    photo = encoded(noise(40, 50))
    part = b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n'
    form = part + photo + b"\r\n--x--\r\n"
    bodies = [(b"image/png", photo), (b"multipart/form-data; boundary=x", form)]
    whole = [
        b"POST /predict?top=3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: %s\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (kind, len(body), body)
        for kind, body in bodies
    ]
    found: dict[str, Any] = {"refused": 0, "read": 0, "wrong": []}
    with service(environment) as (port, log):
        for number in range(first, first + DAMAGED):
            rng = Random(f"http {number}")
            head, _, body = rng.choice(whole).partition(b"\r\n\r\n")
            sent = rng.choice(ANY)(head, rng) + b"\r\n\r\n" + body
            sent = rng.choice(ANY)(head + b"\r\n\r\n" + body, rng) if rng.random() < 0.5 else sent
            status = answer(port, sent)
            found["read" if status == 200 else "refused"] += 1
            if status >= 500 and status not in (501, 503, 505):
                found["wrong"].append(f"number {number}: status {status}")
            if answer(port, whole[0]) != 200:
                found["wrong"].append(f"number {number}: the next request was not answered")
    found["wrong"] += [line for line in log if " INFO " not in line and " WARNING " not in line]
    return found


def answer(port: int, sent: bytes) -> int:
    """The status of the answer to these bytes; 0 where the connection is closed without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as wire:
        try:
            wire.sendall(sent)
            line = wire.makefile("rb").readline()
        except ConnectionError:
            return 0
    return int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else 0


@contextmanager
def service(environment: dict[str, str]) -> Iterator[tuple[int, list[str]]]:
    """A service of a tiny model: its port, and what it has logged when it is over."""
    log: list[str] = []
    with TemporaryDirectory() as folder:
        model = Path(folder) / "model.safetensors"
        tiny_classifier().save(model)
        command = [sys.executable, "-m", "googlenet", "serve", str(model), "--port", "0"]
        command += ["--read-timeout", "1"]  # for requests that declare more than they have
        variables = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}"} | environment
        with (Path(folder) / "log").open("w+", encoding="utf-8") as file:
            process = subprocess.Popen(command, stderr=file, env=variables)
            try:
                yield port_in(Path(folder) / "log", process), log
            finally:
                process.send_signal(signal.SIGTERM)
                if process.wait(timeout=60):
                    log.append(f"the service ended with {process.returncode}")
            file.seek(0)
            log += file.read().splitlines()


def port_in(path: Path, process: subprocess.Popen[bytes]) -> int:
    while process.poll() is None:
        if found := re.search(r" on http://127\.0\.0\.1:(\d+)$", path.read_text(), re.M):
            return int(found[1])
        signal.sigtimedwait([], 0.1)
    raise RuntimeError(path.read_text())


def soak_mutations(soak: Soak, most: int, sanitize: bool) -> None:
    """As many of each reader, the readers in turn."""
    environment = sanitizers(soak.path.parent / "cache") if sanitize else {}
    for first in range(0, most // len(READERS), DAMAGED):
        for reader in READERS:
            entry = soak.entry("mutations", reader, cases=0, refused=0, read=0)
            if entry["cases"] > first or entry["wrong"]:
                continue
            found = damage(reader, first, {} if reader in UNSANITIZED else environment)
            entry["cases"] = first + DAMAGED
            for key in ("refused", "read", "wrong"):
                entry[key] += found[key]
            soak.save()
    soak.results["sanitized"] = sanitize
    soak.save()


# --- fresh starts


def soak_starts(soak: Soak, most: int) -> None:
    with TemporaryDirectory() as place, test_hang.busy(2), ThreadPoolExecutor(AT_ONCE) as pool:
        folder = Path(place)
        tiny_classifier(size=32).save(folder / "m.safetensors")
        photo_folder(folder, {"photos": test_hang.PHOTOS})
        for engine in test_hang.FILES:
            entry = soak.entry("starts", engine, starts=0)
            model = test_hang.exported(folder, engine)
            while entry["starts"] < most and not entry["wrong"]:
                outs = [folder / f"{engine}-{entry['starts'] + n}.csv" for n in range(AT_ONCE)]
                found = list(pool.map(partial(test_hang.predict, model), outs))
                entry["starts"] += AT_ONCE
                entry["wrong"] += [what[-3000:] for what in found if what]
                soak.save()


# --- load


def soak_load(soak: Soak, minutes: float, clients: int) -> None:
    if soak.results["load"]:
        return
    with TemporaryDirectory() as place:
        folder = Path(place)
        tiny_classifier(classes=12, seed=4).save(folder / "model.safetensors")
        (folder / "photos").mkdir()
        for seed in range(12):
            noise(60 + 9 * seed, 90, seed).save(folder / "photos" / f"{seed}.jpg")
        load = [str(ROOT / "benchmarks" / "serving.py"), str(folder / "model.safetensors")]
        options = ["--minutes", str(minutes), "--clients", str(clients), "--seed", str(soak.seed)]
        done = python([*load, str(folder / "photos"), *options])
    try:
        soak.results["load"] = json.loads(done.stdout)
    except ValueError:
        soak.results["load"] = {"wrong": [done.stderr[-3000:]]}
    soak.save()


def python(
    arguments: list[str], environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    path = {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    variables = os.environ | path | (environment or {})
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, errors="replace", check=False,
        cwd=ROOT, env=variables,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--kills", type=int, default=0, help="of each of four jobs")
    parser.add_argument("--mutations", type=int, default=0, help="over all readers")
    parser.add_argument("--sanitize", action="store_true")
    parser.add_argument("--starts", type=int, default=0, help="of each engine")
    parser.add_argument("--minutes", type=float, default=0, help="of load on the service")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    soak = Soak(arguments.out, arguments.seed)
    soak_kills(soak, arguments.kills)
    soak_mutations(soak, arguments.mutations, arguments.sanitize)
    if arguments.starts:
        soak_starts(soak, arguments.starts)
    if arguments.minutes:
        soak_load(soak, arguments.minutes, arguments.clients)
    print(soak.path.read_text(encoding="utf-8") if soak.path.exists() else "nothing was asked for")
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
