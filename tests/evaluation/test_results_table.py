"""The paper's table of results: models, their ensemble, views."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from googlenet.evaluation.accuracy import score
from googlenet.evaluation.probability_rows import restrict
from googlenet.evaluation.results_table import protocol, protocol_name, results_table
from googlenet.evaluation.scores import ensemble
from googlenet.images.preprocess import Preprocessing
from tests.evaluation.test_accuracy import photos
from tests.fixtures import tiny_classifier

PLAIN = Preprocessing(hflip=False)


def silent(total: int, name: str) -> Any:
    return nullcontext(SimpleNamespace(update=lambda: None))


def test_each_model_then_all_of_them_at_each_number_of_views() -> None:
    models = [tiny_classifier(seed=seed) for seed in (0, 1)]
    samples = photos(4)
    rows = results_table(models, ["a", "b"], samples, (1, 10), 1, silent)
    assert [(row.names, row.views) for row in rows] == [
        (("a",), 1), (("b",), 1), (("a", "b"), 1), (("a",), 10), (("b",), 10), (("a", "b"), 10),
    ]  # fmt: skip
    for views, group in ((1, rows[:3]), (10, rows[3:])):
        alone = [score(model, samples, views) for model in models]
        for row, expected in zip(group, [*alone, ensemble(alone)], strict=True):
            assert (row.top1_error, row.top5_error) == (expected.error(1), expected.error(5))


def test_single_model_is_no_ensemble() -> None:
    (row,) = results_table([tiny_classifier()], ["a"], photos(2), (1,), 1, silent)
    found = row.to_json()
    assert found | {
        "models": 1, "names": ["a"], "views": 1, "protocol": "center", "crops": 1,
        "top1_error": row.top1_error, "top5_error": 0.0, "images": 2, "skipped": 0,
    } == found  # fmt: skip
    assert set(found["intervals"]) == {
        "top1_error", "top5_error", "macro_f1", "balanced_accuracy", "calibration_error",
    }  # fmt: skip
    assert (found["calibration_error_before"], found["called_unknown"]) == (None, None)


def test_answers_may_be_restricted() -> None:
    classifier, samples = tiny_classifier(), photos(6)
    (row,) = results_table([classifier], ["a"], samples, (1,), 1, silent, [0, 2])
    found = score(classifier, samples)
    kept = replace(found, probabilities=restrict(found.probabilities, [0, 2]))
    assert row.top1_error == kept.error(1)
    torch.testing.assert_close(row.scores.probabilities, kept.probabilities)


def test_crops_are_halved_without_mirrors() -> None:
    rows = results_table([tiny_classifier(mirror=False)], ["a"], photos(1), (1, 10, 144), 1, silent)
    assert [(row.views, row.crops) for row in rows] == [(1, 1), (10, 5), (144, 72)]


@pytest.mark.parametrize(
    ("views", "p", "name", "words"),
    [
        (1, Preprocessing(), "center", "shorter side to 256, center 224"),
        (1, Preprocessing(mode="squash"), "caffe", "squashed to 256×256, center 224"),
        (1, Preprocessing(mode="letterbox"), "letterbox center",
         "longer side to 256, padded to a square, center 224"),
        (10, Preprocessing(), "ten",
         "shorter side to 256, corners and center 224 of the center square, all mirrored too"),
        (10, PLAIN, "ten",
         "shorter side to 256, corners and center 224 of the center square, no mirrored views"),
        (1, Preprocessing(resize_size=240), "center", "shorter side to 240, center 224"),
        (10, Preprocessing(resize_size=240), "ten",
         "shorter side to 256, corners and center 224 of the center square, all mirrored too"),
        (144, Preprocessing(mode="squash"), "144",
         "shorter side to 256, 288, 320, 352; left, center, right square; corners, center and "
         "whole of each at 224, all mirrored too"),
        (144, Preprocessing(size=112, resize_size=128, hflip=False), "144",
         "shorter side to 128, 144, 160, 176; left, center, right square; corners, center and "
         "whole of each at 112, no mirrored views"),
    ],
)  # fmt: skip
def test_protocol_has_a_name_and_is_told(
    views: int, p: Preprocessing, name: str, words: str
) -> None:
    assert (protocol_name(views, p), protocol(views, p)) == (name, words)
