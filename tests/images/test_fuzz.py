"""The decoder meets files that nobody would write: an image or an ImageError, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from googlenet.images.decode import ImageError, decode, read_header
from tests.dirty_photos import FUZZED, is_right_answer, mutated, samples_of

REPOSITORY = Path(__file__).resolve().parents[2]


def outcome(data: bytes) -> str:
    """ "image" or "error"; any exception but an ImageError of one printable line is a failure."""
    try:
        photo = decode(data)
    except ImageError as error:
        said = str(error)
    else:
        assert is_right_answer(photo, data)
        assert read_header(data).width in photo.size
        return "photo"
    assert said.isprintable()
    assert said.startswith(f"image of {len(data)} bytes: ")
    return "error"


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    outcome(data)


@given(
    st.sampled_from(
        [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"RIFF\x40\0\0\0WEBPVP8L", b"BM",
         b"GIF89a", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"P6 9 9 255\n", b"P3 9 9 255\n",
         b"\0\0\0\x1cftypavif\0\0\0\0"]
    ),
    st.binary(max_size=300),
)  # fmt: skip
def test_any_bytes_after_a_format_s_first(begin: bytes, rest: bytes) -> None:
    outcome(begin + rest)


@given(st.sampled_from(FUZZED), st.integers(0, 2**32), st.data())
def test_mutated_images(kind: str, seed: int, data: st.DataObject) -> None:
    samples = samples_of(kind)
    if samples:  # none of AVIF, where Pillow has not learned it
        whole = data.draw(st.sampled_from(samples))
        outcome(mutated(whole, np.random.default_rng(seed)))


# A child of its own, so that what it may take can be limited; it prints how many of each outcome.
FUZZ = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
import numpy as np
from tests.dirty_photos import FUZZED, mutated, samples_of
from tests.images.test_fuzz import outcome
from tests.memory import peak_memory
counts = {}
valid = {kind: samples_of(kind) for kind in FUZZED}
for number in range(int(sys.argv[1])):
    rng = np.random.default_rng((2014, number))
    kind = FUZZED[number % len(FUZZED)]
    if valid[kind]:
        whole = valid[kind][int(rng.integers(len(valid[kind])))]
        key = outcome(mutated(whole, rng))
        counts[key] = counts.get(key, 0) + 1
print(counts.get("photo", 0), counts.get("error", 0), round(peak_memory()))
"""


@pytest.mark.slow
def test_thousands_of_mutated_images_in_limited_memory() -> None:
    """At most 3 GiB of address space, and 1 GiB of memory in use, at any time."""
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, "8000"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    photos, errors, peak = map(int, done.stdout.split())
    assert photos > 500
    assert errors > 3000
    assert peak < 1024


BOMBS = """
from tests.dirty_photos import broken
from tests.memory import forget_peak, peak_memory
from googlenet.images.decode import ImageError, decode
broken()  # makes the files
before = forget_peak()
for name in ("enormous.png", "enormous.gif", "enormous.bmp", "large.png"):
    try:
        decode(broken()[name][0])
    except ImageError:
        print(round(peak_memory() - before))
"""


def test_bombs_cost_no_memory() -> None:
    """They declare 90 to 4,295 million pixels; refusing each takes less than 16 MiB."""
    done = subprocess.run(
        [sys.executable, "-c", BOMBS], cwd=REPOSITORY, capture_output=True, text=True, timeout=300,
        check=True,
    )  # fmt: skip
    grown = [int(line) for line in done.stdout.split()]
    assert len(grown) == 4
    assert max(grown) < 16
