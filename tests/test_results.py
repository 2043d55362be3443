"""What the documents say was measured is what the results' files hold."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from statistics import mean
from types import ModuleType
from typing import Any

import pytest

from googlenet.training.recipes import RECIPES

ROOT = Path(__file__).parent.parent
RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))
# Results with a document and a table of their own; all others are in results.md.
ELSEWHERE = {"unknown": ("unknown", "calibration.md"), "engines": ("engines", "deploy.md")}


def benchmark(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_each_table_of_the_document_is_its_files(path: Path) -> None:
    script, document = ELSEWHERE.get(path.stem, ("results", "results.md"))
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    assert benchmark(script).table(load(path)) in text


def test_what_is_stored_is_better_than_the_softmax_maximum() -> None:
    """On all photos and on every kind of noise: the area and the detection rate."""
    script, results = benchmark("unknown"), load(ROOT / "docs" / "results" / "unknown.json")
    for kind in ("all photos", *script.NOISE):
        for figure in (results["against"][kind][name] for name in ("auc", "detected")):
            assert figure[script.OURS] > figure[script.PLAIN], kind
    document = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    assert script.against_table(results) in document


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_states_the_accuracy_that_was_measured(name: str) -> None:
    runs = load(ROOT / "docs" / "results" / "imagenette.json")["runs"]
    accuracies = [100 - run["metrics"]["1"]["top1_error"] for run in runs if run["recipe"] == name]
    said = re.search(r"Imagenette, 128 px, 5 epochs: ([\d.]+) % top-1", RECIPES[name].about)
    assert said
    assert float(said[1]) == pytest.approx(mean(accuracies), abs=0.051)


def test_the_readme_states_the_accuracies_that_were_measured() -> None:
    runs = load(ROOT / "docs" / "results" / "imagenette.json")["runs"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    modern = [100 - run["metrics"]["1"]["top1_error"] for run in runs if run["recipe"] == "modern"]
    assert f"{mean(modern):.2f} %" in readme
    for accuracy in modern:
        assert f"{accuracy:.2f}" in readme
