"""Average precision against pycocotools, published values, and plain programs."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from googlenet.data.labels import Class
from googlenet.detection.annotations import Truth
from googlenet.detection.detections import Detections
from googlenet.detection.metrics.average_precision import average_precision
from googlenet.detection.metrics.evaluate import evaluate
from googlenet.detection.metrics.matching import Matches, match, voc_rule
from googlenet.runtime.errors import UsageError
from tests.detection.metrics.random_data import random_images

CLASSES = tuple(Class(name, name) for name in ("cat", "dog", "cow"))


def coco_ap(truths: list[Truth], found: list[Detections]) -> np.ndarray:
    """(10 thresholds, classes) by pycocotools; -1 without true boxes."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations: list[dict[str, object]] = []
    results: list[dict[str, object]] = []
    for i, (truth, mine) in enumerate(zip(truths, found, strict=True)):
        for box, label, hard, crowd in zip(
            truth.boxes, truth.labels, truth.difficult, truth.crowd, strict=True
        ):
            x1, y1, x2, y2 = map(float, box)
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i, "category_id": int(label),
                 "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1),
                 "iscrowd": int(crowd), "ignore": int(hard)}
            )  # fmt: skip
        for box, label, score in zip(mine.boxes, mine.labels, mine.scores, strict=True):
            x1, y1, x2, y2 = map(float, box)
            results.append(
                {"image_id": i, "category_id": int(label), "bbox": [x1, y1, x2 - x1, y2 - y1],
                 "score": float(score)}
            )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth_set = COCO()
        truth_set.dataset = {
            "images": [{"id": i} for i in range(len(truths))],
            "annotations": annotations,
            "categories": [{"id": i, "name": c.name} for i, c in enumerate(CLASSES)],
        }
        truth_set.createIndex()
        judge = COCOeval(truth_set, truth_set.loadRes(results), "bbox")
        judge.evaluate()
        # pycocotools overwrites `ignore` by `iscrowd`: what is difficult is ignored as a crowd is,
        # but overlaps by IoU.
        judge.accumulate()
    precision = judge.eval["precision"][:, :, :, 0, 2]  # (thresholds, recalls, classes)
    means = precision.mean(1)
    return np.where((precision == -1).all(1), -1, means)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("crowds", [False, True])
def test_coco_agrees_with_pycocotools(seed: int, crowds: bool) -> None:
    truths, found = random_images(seed, crowds=crowds)
    oracle = coco_ap(truths, found)
    result = evaluate(truths, found, CLASSES, "coco")
    present = [c for c in range(len(CLASSES)) if oracle[0, c] >= 0]
    assert [row.name for row in result.classes] == [CLASSES[c].name for c in present]
    np.testing.assert_allclose(
        [row.ap50.value for row in result.classes], oracle[0, present], atol=1e-6
    )
    assert result.map50.value == pytest.approx(oracle[0, present].mean(), abs=1e-6)
    assert result.map.value == pytest.approx(oracle[:, present].mean(), abs=1e-6)


def plain_ap(truths: list[Truth], found: list[Detections], label: int, ilsvrc: bool) -> float:
    """A plain program: every detection in one list, the area below the envelope."""
    rows = sorted(
        (-float(s), i, d)
        for i, mine in enumerate(found)
        for d, (s, c) in enumerate(zip(mine.scores, mine.labels, strict=True))
        if c == label
    )
    taken: set[tuple[int, int]] = set()
    right = []
    total = sum(int((t.labels == label).sum()) for t in truths)
    for _, i, d in rows:
        best, chosen = -1.0, None
        for g in map(int, np.flatnonzero(truths[i].labels == label)):
            a, b = found[i].boxes[d], truths[i].boxes[g]
            w = min(a[2], b[2]) - max(a[0], b[0])
            h = min(a[3], b[3]) - max(a[1], b[1])
            shared = max(w, 0) * max(h, 0)
            sides = (b[2] - b[0], b[3] - b[1])
            size = sides[0] * sides[1]
            overlap = shared / ((a[2] - a[0]) * (a[3] - a[1]) + size - shared)
            least = min(0.5, size / ((sides[0] + 10) * (sides[1] + 10))) if ilsvrc else 0.5
            usable = (overlap >= least and (i, g) not in taken) if ilsvrc else True
            if usable and overlap > best:
                best, chosen = overlap, (i, g)
        hit = chosen is not None and chosen not in taken and (ilsvrc or best >= 0.5)
        right.append(hit)
        if hit:
            assert chosen is not None
            taken.add(chosen)
    value, seen, best_after = 0.0, 0, []
    hits = np.cumsum(right)
    precision = [hits[k] / (k + 1) for k in range(len(right))]
    for k in range(len(right)):
        best_after.append(max(precision[k:]))
        if right[k]:
            seen += 1
            value += best_after[-1] / total
    assert seen <= total
    return value


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("metric", ["voc10", "ilsvrc"])
def test_area_agrees_with_a_plain_program(seed: int, metric: str) -> None:
    truths, found = random_images(seed)
    result = evaluate(truths, found, CLASSES, metric)
    expected = [plain_ap(truths, found, c, metric == "ilsvrc") for c in range(len(CLASSES))]
    np.testing.assert_allclose([row.ap50.value for row in result.classes], expected, atol=1e-9)
    assert result.map50 == result.map


# Seven images of Padilla's Object-Detection-Metrics, samples/sample_2: x, y, width and height of
# true boxes, and of detections behind their scores.
TRUE = [
    "25 16 38 56, 129 123 41 62",
    "123 11 43 55, 38 132 59 45",
    "16 14 35 48, 123 30 49 44, 99 139 47 47",
    "53 42 40 52, 154 43 31 34",
    "59 31 44 51, 48 128 34 52",
    "36 89 52 76, 62 58 44 67",
    "28 31 55 63, 58 67 50 58",
]
FOUND = [
    ".88 5 67 31 48, .70 119 111 40 67, .80 124 9 49 67",
    ".71 64 111 64 58, .54 26 140 60 47, .74 19 18 43 35",
    ".18 109 15 77 39, .67 86 63 46 45, .38 160 62 36 53, .91 105 131 47 47, .44 18 148 40 44",
    ".35 83 28 28 26, .78 28 68 42 67, .45 87 89 25 39, .14 10 155 60 26",
    ".62 50 38 28 46, .44 95 11 53 28, .95 29 131 72 29, .23 29 163 72 29",
    ".45 43 48 74 38, .84 17 155 29 35, .43 95 110 25 42",
    ".48 16 20 101 88, .95 33 116 37 49",
]


def published_example() -> tuple[list[Truth], list[Detections]]:
    """That toolkit counts a box of width w as w + 1 pixels: its ends are included."""

    def boxes(text: str) -> np.ndarray:
        rows = np.array([[float(v) for v in row.split()] for row in text.split(", ")])
        rows[:, -2:] += rows[:, -4:-2] + 1
        return rows

    truths, found = [], []
    for true, guessed in zip(TRUE, FOUND, strict=True):
        rows = boxes(true)
        truths.append(Truth.of(rows.tolist(), [0] * len(rows)))
        rows = boxes(guessed).astype(np.float32)
        rows = rows[np.argsort(-rows[:, 0], kind="stable")]
        found.append(Detections(rows[:, 1:], np.zeros(len(rows), np.int64), rows[:, 0]))
    return truths, found


# Published by the toolkit that the example comes from (Padilla et al., 2021).
@pytest.mark.parametrize(
    ("threshold", "area", "eleven"),
    [(0.1, 0.337198, 0.333333), (0.3, 0.245687, 0.268398), (0.5, 0.022222, 0.030303)],
)
def test_published_values(threshold: float, area: float, eleven: float) -> None:
    truths, found = published_example()
    matches = match(truths, found, 0, voc_rule, threshold)
    assert average_precision(matches, "area") == pytest.approx(area, abs=1e-6)
    assert average_precision(matches, "11") == pytest.approx(eleven, abs=1e-6)


def test_eleven_points_are_numpys() -> None:
    """3 of 5 is a recall of 0.6, below the seventh point, 0.6000000000000001."""
    matches = Matches(
        np.array([0.9, 0.8, 0.7], np.float32), np.ones(3, bool), np.zeros(3, np.intp), np.array([5])
    )
    assert average_precision(matches, "11") == pytest.approx(6 / 11)


@pytest.mark.parametrize("metric", ["voc07", "voc10", "ilsvrc", "coco"])
def test_the_truth_as_detections_is_perfect(metric: str) -> None:
    truths, _ = random_images(3)
    found = [Detections(t.boxes, t.labels, np.full(len(t), 0.5, np.float32)) for t in truths]
    result = evaluate(truths, found, CLASSES, metric)
    assert result.map50 == result.map == (1, 1, 1)


@pytest.mark.parametrize("metric", ["voc07", "voc10", "ilsvrc", "coco"])
def test_nothing_found(metric: str) -> None:
    truths, _ = random_images(3)
    result = evaluate(truths, [Detections.none()] * len(truths), CLASSES, metric)
    assert result.map50 == (0, 0, 0)


def test_the_order_of_images_does_not_matter() -> None:
    truths, found = random_images(5)
    found = [
        Detections(d.boxes, d.labels, d.scores + np.float32(i) / 10_000)
        for i, d in enumerate(found)
    ]
    first = evaluate(truths, found, CLASSES, "coco")
    second = evaluate(truths[::-1], found[::-1], CLASSES, "coco")
    assert first.map.value == pytest.approx(second.map.value)


def test_difficult_boxes_do_not_count() -> None:
    truth = Truth.of([[0, 0, 10, 10], [20, 20, 30, 30]], [0, 0], difficult=[False, True])
    found = Detections(
        np.array([[20, 20, 30, 30], [0, 0, 10, 10]], np.float32),
        np.zeros(2, np.int64),
        np.array([0.9, 0.8], np.float32),
    )
    result = evaluate([truth], [found], CLASSES, "voc10")
    assert [(row.name, row.ap50.value, row.boxes) for row in result.classes] == [("cat", 1, 1)]


def test_small_boxes_ask_for_less_at_ilsvrc() -> None:
    """A box of 10×10 asks for an IoU of 100 / 400."""
    truth = Truth.of([[0, 0, 10, 10]], [0])
    found = Detections(
        np.array([[0, 0, 10, 3]], np.float32), np.zeros(1, np.int64), np.ones(1, np.float32)
    )
    assert evaluate([truth], [found], CLASSES, "ilsvrc").map50.value == 1
    assert evaluate([truth], [found], CLASSES, "voc10").map50.value == 0


def test_intervals_hold_the_value_and_are_repeatable() -> None:
    truths, found = random_images(7, images=40)
    result, again = (evaluate(truths, found, CLASSES, "voc10") for _ in range(2))
    assert result.map50 == again.map50
    assert result.map50.low < result.map50.value < result.map50.high
    value = result.to_json()
    assert value["map50"] == pytest.approx(100 * result.map50.value, abs=0.01)
    assert value["images"] == 40


def test_unknown_metric() -> None:
    with pytest.raises(UsageError, match="--metric must be one of voc07, voc10, ilsvrc, coco"):
        evaluate([], [], CLASSES, "voc")
