"""The drawings take whatever a class is called."""

from __future__ import annotations

import numpy as np

from googlenet.report.plots import confusion


def test_names_that_mean_something_to_matplotlib() -> None:
    """Mathematics, signs that its font lacks, and signs that mean something in SVG."""
    drawn = confusion(np.eye(3, dtype=np.int64), ["猫 😀", "a$b_{$", "<i>&"])
    for name in ("猫 😀", "a$b_{$", "&lt;i&gt;&amp;"):
        assert f">{name}</text>" in drawn
