"""Images inside larger files: any number of threads, any number of files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from googlenet.images import archived
from googlenet.images.archived import OPEN_FILES, ArchivedImage, LocalShard, descriptor
from googlenet.images.decode import ImageError, decode
from googlenet.runtime.errors import GoogLeNetError
from tests.fixtures import encoded, noise


def test_bytes_and_name(tmp_path: Path) -> None:
    photo = encoded(noise(9, 7))
    (tmp_path / "a.tar").write_bytes(b"before" + photo + b"after")
    source = ArchivedImage(LocalShard(tmp_path / "a.tar"), 6, len(photo), "cats/1.png")
    assert source.read() == photo
    assert decode(source).size == (9, 7)
    assert str(source) == str(tmp_path / "a.tar/cats/1.png")


def test_image_that_is_none_is_named_and_shard_that_is_none_ends_the_work(tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    path.write_bytes(b"no photo at all")
    with pytest.raises(ImageError, match=r"^.*b.tar/x.jpg: cannot be read as an image"):
        decode(ArchivedImage(LocalShard(path), 0, 15, "x.jpg"))
    for shard, message in (
        (path, r"b.tar: ends before its image x.jpg does"),
        (tmp_path / "none.tar", r"none.tar: cannot be read \(No such file or directory\)"),
    ):
        with pytest.raises(GoogLeNetError, match=message) as raised:
            decode(ArchivedImage(LocalShard(shard), 0, 16, "x.jpg"))
        assert not isinstance(raised.value, ImageError)


def test_file_stays_open_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two threads that open a shard at once, one's file is not the one that is kept."""
    (tmp_path / "a.tar").write_bytes(b"content")
    monkeypatch.setattr(archived, "descriptor", descriptor.__wrapped__)  # which keeps none
    assert LocalShard(tmp_path / "a.tar").read(0, 7) == b"content"


def test_threads_read_more_shards_than_may_be_open(tmp_path: Path) -> None:
    descriptor.cache_clear()
    shards = []
    for number in range(OPEN_FILES + 40):
        (tmp_path / f"{number}.tar").write_bytes(number.to_bytes(2) * 50)
        shards.append(LocalShard(tmp_path / f"{number}.tar"))

    def right(at: int) -> bool:
        number = at * 7 % len(shards)
        return shards[number].read(10, 4) == number.to_bytes(2) * 2

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(right, range(2000)))
    assert len(list(Path("/proc/self/fd").iterdir())) < OPEN_FILES + 40
    descriptor.cache_clear()
