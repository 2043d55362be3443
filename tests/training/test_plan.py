"""What a run finds out before it begins: see `test_batch_size.py` and `test_limits.py` too."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from googlenet.runtime.console import Console
from googlenet.training.plan import Plan
from googlenet.training.run_folder import RunFolder
from googlenet.training.setup import prepare
from tests.fixtures import photo_folder
from tests.training.small_runs import QUICK, settings


@pytest.mark.parametrize(("scale_epochs", "epochs"), [(True, 7), (False, 2)])
def test_few_images_get_more_epochs_where_that_is_asked_for(
    scale_epochs: bool, epochs: int, tmp_path: Path
) -> None:
    """Sixteen images to train on, in batches of 4, and at least 25 steps."""
    data = photo_folder(tmp_path / "data", {"red": 10, "blue": 10})
    recipe = QUICK.with_settings({"min_steps": 25})
    out, said = RunFolder(tmp_path / "run"), io.StringIO()
    run = prepare(
        settings(data, recipe=recipe), out, Console(said), False, Plan(scale_epochs=scale_epochs)
    )
    assert run.trainer.recipe.epochs == epochs
    assert json.loads(out.settings.read_text())["recipe"]["epochs"] == epochs
    assert ("small dataset: 7 epochs instead of 2" in said.getvalue()) is scale_epochs
    out.release()
