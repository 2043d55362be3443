"""Aligned columns of text."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], gap: str = "  ", left: int = 1) -> list[str]:
    """Lines with the first `left` columns flush left, the others flush right.

    The rows have equally many cells.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def cell(at: int, text: str) -> str:
        return text.ljust(widths[at]) if at < left else text.rjust(widths[at])

    return [gap.join(cell(at, text) for at, text in enumerate(row)).rstrip() for row in rows]
