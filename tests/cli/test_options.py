"""Values of options that several verbs share."""

from __future__ import annotations

from argparse import ArgumentTypeError

import pytest

from googlenet.cli.options import positive, view_list


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
