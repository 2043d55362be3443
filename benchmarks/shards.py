"""Memory and time that each of several processes takes to read its share of an epoch from shards.

    python benchmarks/shards.py --shards 1 4 16 --processes 2

Makes data of so many tar shards, starts the processes on each, and has them read an epoch as
training does: open the data, draw the order, read, decode and crop the images of their shares.
Each says how long that took and the most memory that it ever had.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 10


def make(folder: Path, shards: int, photos: int, side: int) -> None:
    """Shards of noisy gradients, which take about as many bytes as images of that side."""
    rng = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(side), np.arange(side))[..., None] // 3
    contents = []
    for _ in range(32):
        noise = rng.integers(0, 40, (side, side, 3))
        stream = io.BytesIO()
        Image.fromarray(((ramp + noise) % 256).astype(np.uint8)).save(stream, "JPEG", quality=85)
        contents.append(stream.getvalue())
    for shard in range(shards):
        with tarfile.open(folder / f"train-{shard:06}.tar", "w") as tar:
            for n in range(photos):
                label = str((shard * photos + n) % CLASSES).encode()
                for kind, content in (("jpg", contents[n % len(contents)]), ("cls", label)):
                    member = tarfile.TarInfo(f"{shard * photos + n:08}.{kind}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def read(folder: str) -> None:
    """What one of the processes does."""
    from googlenet import parallel
    from googlenet.images.preprocess import Preprocessing
    from googlenet.runtime.device import ComputeDevice
    from googlenet.training.recipes import MODERN
    from googlenet.training.settings import Settings
    from googlenet.training.setup import (
        build_trainer,
        build_training_network,
        load_training_data,
    )

    with parallel.process_group():
        settings = Settings(folder, MODERN, Preprocessing(), width=0.05, cache="none")
        data = load_training_data(settings)
        network = build_training_network(settings, len(data.classes))
        trainer = build_trainer(settings, data, ComputeDevice(), network, ())
        began, computing = time.perf_counter(), time.process_time()
        photos = sum(len(batch) for batch in trainer.batches(0))
        found = {
            "photos": photos,
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - computing,
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        said = parallel.all_gather(found)
        print(json.dumps(said))


def measure(folder: str, processes: int) -> list[dict[str, float]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    common |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    started = [
        subprocess.Popen(
            [sys.executable, __file__, "--read", folder],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    said = [process.communicate()[0] for process in started]
    return list(json.loads(said[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--photos", type=int, default=256, help="in a shard")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--read", metavar="FOLDER", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        read(args.read)
        return
    print("shards  process  photos  peak MB  ms of CPU a photo  ms a photo")
    for shards in args.shards:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), shards, args.photos, args.side)
            for rank, found in enumerate(measure(folder, args.processes)):
                each = [1000 * found[k] / found["photos"] for k in ("cpu_seconds", "seconds")]
                print(
                    f"{shards:6} {rank:8} {found['photos']:7} {found['peak'] / 1e6:8.0f}"
                    f" {each[0]:18.2f} {each[1]:11.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
