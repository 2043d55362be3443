"""Packing: the same data set out of shards as out of its folder, whatever happens on the way."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from filelock import FileLock
from PIL import Image

from googlenet.data.dataset import DataSet, Samples
from googlenet.data.labels import Class, DataError
from googlenet.data.load_data import load_data
from googlenet.data.shards.pack import Packer, Packing
from googlenet.images.archived import ArchivedImage
from googlenet.images.decode import decode
from googlenet.runtime.errors import GoogLeNetError, UsageError
from tests.fixtures import encoded, noise, photo_folder, pixels
from tests.training.small_runs import nothing, same_bits, state, trainer

ORIGINAL = Packing(side=None)


def packer(data: Path, out: Path, packing: Packing = ORIGINAL, **options: Any) -> Packer:
    return Packer(load_data(str(data), None), data, out, packing, **options)


def pack(data: Path, out: Path, packing: Packing = ORIGINAL) -> DataSet:
    packer(data, out, packing).pack()
    return load_data(str(out))


def content(samples: Samples, index: int) -> bytes:
    source = samples.sources[index]
    assert isinstance(source, Path | ArchivedImage)
    return source.read() if isinstance(source, ArchivedImage) else source.read_bytes()


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tar"))}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven images with a split, among them JPEGs, a turned one and one with a name of bytes."""
    root = photo_folder(
        tmp_path_factory.mktemp("photos"), {"train/red": 4, "train/blue": 3, "val/red": 2}
    )
    (root / "train/red/large.JPEG").write_bytes(encoded(noise(90, 60), "JPEG", quality=95))
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / "val/blue").mkdir()
    (root / "val/blue/a.b.jpeg").write_bytes(encoded(noise(70, 50), "JPEG", exif=exif))
    return root


@pytest.mark.parametrize("classes", [None, ("green", "red", "blue")])
def test_shards_hold_the_folder_s_data_set(
    photos: Path, tmp_path: Path, classes: tuple[str, ...] | None
) -> None:
    chosen = tuple(Class(name, name.upper()) for name in classes) if classes else None
    folder = load_data(str(photos), 0, chosen)
    pack(photos, tmp_path / "out")
    packed = load_data(str(tmp_path / "out"), 0, chosen)
    assert packed.classes == folder.classes
    assert packed.has_split
    assert packed.fingerprint() == folder.fingerprint()
    assert packed.order_hash() == folder.order_hash()
    for ours, theirs in ((packed.train, folder.train), (packed.val, folder.val)):
        assert ours.labels == theirs.labels
        assert [content(ours, i) for i in range(len(ours))] == [
            content(theirs, i) for i in range(len(theirs))
        ]
    assert packed.val.name(0) == str(tmp_path / "out/val-000000.tar/val/blue/a.b.jpeg")


def test_images_that_were_not_divided_are_divided_when_they_are_read(tmp_path: Path) -> None:
    root = photo_folder(tmp_path / "photos", {"red": 6, "blue": 5})
    packed = pack(root, tmp_path / "out")
    for seed in range(3):
        folder, packed = load_data(str(root), seed), load_data(str(tmp_path / "out"), seed)
        assert not packed.has_split
        assert packed.order_hash() == folder.order_hash()


def test_training_from_shards_gives_the_bits_of_training_from_the_folder(
    photos: Path, tmp_path: Path
) -> None:
    one, other = (
        trainer(data=data.train)
        for data in (load_data(str(photos)), pack(photos, tmp_path / "out"))
    )
    one.train_epoch(nothing)
    other.train_epoch(nothing)
    assert same_bits(state(one.network), state(other.network))


def test_other_programs_read_the_shards(photos: Path, tmp_path: Path) -> None:
    packed = pack(photos, tmp_path / "out")
    expected = {
        f"{i:06d}": (content(packed.train, i), str(label).encode())
        for i, label in enumerate(packed.train.labels)
    }
    path = tmp_path / "out" / "train-000000.tar"
    found = {}
    with path.open("rb") as file:
        members = webdataset.tariterators.tar_file_expander([{"url": "", "stream": file}])
        for sample in webdataset.tariterators.group_by_keys(members):
            (photo,) = (v for k, v in sample.items() if k in ("jpg", "png"))
            found[sample["__key__"]] = (photo, sample["cls"])
    assert found == expected
    with tarfile.open(path) as tar:
        assert {Path(name).stem for name in tar.getnames()} == set(expected)
        assert {Path(name).suffix for name in tar.getnames()} == {".jpg", ".png", ".cls"}


def test_large_images_are_shrunk_small_ones_kept(photos: Path, tmp_path: Path) -> None:
    folder, packed = load_data(str(photos)), pack(photos, tmp_path / "out", Packing(side=45))
    for there, here in ((folder.train, packed.train), (folder.val, packed.val)):
        for i, source in enumerate(there.sources):
            before = decode(source)
            if min(before.size) <= 45:
                assert content(here, i) == content(there, i)
                continue
            after = decode(here.sources[i])
            assert min(after.size) == 45
            assert max(after.size) == round(45 * max(before.size) / min(before.size))
            close = before.resize(after.size, Image.Resampling.BICUBIC)
            assert np.abs(pixels(after).astype(int) - pixels(close)).mean() < 30  # noise, as JPEG
    assert packed.fingerprint() == folder.fingerprint()


def test_quality_is_that_of_the_jpegs(tmp_path: Path) -> None:
    root = photo_folder(tmp_path / "photos", {"red": 2, "blue": 2})
    packed = pack(root, tmp_path / "out", Packing(side=20, quality=35))
    reference = Image.open(BytesIO(encoded(noise(20, 20), "JPEG", quality=35)))
    with Image.open(BytesIO(content(packed.train, 0))) as written:
        assert written.quantization == reference.quantization  # type: ignore[attr-defined]


def test_images_that_cannot_be_read_are_left_out_and_named(tmp_path: Path) -> None:
    root = photo_folder(tmp_path / "photos", {"red": 3, "blue": 3})
    (root / "red" / "1.png").write_text("no photo")
    said: list[str] = []
    index = packer(root, tmp_path / "out", say=said.append).pack()
    (name, why), *others = index.left_out.items()
    assert (name, others) == ("red/1.png", [])
    assert "no known format" in why
    assert any("skipped" in line and "red/1.png" in line for line in said)
    assert len(load_data(str(tmp_path / "out")).all) == 5


def test_same_images_same_bytes_other_seed_other_order(photos: Path, tmp_path: Path) -> None:
    one, other = (pack(photos, tmp_path / str(i), Packing(45)) for i in range(2))
    assert shards(tmp_path / "0") == shards(tmp_path / "1")
    assert one.order_hash() == other.order_hash()
    seeded = pack(photos, tmp_path / "2", Packing(45, seed=1))
    assert shards(tmp_path / "2") != shards(tmp_path / "0")
    assert seeded.order_hash() == one.order_hash()


def test_shards_end_at_their_size(photos: Path, tmp_path: Path) -> None:
    limit = 16 << 10
    packed = pack(photos, tmp_path / "out", replace(ORIGINAL, shard_bytes=limit))
    written = shards(tmp_path / "out")
    assert len(written) > 3
    largest = max(len(content(packed.all, i)) for i in range(len(packed.all)))
    assert all(len(data) <= limit + largest + 20_000 for data in written.values())
    assert packed.order_hash() == load_data(str(photos)).order_hash()


class StopError(Exception):
    """What ends packing here."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, StopError])
def test_stopped_packing_goes_on_after_its_complete_shards(
    photos: Path, tmp_path: Path, error: type[BaseException]
) -> None:
    small = replace(ORIGINAL, shard_bytes=16 << 10)
    pack(photos, tmp_path / "straight", small)
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        if done == 6:
            raise error

    stopped = packer(photos, tmp_path / "out", small, progress=progress)
    with pytest.raises(error):
        stopped.pack()
    assert not (tmp_path / "out").exists()
    kept = {path.name: path.stat().st_ino for path in stopped.folder.glob("*.tar")}
    assert kept
    said: list[str] = []
    counted: list[int] = []
    packer(photos, tmp_path / "out", small, say=said.append, progress=counted.append).pack()
    assert said[0] == f"going on after {len(kept)} complete shards"
    assert sum(counted) == len(load_data(str(photos)).all)
    assert all((tmp_path / "out" / name).stat().st_ino == at for name, at in kept.items())
    for name in (path.name for path in (tmp_path / "straight").iterdir()):
        one, other = ((tmp_path / folder / name).read_bytes() for folder in ("straight", "out"))
        assert one == other or name == "index.npz"  # which holds the time
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        p.name for p in (tmp_path / "straight").iterdir()
    }


def test_packing_with_other_options_starts_again(photos: Path, tmp_path: Path) -> None:
    small = replace(ORIGINAL, shard_bytes=16 << 10)

    def stop(line: str) -> None:
        raise StopError

    with pytest.raises(StopError):
        packer(photos, tmp_path / "out", small, say=stop).pack()
    assert (
        pack(photos, tmp_path / "out", ORIGINAL).order_hash() == load_data(str(photos)).order_hash()
    )
    assert len(shards(tmp_path / "out")) == 2


def test_place_that_is_taken_is_left_alone(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for out in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UsageError, match=r"OUT must be a new or empty folder, got .*"):
            packer(photos, out).pack()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_two_at_once_do_not_write_to_one_place(photos: Path, tmp_path: Path) -> None:
    ours = packer(photos, tmp_path / "out")
    ours.folder.mkdir()
    with (
        FileLock(ours.folder / "lock"),
        pytest.raises(GoogLeNetError, match="another process is packing there"),
    ):
        ours.pack()


@pytest.mark.parametrize(
    ("options", "rule"),
    [({"side": 0}, "side must be"), ({"quality": 101}, "quality"), ({"seed": -1}, "seed")],
)
def test_options_have_rules(options: dict[str, int], rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        Packing(**options)


def test_index_of_images_is_made_again_from_the_shards(photos: Path, tmp_path: Path) -> None:
    packed = pack(photos, tmp_path / "out")
    (tmp_path / "out" / "index.npz").unlink()
    again = load_data(str(tmp_path / "out"))
    for ours, theirs in ((again.train, packed.train), (again.val, packed.val)):
        assert ours.labels == theirs.labels
        assert [content(ours, i) for i in range(len(ours))] == [
            content(theirs, i) for i in range(len(theirs))
        ]
    assert Path(again.train.name(0)).name in ("000000.png", "000000.jpg")


def spoil(folder: Path, how: str) -> None:
    index = json.loads((folder / "index.json").read_text())
    shard = folder / "train-000000.tar"
    if how == "missing":
        shard.unlink()
    elif how == "short":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif how == "text":
        (folder / "index.json").write_text("{")
    elif how == "format":
        (folder / "index.json").write_text(json.dumps(index | {"format": 99}))
    elif how == "outside":
        index["parts"]["train"]["shards"][0]["file"] = "../train-000000.tar"
        (folder / "index.json").write_text(json.dumps(index))
    elif how == "places":
        (folder / "index.npz").write_bytes(b"PK\x03\x04")
    elif how == "classes":
        index["classes"] = index["classes"][:1] * 2
        (folder / "index.json").write_text(json.dumps(index))
    elif how == "others":
        index["parts"]["train"]["shards"][0]["photos"] += 1
        (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", r"train-000000.tar: cannot be read \(No such file"),
        ("short", r"train-000000.tar: must have \d+ bytes, has \d+"),
        ("text", r"index.json: is not an index of a packed data set"),
        ("format", r"format must be 1, got 99"),
        ("outside", r"a shard must lie beside the index, got '\.\./train-000000.tar'"),
        ("places", r"index.npz: cannot be read .*; without it, it is rebuilt"),
        ("classes", r"index.json: is not an index .* \(classes must be two or more, each once"),
        ("others", r"index.npz: does not match these shards"),
    ],
)
def test_damage_is_told_in_a_sentence(photos: Path, tmp_path: Path, how: str, message: str) -> None:
    pack(photos, tmp_path / "out")
    spoil(tmp_path / "out", how)
    with pytest.raises(DataError, match=message):
        load_data(str(tmp_path / "out"))


def test_scans_of_digits_are_packed_without_loss(tmp_path: Path) -> None:
    data = load_data("digits", None)
    few = replace(data, train=data.train.take(range(12)))
    Packer(few, Path(), tmp_path / "out", Packing()).pack()
    packed = load_data(str(tmp_path / "out"), None)
    assert packed.train.labels == few.train.labels
    for ours, theirs in zip(packed.train.sources, few.train.sources, strict=True):
        assert np.array_equal(pixels(decode(ours)), pixels(decode(theirs)))
