"""The network in every engine and precision, beside torchvision's googlenet in eager float32.

python benchmarks/engines.py FOLDER [--torchvision SITE] [--images IMAGES] [--out FILE]

FOLDER holds exports to compare, any of `*.safetensors`, `*.onnx`, `*.xml`, `*.pt2`: their names
are the rows' names.  SITE is a folder in which torchvision is installed, if it is not beside
PyTorch (`pip install --no-deps --target SITE torchvision==0.28.0`); where there is none, the
variant `torchvision` of this package takes its place, as plain eager layers, and the rows say so.
Two settings: batch 32 on two threads, batch 1 on one.  Each contestant is a process of its own, so
that its start-up, its peak memory and its threads are its own; repetitions alternate between all
of them, and each has the same input, made beforehand: normalized float32 images.  The ratio is of
medians, to the peer in the same run; `cpu` is the processor's time for an image, which other
programs on the machine disturb less.

With --images, a folder of JPEGs: from files to a CSV of labels, whole programs, `googlenet
predict` on each file against a plain script in torchvision's style (`end_to_end`).  Of each file
also what the machine could do at best: the processor's time of reading the images alone and of the
network alone, added up and shared out over the threads (`limit`), what of that the whole program
reached, start-up included, and the time of the same program with a single image.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

SETTINGS = {"batch 32, 2 threads": (32, 2), "batch 1, 1 thread": (1, 1)}
PEER = "peer"
SUFFIXES = (".safetensors", ".onnx", ".xml", ".pt2")


class Repetition(NamedTuple):
    wall: float  # seconds an image
    cpu: float


def peer_network(site: str) -> Any:
    """torchvision's network, or the same layers of ours where it is not installed."""
    import torch

    from googlenet.bench.peers import Missing, torchvision_network

    torch.manual_seed(0)
    try:
        network: Any = torchvision_network(Path(site) if site else None)
    except Missing:
        os.environ["GOOGLENET_NATIVE"] = "0"  # PyTorch's own operators, as everybody's
        from googlenet.models.googlenet import GoogLeNet

        network = GoogLeNet("torchvision", 1000)
    return network.eval()


def peer_name(site: str) -> str:
    from googlenet.bench.peers import Missing, torchvision_network

    try:
        torchvision_network(Path(site) if site else None)
    except Missing:
        return "our variant torchvision, eager fp32 (torchvision is not installed)"
    return "torchvision, eager fp32"


def contestant(name: str, site: str, threads: int) -> Any:
    """A function of (N, 3, 224, 224) float32 images."""
    import torch

    torch.set_num_threads(threads)
    if name == PEER:
        network = peer_network(site)  # contiguous, as everybody's script has it
        return lambda x: network(torch.from_numpy(x))
    path, _, engine = name.partition("@")
    from googlenet.load import load_classifier

    if path.endswith(".pt2"):  # the program itself
        program = torch.export.load(path).module()
        last = torch.channels_last
        return lambda x: program(torch.from_numpy(x).contiguous(memory_format=last))
    precision = "bf16" if engine.endswith("+bf16") else "fp32"
    classifier = load_classifier(path, "cpu", engine.removesuffix("+bf16") or None, precision)
    return classifier.backend.run


def work(name: str, site: str, batch: int, threads: int) -> None:
    """A contestant's process: one repetition for each line on stdin, a JSON line for each."""
    began = time.perf_counter()
    import numpy as np
    import torch

    run = contestant(name, site, threads)
    photos = np.random.default_rng(0).normal(0, 1, (batch, 3, 224, 224)).astype(np.float32)
    with torch.inference_mode():
        run(photos)
        say({"start": time.perf_counter() - began})
        for line in sys.stdin:
            runs = int(line)
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(runs):
                run(photos)
            images = runs * batch
            say({
                "wall": (time.perf_counter() - wall) / images,
                "cpu": (time.process_time() - cpu) / images,
                "peak": peak_memory(),
            })  # fmt: skip


def say(value: dict[str, float]) -> None:
    print(json.dumps(value), flush=True)


def peak_memory() -> float:
    """In MB, of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


class Process:
    """A contestant at work."""

    def __init__(self, name: str, site: str, batch: int, threads: int) -> None:
        self.name, self.batch = name, batch
        arguments = [sys.executable, __file__, "--work", name, str(batch), str(threads), site]
        began = time.perf_counter()
        self.process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )
        self.first = self.answer()
        self.start = time.perf_counter() - began
        self.found: list[Repetition] = []
        self.peak = 0.0

    def answer(self) -> dict[str, float]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with code {self.process.wait()}")
        return dict(json.loads(line))

    def repeat(self, runs: int) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{runs}\n")
        self.process.stdin.flush()
        answer = self.answer()
        self.found.append(Repetition(answer["wall"], answer["cpu"]))
        self.peak = answer["peak"]

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def measure(
    names: list[str], site: str, setting: str, repeats: int, seconds: float
) -> list[dict[str, Any]]:
    """A row a contestant; all of them run in turn, one at a time."""
    batch, threads = SETTINGS[setting]
    processes = [Process(name, site, batch, threads) for name in names]
    runs = {}
    for each in processes:  # how many runs take about `seconds`
        each.repeat(1)
        runs[each.name] = max(1, round(seconds / (each.found[-1].wall * batch)))
        each.found.clear()
    for _ in range(repeats):
        for each in processes:
            each.repeat(runs[each.name])
    for each in processes:
        each.end()
    peer = median(1 / r.wall for r in processes[0].found)
    peer_cpu = median(r.cpu for r in processes[0].found)
    rows = []
    for each in processes:
        speeds = [1 / r.wall for r in each.found]
        cpu = median(r.cpu for r in each.found)
        path = Path(each.name.partition("@")[0])
        rows.append({
            "name": peer_name(site) if each.name == PEER else title(each.name), "setting": setting,
            "median": median(speeds), "low": min(speeds), "high": max(speeds),
            "ratio": median(speeds) / peer,
            "cpu_ms": 1000 * cpu, "cpu_ratio": peer_cpu / cpu,
            "peak_mb": each.peak, "start_s": each.start,
            "file_mb": file_size(path) / 1e6 if path.exists() else None,
        })  # fmt: skip
    return rows


def title(name: str) -> str:
    path, _, engine = name.partition("@")
    engine = engine or {".onnx": "onnxruntime", ".xml": "openvino"}.get(Path(path).suffix, "torch")
    return f"googlenet {Path(path).name}, {engine}"


def file_size(path: Path) -> int:
    weights = path.with_suffix(".bin")
    extra = weights.stat().st_size if path.suffix == ".xml" and weights.exists() else 0
    return path.stat().st_size + extra


def plain_preparation() -> Any:
    """The usual script's steps; with torchvision's own steps where it is installed."""
    try:
        from torchvision import transforms
    except ImportError:
        import numpy as np
        import torch

        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

        def prepare(photo: Any) -> Any:
            factor = 256 / min(photo.size)
            photo = photo.resize([int(side * factor) for side in photo.size])
            left, top = ((side - 224) // 2 for side in photo.size)
            x = np.asarray(photo.crop((left, top, left + 224, top + 224)), np.float32) / 255
            return torch.from_numpy((x - np.float32(mean)) / np.float32(std)).permute(2, 0, 1)

        return prepare
    return transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])  # fmt: skip


PLAIN = """
import csv, sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
import engines
import torch
torch.set_num_threads(2)
network = engines.peer_network({site!r})
from PIL import Image
prepare = engines.plain_preparation()
paths = sorted(Path({photos!r}).rglob("*.*"))
with open({out!r}, "w", newline="") as file, torch.no_grad():
    rows = csv.writer(file)
    for at in range(0, len(paths), 32):
        chunk = paths[at:at + 32]
        batch = torch.stack([prepare(Image.open(path).convert("RGB")) for path in chunk])
        for path, row in zip(chunk, network(batch).softmax(1)):
            p, label = row.max(0)
            rows.writerow([path, int(label), float(p)])
"""


def end_to_end(names: list[str], site: str, photos: Path, repeats: int) -> list[dict[str, Any]]:
    """Whole programs, start-up and all: from JPEG files to a CSV of labels, two threads."""
    count = sum(1 for path in photos.rglob("*.*") if path.is_file())
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.csv"
        here = str(Path(__file__).parent)
        program = PLAIN.format(here=here, site=site, photos=str(photos), out=str(out))
        commands = {PEER: [sys.executable, "-c", program]}
        for name in names:
            path, _, engine = name.partition("@")
            commands[name] = [
                *(sys.executable, "-m", "googlenet", "predict", path, str(photos)),
                *("--out", str(out), "--top", "1", "--threads", "2"),
                *(["--engine", engine] if engine else []),
            ]
        times: dict[str, list[Repetition]] = {name: [] for name in commands}
        for _ in range(repeats):
            for name, command in commands.items():
                before, began = os.times(), time.perf_counter()
                subprocess.run(command, check=True)
                wall, after = time.perf_counter() - began, os.times()
                cpu = sum(after[2:4]) - sum(before[2:4])
                times[name].append(Repetition(wall / count, cpu / count))
                assert len(out.read_text().splitlines()) >= count
        first = next(path for path in sorted(photos.rglob("*.*")) if path.is_file())
        more = {}
        for name in names:
            path = name.partition("@")[0]
            alone = [sys.executable, __file__, "--alone", path, str(photos)]
            done = subprocess.run(alone, check=True, capture_output=True, text=True)
            more[name] = dict(json.loads(done.stdout))
            command = [str(first) if word == str(photos) else word for word in commands[name]]
            starts = []
            for _ in range(repeats):
                began = time.perf_counter()
                subprocess.run(command, check=True)
                starts.append(time.perf_counter() - began)
            more[name]["start_s"] = median(starts)
    peer = median(1 / r.wall for r in times[PEER])
    peer_cpu = median(r.cpu for r in times[PEER])
    rows = []
    for name, found in times.items():
        speeds, cpu = [1 / r.wall for r in found], median(r.cpu for r in found)
        extra = more.get(name, {})
        if extra:
            extra["limit"] = 2000 / (extra["reading_ms"] + extra["network_ms"])
            extra["share"] = median(speeds) / extra["limit"]
        rows.append({
            "name": f"plain script: {peer_name(site)}" if name == PEER else title(name),
            "setting": f"files to CSV, {count} photos, 2 threads",
            "median": median(speeds), "low": min(speeds), "high": max(speeds),
            "ratio": median(speeds) / peer, "cpu_ms": 1000 * cpu, "cpu_ratio": peer_cpu / cpu,
            **extra,
        })  # fmt: skip
    return rows


def alone(path: str, photos: Path) -> None:
    """The processor's milliseconds for each image: of reading them, and of the network."""
    os.environ["OMP_NUM_THREADS"] = "2"
    from googlenet.load import load_classifier

    predictor = load_classifier(path, parallel=True)
    paths = sorted(path for path in photos.rglob("*.*") if path.is_file())
    predictor.load_input(paths[0])
    began = time.process_time()
    views = [predictor.load_input(each) for each in paths]
    reading = (time.process_time() - began) / len(paths)
    list(predictor.predict_batch(views[:32], 1))
    began, batches = time.process_time(), [views[at : at + 32] for at in range(0, len(views), 32)]
    for batch in batches:
        list(predictor.predict_batch(batch, 1))
    network = (time.process_time() - began) / len(paths)
    print(json.dumps({"reading_ms": 1000 * reading, "network_ms": 1000 * network}))


def table(found: dict[str, Any]) -> str:
    lines = [
        "| | setting | images/s | low–high | ratio | CPU ms | CPU ratio | peak MB | start s "
        "| file MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in found["results"]:
        rest = " | ".join(
            "" if r.get(key) is None else f"{r[key]:.{digits}f}"
            for key, digits in (("peak_mb", 0), ("start_s", 1), ("file_mb", 1))
        )
        lines.append(
            f"| {r['name']} | {r['setting']} | {r['median']:.1f} | {r['low']:.1f}–{r['high']:.1f} "
            f"| {r['ratio']:.2f} | {r['cpu_ms']:.1f} | {r['cpu_ratio']:.2f} | {rest} |"
        )
    whole = [r for r in found["results"] if "limit" in r]
    if whole:
        lines += [
            "",
            "| files to CSV | images/s | reading, CPU ms | network, CPU ms "
            "| roofline, images/s | % of roofline | one image, s |",
            "|---|---|---|---|---|---|---|",
        ]
    lines += [
        f"| {r['name']} | {r['median']:.1f} | {r['reading_ms']:.2f} | {r['network_ms']:.2f} "
        f"| {r['limit']:.0f} | {100 * r['share']:.0f} % | {r['start_s']:.2f} |"
        for r in whole
    ]
    return "\n".join(lines)


def processor() -> dict[str, Any]:
    """The machine, and which instructions for eight and sixteen bits it has."""
    from googlenet.runtime.device import ComputeDevice

    flags = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line[:5] == "flags"), ""
    ).split()
    known = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    return ComputeDevice.detect("fp32").describe() | {
        "cores": os.cpu_count(),
        "instructions": [name for name in known if name in flags],
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--torchvision", default="", metavar="SITE")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--setting", choices=(*SETTINGS, "none"), help="only this one")
    parser.add_argument(
        "--programs", default="", help="with --photos: of these files alone: a.xml,…"
    )
    parser.add_argument("--engines", default="", help="also model files in these: openvino,…")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one repetition")
    parser.add_argument("--out", type=Path, help="write all of it as JSON")
    args = parser.parse_args()
    files = sorted(str(p) for p in args.folder.iterdir() if p.suffix in SUFFIXES)
    names = files + [
        f"{file}@{engine}"
        for file in files
        for engine in filter(None, args.engines.split(","))
        if file.endswith(".safetensors")
    ]
    rows = []
    wanted = [args.setting] if args.setting else list(SETTINGS)
    for setting in [name for name in wanted if name in SETTINGS]:
        rows += measure([PEER, *names], args.torchvision, setting, args.repeats, args.seconds)
    if args.photos:
        whole = [n for n in names if Path(n).name in args.programs.split(",") or not args.programs]
        rows += end_to_end(whole, args.torchvision, args.photos, min(3, args.repeats))
    found = {
        "kind": "engines", "unit": "images/s", "machine": processor(), "date": time.strftime("%F"),
        "command": " ".join(["python", "benchmarks/engines.py", *sys.argv[1:]]), "results": rows,
    }  # fmt: skip
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["machine"]))
    print(table(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[5], int(sys.argv[3]), int(sys.argv[4]))
    elif sys.argv[1:2] == ["--alone"]:
        alone(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
