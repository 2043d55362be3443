"""What `googlenet predict` costs per image, beside its network and its decoding alone.

    python benchmarks/predict.py MODEL IMAGES DATA [--threads 2] [--repeats 3] [--before SRC]

CPU time of whole commands; the start is taken out by predicting a tenth of the images as well.
IMAGES is a folder of images, DATA the same images with labels, for `bench input`.  `--before`
names the folder `src` of another checkout, which is measured in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parents[1] / "src"


def run(source: Path, *arguments: str) -> tuple[float, str]:
    """CPU seconds of one googlenet command, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "googlenet", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, done.stdout


def candidates(before: Path | None) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
    if before:
        yield "before, fp32", before, ()
    yield "predict, fp32", HERE, ()
    yield "predict, bf16", HERE, ("--precision", "bf16")


def measure(arguments: argparse.Namespace, out: Path) -> dict[str, list[float]]:
    """CPU milliseconds per image: candidate -> one value per repetition."""
    images = sorted(path for path in Path(arguments.images).iterdir() if path.is_file())
    few = out / "few"
    few.mkdir()
    for path in images[::10]:
        (few / path.name).symlink_to(path.resolve())
    extra = len(images) - len(images[::10])
    found: dict[str, list[float]] = {}
    for _ in range(arguments.repeats):
        for name, source, options in candidates(arguments.before):
            common = ("--threads", str(arguments.threads), "--out", str(out / "rows.csv"), *options)
            all_of_them = run(source, "predict", arguments.model, arguments.images, *common)[0]
            start = run(source, "predict", arguments.model, str(few), *common)[0]
            found.setdefault(name, []).append(1000 * (all_of_them - start) / extra)
    return found


def parts(arguments: argparse.Namespace) -> dict[str, float]:
    """CPU milliseconds per image of the network alone and of decoding alone."""
    threads = ("--threads", str(arguments.threads))
    inference = run(HERE, "bench", "inference", "--clock", "cpu", "--json", *threads)[1]
    reading = run(HERE, "bench", "input", "--data", arguments.data, "--images", "200", "--json")[1]
    rows = json.loads(inference)["results"] + json.loads(reading)["results"]
    names = (*(f"googlenet {arguments.variant}, {p}" for p in ("fp32", "bf16")),)
    names += ("googlenet turbo, float batches",)
    return {row["name"]: 1000 / row["median"] for row in rows if row["name"] in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("images", help="a folder of images")
    parser.add_argument("data", help="the same images with their labels")
    parser.add_argument(
        "--variant", default="paper", help="the row of `bench inference` to compare"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--before", type=Path, help="the folder src of another checkout")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(arguments, Path(folder))
    for name, values in found.items():
        spread = f"{min(values):.1f}–{max(values):.1f}"
        print(f"{name}: {median(values):.1f} CPU-ms per image ({spread})")
    for name, value in parts(arguments).items():
        print(f"{name}: {value:.2f} CPU-ms per image")


if __name__ == "__main__":
    main()
