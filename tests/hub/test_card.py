"""The model card says what the header says, in a form that the hub's own library reads."""

from __future__ import annotations

from typing import Any

import pytest
from huggingface_hub import ModelCard

from googlenet.data.labels import Class
from googlenet.hub.card import MAX_CLASSES, model_card
from googlenet.inference.header import ModelHeader
from tests.fixtures import set_header, tiny_classifier


def header(**fields: Any) -> ModelHeader:
    classifier = tiny_classifier()
    set_header(classifier, **fields)
    return classifier.header


METRICS = {
    "1": {
        "top1_error": 12.25,
        "macro_f1": 80.0,
        "images": 650,
        "intervals": {"top1_error": [10.5, 14.25], "macro_f1": None},
    }
}


def test_the_hub_reads_it() -> None:
    card = ModelCard(model_card(header(licence="Apache-2.0")))
    assert card.data.get("license") == "apache-2.0"
    assert card.data.get("library_name") == "googlenet"
    assert card.data.get("pipeline_tag") == "image-classification"


@pytest.mark.parametrize(
    ("licence", "found", "name"),
    [
        ("BSD-3-Clause", "bsd-3-clause", None),
        ("released for unrestricted use", "other", "released for unrestricted use"),
        ('odd: "licence"\n---\n# x', "other", 'odd: "licence"\n---\n# x'),
        (None, None, None),
    ],
)
def test_licences(licence: str | None, found: str | None, name: str | None) -> None:
    card = ModelCard(model_card(header(licence=licence)))
    assert (card.data.get("license"), card.data.get("license_name")) == (found, name)


def test_metrics_with_their_intervals() -> None:
    text = model_card(header(metrics=METRICS))
    assert "| top-1 error, % | 12.25 | 10.50 to 14.25 | 1 | 650 |" in text
    assert "| macro-F1, % | 80.00 | not known | 1 | 650 |" in text
    assert "## Accuracy" not in model_card(header())


@pytest.mark.parametrize("metrics", [{"1": 3}, {"1": {"top1_error": "x", "intervals": 5}}])
def test_metrics_that_others_wrote(metrics: dict[str, Any]) -> None:
    assert "## Accuracy" not in model_card(header(metrics=metrics))


def test_provenance() -> None:
    origin = {
        "made_by": "googlenet 0.1.0",
        "data_fingerprint": "abc",
        "learned": {"hashes": "secret"},
        "weights": {"weights": "BVLC GoogLeNet", "sha256": "6f71"},
    }
    text = model_card(header(provenance=origin))
    assert "| made by | googlenet 0.1.0 |\n| data fingerprint | abc |" in text
    assert "| weights: weights | BVLC GoogLeNet |\n| weights: sha256 | 6f71 |" in text
    assert "secret" not in text


def test_names_cannot_be_markup() -> None:
    odd = ("a|b", "<script>", "[x](y)", "two\nlines")
    text = model_card(header(classes=tuple(Class(name, name) for name in odd)))
    assert r"a\|b, &lt;script&gt;, \[x\](y), two\\nlines" in text


def test_many_classes_are_counted() -> None:
    classes = tuple(Class(str(n), f"c{n}") for n in range(MAX_CLASSES + 7))
    assert f"c{MAX_CLASSES - 1}, and 7 more, in `config.json`" in model_card(
        header(classes=classes)
    )
