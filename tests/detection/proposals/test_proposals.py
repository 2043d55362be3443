"""Proposals: what they cover, in which order, and that they are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from googlenet.detection.annotations import Truth
from googlenet.detection.boxes import iou
from googlenet.detection.load_boxes import load_boxes
from googlenet.detection.proposals.cache import ProposalCache
from googlenet.detection.proposals.edge_boxes import edge_boxes
from googlenet.detection.proposals.recall import recalls
from googlenet.detection.proposals.selective_search import selective_search
from googlenet.detection.proposals.sources import SOURCES, source
from googlenet.images.decode import decode
from googlenet.runtime.errors import UsageError

BOX = (60, 40, 180, 130)


@pytest.fixture
def rectangle() -> np.ndarray:
    """A bright rectangle on dark, noisy ground."""
    image = np.random.default_rng(0).integers(20, 40, (200, 260, 3))
    x1, y1, x2, y2 = BOX
    image[y1:y2, x1:x2] += 180
    return image.astype(np.uint8)


@pytest.mark.parametrize("name", SOURCES)
def test_an_object_is_proposed(name: str, rectangle: np.ndarray) -> None:
    boxes = source(name)(rectangle, 300)
    assert boxes.dtype == np.float32
    assert 0 < len(boxes) <= 300
    assert iou(np.array([BOX], float), boxes).max() > 0.85
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [260.5, 200.5]).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


@pytest.mark.parametrize("name", SOURCES)
def test_always_the_same(name: str, rectangle: np.ndarray) -> None:
    first, second = (source(name)(rectangle, 100) for _ in range(2))
    assert np.array_equal(first, second)


def test_fewer_are_the_best_ones(rectangle: np.ndarray) -> None:
    assert np.array_equal(edge_boxes(rectangle, 10), edge_boxes(rectangle, 100)[:10])


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 300, 3), (40, 40, 3)])
def test_images_without_edges(shape: tuple[int, ...]) -> None:
    boxes = edge_boxes(np.full(shape, 90, np.uint8), 50)
    assert boxes.shape[1] == 4


def test_larger_superpixels_give_fewer_boxes(shared_data: Path) -> None:
    path = sorted((shared_data / "voc2012-100/data/database/images").iterdir())[0]
    image = np.asarray(decode(path).resize((240, 240)))
    assert len(selective_search(image, 300)) < len(selective_search(image, 150))


def test_unknown_source() -> None:
    with pytest.raises(UsageError, match="--proposals must be one of edge-boxes"):
        source("boxes")


def test_recall_of_known_boxes() -> None:
    truth = Truth.of([[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]], [0, 0, 0],
                     difficult=[False, False, True])  # fmt: skip
    boxes = np.array([[0, 0, 10, 6], [20, 20, 30, 29]], np.float32)
    one, two = recalls([truth], [boxes], (1, 2))
    assert one == (1, 1, 0.5, 0, 0.3)
    assert two == pytest.approx((2, 2, 1, 0.5, 0.75))


def test_recall_without_proposals() -> None:
    truths = [Truth.of([[0, 0, 1, 1]], [0]), Truth.of()]
    none = np.zeros((0, 4), np.float32)
    assert recalls(truths, [none, none], (5,)) == [(5, 0, 0, 0, 0)]


def test_recall_on_photos(shared_data: Path) -> None:
    """The first twenty of Pascal VOC's photos: most objects are among 1,000 proposals."""
    import shutil
    import tempfile

    database = shared_data / "voc2012-100/data/database"
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder)
        (copied / "images").symlink_to(database / "images")
        for path in sorted((database / "gts/pascalvoc_format").iterdir())[:20]:
            shutil.copyfile(path, copied / path.name)
        images = load_boxes(folder).images("all")
        boxes = [edge_boxes(np.asarray(decode(image.path)), 1000) for image in images]
    few, many = recalls([image.truth for image in images], boxes, (100, 1000))
    assert few.recall50 > 0.5
    assert many.recall50 > 0.8


def test_kept_on_disk(rectangle: np.ndarray, tmp_path: Path) -> None:
    cache = ProposalCache("edge-boxes", 50, tmp_path)
    found = cache.boxes(rectangle)
    (path,) = tmp_path.iterdir()
    marked = found + 1
    np.save(path, marked)
    assert np.array_equal(cache.boxes(rectangle), marked)
    path.write_bytes(path.read_bytes()[:40])  # cut by a kill: found again
    assert np.array_equal(cache.boxes(rectangle), found)
    assert np.array_equal(ProposalCache("edge-boxes", 50).boxes(rectangle), found)
    assert len(ProposalCache("edge-boxes", 20, tmp_path).boxes(rectangle)) == 20
    assert len(list(tmp_path.iterdir())) == 2
