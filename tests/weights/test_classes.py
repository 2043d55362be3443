"""ImageNet's classes in the published orders, against the two lists they are made from."""

from __future__ import annotations

import runpy
from importlib.resources import files
from pathlib import Path

import pytest

from googlenet.weights.classes import class_list, devkit, imagenet

TOOL = Path(__file__).resolve().parents[2] / "tools" / "imagenet_classes.py"
render = runpy.run_path(str(TOOL))["render"]


def test_the_shipped_list_is_what_its_tool_makes(shared_data: Path) -> None:
    words = shared_data / "ilsvrc2012-val-650" / "synset_words.txt"
    order = shared_data / "ilsvrc2012-devkit-order.txt"
    shipped = (files("googlenet.weights") / "imagenet_classes.txt").read_text("utf-8")
    assert render(words.read_text("utf-8"), order.read_text("utf-8")) == shipped


def test_orders_agree_with_the_lists(shared_data: Path) -> None:
    words = (shared_data / "ilsvrc2012-val-650" / "synset_words.txt").read_text("utf-8")
    assert [f"{c.id} {c.name}" for c in imagenet()] == words.splitlines()
    order = (shared_data / "ilsvrc2012-devkit-order.txt").read_text("utf-8")
    assert [c.id for c in devkit()] == order.split()


def test_the_two_lists_must_agree() -> None:
    with pytest.raises(SystemExit, match="do not have the same wnids"):
        render("n1 cat\nn2 dog\n", "n1\nn3\n")


def test_published_orders() -> None:
    slim, google = class_list("background+wnid", 1001), class_list("dummy+devkit", 1008)
    assert slim[0].id == "background"
    assert slim[1:] == imagenet()
    assert google[1].id == "n02119789"
    assert google[1:1001] == devkit()
    assert [c.name for c in (google[0], *google[1001:])] == [
        f"dummy {i}" for i in (0, *range(1001, 1008))
    ]
    for classes in (slim, google):
        assert len({c.id for c in classes}) == len(classes)


def test_another_number_of_classes_has_numbers_for_names() -> None:
    assert [tuple(c) for c in class_list("wnid", 2)] == [("0", "class 0"), ("1", "class 1")]
