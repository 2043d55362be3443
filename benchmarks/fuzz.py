"""Coverage-guided fuzzing of the readers of other people's bytes, with atheris.

python benchmarks/fuzz.py TARGET FOLDER [--seconds 600]

TARGET: one of TARGETS.  FOLDER keeps the inputs that reached new code, for the next time, and one
that ended the program.  Every input must be refused in a sentence that names the file, or read:
any other exception, 20 seconds or 4 GiB end the program with the exit code 77 or 70.
Needs `pip install atheris`, which is in no extra.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import atheris
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

with atheris.instrument_imports(include=["googlenet"]):
    from googlenet.data.load_data import load_data  # noqa: F401 - instrumented
    from googlenet.data.shards.tar import read_shard
    from googlenet.images.decode import EXIF_TRANSPOSE
    from googlenet.images.jpeg_header import ORIENTATION, parse_baseline_jpeg
    from googlenet.inference.header import parse_header
    from googlenet.load import load_classifier  # noqa: F401 - instrumented
    from googlenet.runtime.errors import GoogLeNetError
    from googlenet.training.checkpoint import Progress  # noqa: F401 - instrumented
    from googlenet.weights.detect import read_weight_file

from tests.dirty_photos import samples_of  # noqa: E402
from tests.fixtures import tiny_classifier  # noqa: E402
from tests.fuzzed import kind_named  # noqa: E402
from tests.weights.test_detect import FILES  # noqa: E402

LIMITS = ("-timeout=20", "-rss_limit_mb=4096", "-print_final_stats=1", "-verbosity=0")
Target = tuple[list[bytes], Callable[[bytes], Any]]  # inputs to begin with, and what reads them


def jpeg_header(folder: Path) -> Target:
    """Never raises, and says what Pillow says; None is for whatever only Pillow can say."""

    def read(data: bytes) -> None:
        found = parse_baseline_jpeg(data)
        with suppress(OSError, SyntaxError, ValueError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(BytesIO(data), formats=["JPEG"])
            orientation = image.getexif().get(ORIENTATION, 1)
            turned = EXIF_TRANSPOSE.get(orientation)
            assert found in (None, (*image.size, turned)), f"{found}: {image.size}, {orientation}"

    return samples_of("JPEG"), read


def model_header(folder: Path) -> Target:
    path, place = folder / "m.safetensors", str(folder)
    tiny_classifier(heads=True).save(path)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    (text,) = re.findall(rb'"googlenet":("(?:[^"\\]|\\.)*")', path.read_bytes()[8 : 8 + length])
    return [json.loads(text).encode()], lambda data: parse_header(place, data.decode("latin-1"))


def weights(name: str) -> Callable[[Path], Target]:
    def target(folder: Path) -> Target:
        return [FILES[name][1]], lambda data: read_weight_file(folder, memoryview(data))

    return target


def file_kind(name: str) -> Callable[[Path], Target]:
    """A file of `tests.fuzzed`, read from a disk."""

    def target(folder: Path) -> Target:
        kind = kind_named(name, folder)

        def read(data: bytes) -> Any:
            (folder / kind.name).write_bytes(data)
            return (read_shard if name == "shard" else kind.read)(folder / kind.name)

        return [kind.content], read

    return target


TARGETS: dict[str, Callable[[Path], Target]] = {
    "jpeg-header": jpeg_header,
    "model-header": model_header,
    **{name: weights(name) for name in FILES},
    **{name: file_kind(name) for name in ("settings", "table", "index", "places", "shard")},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, default=600)
    arguments = parser.parse_args()
    corpus = arguments.folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir="/dev/shm") as place:
        seeds, read = TARGETS[arguments.target](Path(place))
        for number, seed in enumerate(seeds):
            (corpus / f"seed-{number}").write_bytes(seed)

        def once(data: bytes) -> None:
            try:
                read(data)
            except GoogLeNetError as error:
                said = str(error)
                assert place in said or "labels.csv" in said, f"does not name the file: {said}"
                assert "\n" not in said, said

        options = [f"-max_total_time={arguments.seconds}", f"-artifact_prefix={arguments.folder}/"]
        atheris.Setup([sys.argv[0], *LIMITS, *options, str(corpus)], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
