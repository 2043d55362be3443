"""Load test of `googlenet serve`: results are checked, one request in five is malformed or hostile.

python benchmarks/serving.py MODEL IMAGES [--minutes 10] [--clients 8] [--bad 0.2]
    [--requests N] [--out FILE] [--serve=OPTIONS]

Starts the service in its own process and sends it the images of a folder.  Every prediction is
compared with that of `Classifier.predict`, every error with the expected status.  Prints a JSON
object: throughput, latencies, counts, and the memory of the service over time.  Exit code 1 if
anything was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import shlex
import signal
import struct
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from statistics import median
from time import perf_counter

import httpx
import numpy as np
from PIL import Image

from googlenet import Classifier
from googlenet.data.folder import list_images
from googlenet.runtime.device import ComputeDevice

READ_TIMEOUT = 5  # of the service, so that slow clients are dropped during the test
TOLERANCE = 1e-4  # of probabilities: batches add in another order
MAX_SLOW_CLIENTS = 16  # at a time


@dataclass
class Load:
    """The requests of a test, and their results."""

    url: httpx.URL
    photos: list[bytes]
    expected: list[dict[str, float]]  # per image: label to probability, of the top 5
    bad: float
    seed: int
    until: float
    requests: int
    has_cam: bool  # an engine without feature maps rejects cam=1
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # of good requests
    answered: int = 0
    sent: int = 0
    slow: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def over(self) -> bool:
        return perf_counter() > self.until or (self.requests > 0 and self.sent >= self.requests)

    def count(self, kind: str, status: int | str, right: set[int] | None = None) -> None:
        self.statuses[f"{kind}: {status}"] += 1
        if right is not None and status not in right:
            self.wrong.append(f"{kind} got {status}")


# --- good requests


async def good(load: Load, client: httpx.AsyncClient, rng: random.Random) -> None:
    """One image, or a form of several, checked against the classifier's own predictions."""
    chosen = [rng.randrange(len(load.photos)) for _ in range(rng.choice((1, 1, 1, 1, 3)))]
    params = {"top": 5, "cam": rng.randrange(2) * load.has_cam}
    began = perf_counter()
    if len(chosen) == 1:
        body = load.photos[chosen[0]]
        headers = {"content-type": "image/jpeg"}
        answer = await client.post("/predict", content=body, params=params, headers=headers)
    else:
        files = [("photo", ("x.jpg", load.photos[n])) for n in chosen]
        answer = await client.post("/predict", files=files, params=params)
    kind = "one photo" if len(chosen) == 1 else "three photos"
    # 503 and 504: the machine was overloaded, and the service said so.
    load.count(kind, answer.status_code, {200, 503, 504})
    if answer.status_code != 200:
        return
    load.seconds.append(perf_counter() - began)
    for n, result in zip(chosen, answer.json()["results"], strict=True):
        load.answered += 1
        given = {entry["label"]: entry["probability"] for entry in result["top"]}
        if not agree(given, load.expected[n]):
            load.wrong.append(f"photo {n}: {given} instead of {load.expected[n]}")


def agree(given: dict[str, float], expected: dict[str, float]) -> bool:
    """The same classes with nearly the same probabilities; ties may swap."""
    least = min(expected.values())
    return len(given) == len(expected) and all(
        abs(share - expected.get(label, least)) < TOLERANCE for label, share in given.items()
    )


# --- bad requests that get a response


def png(width: int, height: int, content: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", content)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def scans(count: int) -> bytes:
    """A progressive JPEG with its last scan repeated: a minute of work for ten kilobytes."""
    photo = encoded(Image.new("RGB", (4000, 4000), (90, 80, 70)), "JPEG", progressive=True)
    scan = photo[photo.rfind(b"\xff\xda") : -2]
    return photo[:-2] + scan * count + photo[-2:]


Case = tuple[bytes, dict[str, str], str, set[int]]  # body, headers, query, right statuses
Cases = dict[str, Case]


def bodies(photo: bytes) -> Cases:
    """Complete requests that are malformed, huge or hostile, by name."""
    jpeg = {"content-type": "image/jpeg"}
    form = {"content-type": "multipart/form-data; boundary=x"}
    part = b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n'
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return {
        "truncated JPEG": (photo[: len(photo) // 2], jpeg, "", {422}),
        "JPEG of its first bytes": (photo[:30], jpeg, "", {415, 422}),
        "JPEG of 2,000 scans": (scans(2000), jpeg, "", {422}),
        "PNG that declares 3.6 gigapixels": (png(60_000, 60_000, b""), {}, "", {413}),
        "PNG that ends early": (png(3000, 3000, zlib.compress(bytes(9999))), {}, "", {422}),
        "PNG of 48 megapixels": (encoded(Image.new("L", (8000, 6000)), "PNG"), {}, "", {200}),
        "animation of 200 frames": (
            encoded(
                Image.new("L", (300, 300)), "GIF", save_all=True,
                append_images=[Image.new("L", (300, 300), n) for n in range(1, 200)],
            ),
            {}, "", {200},
        ),
        "TIFF of floats": (encoded(Image.new("F", (50, 50)), "TIFF"), {}, "", {422}),
        "PostScript": (encoded(Image.fromarray(noise), "EPS"), {}, "", {415}),
        "text": (b"no photo at all" * 100, jpeg, "", {415}),
        "nothing": (b"", jpeg, "", {400}),
        "JSON": (b"{}", {"content-type": "application/json"}, "", {415}),
        "compressed body": (b"", jpeg | {"content-encoding": "gzip"}, "", {415}),
        "40 MiB": (bytes(40 * 2**20), jpeg, "", {413}),
        "form of 100 photos": (part + (b"x\r\n" + part) * 99 + b"x\r\n--x--\r\n", form, "", {413}),
        "form without an end": (part + photo, form, "", {400}),
        "form of rubbish": (os.urandom(5000), form, "", {400}),
        "form without a boundary": (photo, {"content-type": "multipart/form-data"}, "", {400}),
        "top=0": (photo, jpeg, "?top=0", {400}),
        "unknown parameter": (photo, jpeg, "?k=5", {400}),
    }  # fmt: skip


async def send_body(
    load: Load, client: httpx.AsyncClient, name: str,
    case: Case,
) -> None:  # fmt: skip
    body, headers, query, right = case
    answer = await client.post(f"/predict{query}", content=body, headers=headers)
    load.count(name, answer.status_code, right | {503, 504})
    if answer.status_code != 200 and set(answer.json()) - {"results"} != {"error"}:
        load.wrong.append(f"{name}: {answer.text[:100]}")


# --- bad requests on their own connection


async def dial(load: Load) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(load.url.host, load.url.port)


HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\n"


async def raw(load: Load, name: str, sent: bytes, right: set[int]) -> None:
    """Send bytes, read the status of the response."""
    reader, writer = await dial(load)
    try:
        writer.write(sent)
        line = await reader.readline()
        load.count(name, int(line.split()[1]) if line else "closed", right)
    finally:
        writer.transport.abort()


async def leave(load: Load, name: str, sent: bytes) -> None:
    """Send bytes and close the connection."""
    _, writer = await dial(load)
    writer.write(sent)
    await asyncio.sleep(0.02)
    writer.transport.abort()
    load.count(name, "left")


async def drip(load: Load, name: str, start: bytes) -> None:
    """Send one byte every half second until the service gives up."""
    reader, writer = await dial(load)
    try:
        writer.write(start)
        reading = asyncio.ensure_future(reader.readline())
        while not reading.done():
            await asyncio.wait({reading}, timeout=0.5)
            if not reading.done():
                writer.write(b"a")
        line = reading.result()
        load.count(name, int(line.split()[1]) if line else "closed", {408, 503})
    finally:
        writer.transport.abort()


async def say_nothing(load: Load, name: str) -> None:
    reader, writer = await dial(load)
    try:
        load.count(name, ((await reader.readline()) and "answered") or "closed")
    finally:
        writer.transport.abort()


Connection = Callable[[Load], Awaitable[None]]


def connections(photo: bytes) -> dict[str, tuple[bool, Connection]]:
    """Name: whether it takes long, and what it does."""
    length = f"Content-Length: {len(photo)}\r\n\r\n".encode()
    half = HEAD + length + photo[: len(photo) // 2]
    slow_head, slow_body = HEAD + b"X-Slow: ", HEAD + length + photo[:99]
    return {
        "half a body and gone": (False, lambda load: leave(load, "half a body and gone", half)),
        "gone before the answer": (
            False, lambda load: leave(load, "gone before the answer", HEAD + length + photo),
        ),
        "slow headers": (True, lambda load: drip(load, "slow headers", slow_head)),
        "slow body": (True, lambda load: drip(load, "slow body", slow_body)),
        "silent connection": (True, lambda load: say_nothing(load, "silent connection")),
        "headers of 100 kB": (
            False, lambda load: raw(load, "headers of 100 kB", HEAD + b"A: b\r\n" * 16_000, {431}),
        ),
        "no HTTP": (False, lambda load: raw(load, "no HTTP", b"\x16\x03\x01\r\n\r\n", {400})),
        "two lengths": (
            False,
            lambda load: raw(
                load, "two lengths", HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", {400}
            ),
        ),
    }  # fmt: skip


# --- the load


async def client_loop(load: Load, number: int, cases: Cases) -> None:
    rng = random.Random(f"{load.seed}/{number}")
    wires = connections(load.photos[0])
    # Do not reuse a connection that the service is about to close as idle.
    limits = httpx.Limits(keepalive_expiry=READ_TIMEOUT / 2)
    async with httpx.AsyncClient(
        base_url=load.url, timeout=120, trust_env=False, limits=limits
    ) as client:
        while not load.over:
            load.sent += 1
            await asyncio.sleep(0)
            if rng.random() >= load.bad:
                try:
                    await good(load, client, rng)
                except httpx.TransportError as error:
                    load.count("good request", type(error).__name__, set())
                continue
            name = rng.choice([*cases, *wires])
            try:
                if name in cases:
                    await send_body(load, client, name, cases[name])
                elif not wires[name][0]:
                    await wires[name][1](load)
                elif len(load.slow) < MAX_SLOW_CLIENTS:
                    task = asyncio.ensure_future(wires[name][1](load))
                    load.slow.add(task)  # type: ignore[arg-type]
                    task.add_done_callback(load.slow.discard)  # type: ignore[arg-type]
            except (httpx.TransportError, OSError) as error:
                load.count(name, type(error).__name__)  # closed while we were sending


async def watch(load: Load, pid: int, samples: list[dict[str, float]]) -> None:
    """The service's memory (MiB) and CPU time every two seconds."""
    began = perf_counter()
    while not load.over:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        found = {
            key: int(value) / 1024 for key, value in re.findall(r"(Vm\w+):\s+(\d+) kB", status)
        }
        samples.append(
            {
                "second": round(perf_counter() - began, 1),
                "sent": load.sent,
                "rss": round(found["VmRSS"], 1),
                "peak": round(found["VmHWM"], 1),
                "cpu": cpu_seconds(pid),
            }
        )
        await asyncio.sleep(2)


def cpu_seconds(pid: int) -> float:
    values = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


async def run(load: Load, clients: int, pid: int, cases: Cases) -> list[dict[str, float]]:
    samples: list[dict[str, float]] = []
    watching = asyncio.ensure_future(watch(load, pid, samples))
    await asyncio.gather(*(client_loop(load, number, cases) for number in range(clients)))
    await watching
    if load.slow:
        await asyncio.wait(load.slow)
    return samples


def report(
    load: Load, samples: list[dict[str, float]], arguments: argparse.Namespace
) -> dict[str, object]:
    wall = samples[-1]["second"] - samples[0]["second"]
    cpu = samples[-1]["cpu"] - samples[0]["cpu"]
    ordered = sorted(load.seconds)

    def percentile(share: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)

    def memory(part: int) -> dict[str, float]:
        """Over a fifth of the run, after the first 5 %."""
        settled = [sample["rss"] for sample in samples[len(samples) // 20 :]]
        begin, end = (at * len(settled) // 5 for at in (part, part + 1))
        values = settled[begin:end] or settled[-1:]  # of a short run
        return {"least": min(values), "median": round(median(values), 1), "most": max(values)}

    return {
        "model": Path(arguments.model).name,
        "minutes": round(wall / 60, 2),
        "clients": arguments.clients,
        "bad": load.bad,
        "service": arguments.serve,
        "environment": {k: v for k, v in os.environ.items() if k.startswith(("MALLOC", "OMP"))},
        "requests": load.sent,
        "photos answered": load.answered,
        "photos a second": round(load.answered / max(wall, 1e-9), 2),
        "photos a second of its processor time": round(load.answered / cpu, 2),
        "milliseconds": {f"p{p}": percentile(p / 100) for p in (50, 90, 99)},
        "memory in MiB": {
            "first fifth": memory(0),
            "middle": memory(2),
            "last fifth": memory(4),
            "peak": samples[-1]["peak"],
        },
        "wrong": load.wrong[:20],
        "wrong in all": len(load.wrong),
        "statuses": dict(sorted(load.statuses.items())),
        "samples": samples[:: max(1, len(samples) // 60)],
        "machine": ComputeDevice.detect("fp32").describe(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("images", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--requests", type=int, default=0, help="stop after N requests (0: never)")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--bad", type=float, default=0.2)
    parser.add_argument("--count", type=int, default=64, help="number of images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", default="", help="options of serve: '--batch 1'")
    arguments = parser.parse_args()
    paths = list_images(arguments.images)
    photos = [path.read_bytes() for path in paths[:: max(1, len(paths) // arguments.count)]]
    predictions = Classifier.load(arguments.model).predict(photos)
    expected = [dict(prediction.top) for prediction in predictions]
    cases = bodies(photos[0])
    command = [
        *(sys.executable, "-m", "googlenet", "serve", arguments.model, "--port", "0"),
        *("--read-timeout", str(READ_TIMEOUT), *shlex.split(arguments.serve)),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr
        found = re.search(r" on (http://\S+)$", service.stderr.readline())
        assert found
        # Its log is read, or the service would block, and searched for errors.
        lines: list[str] = []
        url, load_until = httpx.URL(found[1]), perf_counter() + 60 * arguments.minutes
        load = Load(
            url, photos, expected, arguments.bad, arguments.seed, load_until, arguments.requests,
            bool(httpx.get(url.join("/model"), timeout=60).json()["cam"]),
        )  # fmt: skip

        async def loaded() -> list[dict[str, float]]:
            reading = asyncio.create_task(asyncio.to_thread(read_faults, service, lines))
            try:
                return await run(load, arguments.clients, service.pid, cases)
            finally:
                service.send_signal(signal.SIGTERM)
                await reading

        samples = asyncio.run(loaded())
    if service.returncode:
        load.wrong.append(f"the service ended with {service.returncode}")
    load.wrong.extend(lines)
    result = report(load, samples, arguments)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if load.wrong else 0


def read_faults(service: subprocess.Popen[str], lines: list[str]) -> None:
    """Collect the lines of the service's log that are not INFO."""
    assert service.stderr
    for line in service.stderr:
        if " INFO " not in line:
            lines.append(line)


if __name__ == "__main__":
    raise SystemExit(main())
