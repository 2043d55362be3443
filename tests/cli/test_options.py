"""Values of options that several verbs share."""

from __future__ import annotations

import argparse
from argparse import ArgumentTypeError
from typing import Any

import pytest

from googlenet.cli.options import add_renamed, positive, view_list


def test_views() -> None:
    assert view_list("1") == (1,)
    assert view_list("144, 1,10,1") == (144, 1, 10)


@pytest.mark.parametrize("text", ["", "5", "1;10", "1,", "01", "ten"])
def test_views_that_do_not_exist(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=f"must be 1, 10 or 144, .* got '{text}'"):
        view_list(text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_numbers_that_are_not_positive(text: str) -> None:
    assert positive("7") == 7
    with pytest.raises(ArgumentTypeError, match=f"whole number of 1 or more, got '{text}'"):
        positive(text)


@pytest.mark.parametrize(
    ("settings", "words", "value"),
    [
        ({"type": int, "default": 7}, ["--old", "3"], 3),
        ({"type": int, "default": 7}, ["--old=3", "--new", "4"], 4),
        ({"type": int, "default": 7}, [], 7),
        ({"action": "store_true"}, ["--old"], True),
        ({"action": "append", "default": []}, ["--old", "a", "--new", "b"], ["a", "b"]),
    ],
)
def test_renamed_option(
    settings: dict[str, Any], words: list[str], value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser("googlenet train")
    parser.add_argument("--new", **settings)
    add_renamed(parser, old="--old", new="--new")
    assert parser.parse_args(words).new == value
    notice = "googlenet train: --old is now called --new\n"
    assert capsys.readouterr().err == (notice if words else "")
    assert "--old" not in parser.format_help()
