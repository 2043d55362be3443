"""docs/weights.md says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from googlenet.weights.registry import KNOWN
from googlenet.weights.schemes import SCHEMES, Scheme
from googlenet.weights.weight_file import MAX_BYTES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "weights.md").read_text("utf-8")


@pytest.mark.parametrize("name", KNOWN)
def test_known_files(name: str) -> None:
    known = KNOWN[name]
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{name}` | http"))
    assert known.url in row
    assert known.sha256 in row
    assert known.licence in row
    assert f"`{known.file}`" in PAGE


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_schemes(scheme: Scheme) -> None:
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{scheme.name}` | `"))
    assert f"| `{scheme.variant}` |" in row
    example = row.split("`")[3]
    assert example == scheme.names(["inception_3a.1x1.conv.weight"])["inception_3a.1x1.conv.weight"]


def test_limits() -> None:
    assert f"more than {MAX_BYTES >> 20} MiB" in PAGE
