"""Packed data at a URL: shards are copied when an image of them is asked for, and checked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from googlenet.data.labels import DataError
from googlenet.data.load_data import load_data
from googlenet.data.shards.pack import Packer, Packing
from googlenet.data.shuffle import WINDOW
from googlenet.images.decode import decode
from googlenet.runtime.errors import GoogLeNetError
from tests.fixtures import photo_folder, pixels
from tests.training.small_runs import nothing, same_bits, state, trainer


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images in shards of about two."""
    folder = tmp_path_factory.mktemp("store")
    photo_folder(folder / "photos", {"train/red": 5, "train/blue": 5, "val/red": 1, "val/blue": 1})
    data = load_data(str(folder / "photos"))
    Packer(data, folder / "photos", folder / "out", Packing(None, shard_bytes=12_000)).pack()
    return folder / "out"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GOOGLENET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "shards"


@pytest.fixture
def memory(packed: Path) -> Iterator[str]:
    """The packed folder in fsspec's own memory, which stands for an object store."""
    system = fsspec.filesystem("memory")
    system.put(str(packed), "/store", recursive=True)
    yield "memory://store"
    system.rm("/store", recursive=True)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Not on the terminal of the tests."""


@pytest.fixture
def http(packed: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(packed)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("protocol", ["memory", "http"])
def test_images_at_a_url_are_those_of_the_folder(
    packed: Path, cache: Path, protocol: str, request: pytest.FixtureRequest
) -> None:
    there, here = load_data(request.getfixturevalue(protocol) + "/"), load_data(str(packed))
    assert there.order_hash() == here.order_hash()
    assert there.fingerprint() == here.fingerprint()
    assert not cache.exists()  # nothing has been asked for
    assert (pixels(decode(there.val.sources[0])) == pixels(decode(here.val.sources[0]))).all()
    assert len(list(cache.glob("*.tar"))) == 1
    for ours, theirs in zip(there.all.sources, here.all.sources, strict=True):
        assert (pixels(decode(ours)) == pixels(decode(theirs))).all()
    assert len(list(cache.glob("*.tar"))) == len(list(packed.glob("*.tar")))


def test_training_gives_the_bits_of_the_folder_and_copies_a_few_shards_at_a_time(
    packed: Path, memory: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLENET_SHARD_CACHE_BYTES", "40000")  # three shards
    there, here = (
        trainer(data=load_data(name).train, shuffle="blocks") for name in (memory, str(packed))
    )
    there.train_epoch(nothing)
    here.train_epoch(nothing)
    assert same_bits(state(there.network), state(here.network))
    assert sum(path.stat().st_size for path in cache.glob("*.tar")) <= 40_000
    assert len(list(packed.glob("train-*.tar"))) < WINDOW


def test_copy_that_is_not_the_shard_is_refused(memory: str, cache: Path) -> None:
    system = fsspec.filesystem("memory")
    content = system.cat_file("/store/val-000000.tar")
    system.pipe_file("/store/val-000000.tar", content[:-1] + b"x")
    source = load_data(memory).val.sources[0]
    with pytest.raises(GoogLeNetError, match=r"val-000000.tar: is not the shard that the index"):
        decode(source)
    assert not list(cache.glob("*.tar"))
    system.rm_file("/store/val-000000.tar")
    with pytest.raises(GoogLeNetError, match=r"memory://store/val-000000.tar: cannot be read"):
        decode(source)


def test_places_that_are_missing_cannot_be_made_again_from_afar(memory: str) -> None:
    fsspec.filesystem("memory").rm_file("/store/index.npz")
    with pytest.raises(DataError, match=r"must have its index.npz, has none"):
        load_data(memory)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://nothing", r"memory://nothing/index.json: cannot be read"),
        ("nonsense://x", r"nonsense://x/index.json: cannot be read .*nonsense"),
    ],
)
def test_url_of_nothing(url: str, message: str) -> None:
    with pytest.raises(GoogLeNetError, match=message):
        load_data(url)
