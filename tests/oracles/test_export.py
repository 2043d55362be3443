"""The paper's network, LRN included, leaves PyTorch as ordinary operators: ONNX Runtime runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from programs import Program, run
from topology import photos


@pytest.mark.slow
def test_the_exported_network_is_ordinary_onnx_and_computes_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "photos.npy", photos(2, 64))
    run(Program("onnx", "onnx_export.py", here=True), tmp_path)
    with np.load(tmp_path / "outputs.npz") as outputs:
        domains = {name.split("::")[0] for name in outputs["operators"]}
        ours, theirs = outputs["ours"], outputs["theirs"]
    assert domains == {""}
    assert ours.std() > 0.01
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()
