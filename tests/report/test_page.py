"""The report: whole in itself, and its figures those of scikit-learn."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support

from googlenet.cli import main
from googlenet.data.labels import Class
from googlenet.evaluation.details import class_metrics
from googlenet.evaluation.scores import Scores
from googlenet.report.page import worst_first

CLASSES = [Class(str(i), f"class {i}") for i in range(6)]


@pytest.fixture
def scores() -> Scores:
    """200 random answers over six classes, the last of which is neither true nor answered."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(6), 200)
    probabilities[:, 5] = 0
    labels = rng.integers(0, 5, 200)
    return Scores(torch.from_numpy(probabilities), torch.from_numpy(labels), tuple(range(200)))


def test_classes_are_scikit_learns_and_the_weakest_comes_first(scores: Scores) -> None:
    rows = worst_first(class_metrics(scores).rows([c.name for c in CLASSES]))
    precision, recall, f1, support = precision_recall_fscore_support(
        scores.labels, scores.predicted(), labels=range(5), zero_division=0
    )
    by_name = {row["label"]: row for row in rows}
    for i in range(5):
        row = by_name[f"class {i}"]
        assert row["precision"] == pytest.approx(100 * precision[i])
        assert row["recall"] == pytest.approx(100 * recall[i])
        assert row["f1"] == pytest.approx(100 * f1[i])
        assert row["support"] == support[i]
    recalls = [row["recall"] for row in rows[:-1]]
    assert recalls == sorted(recalls)
    nothing = {"label": "class 5", "support": 0, "recall": None, "precision": None, "f1": None}
    assert rows[-1] == nothing  # a class without images has no recall, not a bad one


class Page(HTMLParser):
    """The addresses that a page needs and the elements that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "data", "srcset")]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a run of little work."""
    out = tmp_path_factory.mktemp("report") / "run"
    options = ["--size=32", "--width=0.05", "--epochs=1", "--views=1,10", "--precision=fp32"]
    assert main(["train", "digits", "--out", str(out), *options]) == 0
    return Path(out / "report.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_from_outside(report: str) -> None:
    page = Page(report)
    outside = [a for a in page.addresses if not a.startswith(("data:image/jpeg;base64,", "#"))]
    assert not outside
    assert "script" not in page.tags
    assert "@import" not in report


def test_the_page_shows_what_it_promises(report: str) -> None:
    page = Page(report)
    assert page.tags.count("svg") == 4  # curves, confusion matrix twice, reliability
    assert page.tags.count("img") > 4 * 7  # the augmented sheet and some mistakes
    for text in (
        "shorter side to 34, center 32", "no mirrored views", "recipe.learning_rate", "95 %: ",
        "balanced accuracy", "Expected calibration error (ECE)", "temperature scaling",
        "where the network looked for",
        "is predicted <strong>unknown", "false positive rate", "F1", "Augmented samples",
    ):  # fmt: skip
        assert text in report
