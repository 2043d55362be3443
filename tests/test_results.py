"""What the documents say was measured is what the files of results hold."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from pathlib import Path
from statistics import mean
from types import ModuleType
from typing import Any

import pytest

from googlenet.cli.bench import report
from googlenet.training.recipes import RECIPES
from tests.documents import PAGES

ROOT = Path(__file__).parent.parent
RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))
# Results with a document and a table of their own; all others are in results.md.
ELSEWHERE = {
    "unknown": ("unknown", "calibration.md"),
    "engines": ("engines", "deploy.md"),
    "engines-batch32": ("engines", "deploy.md"),
    "engines-files": ("engines", "deploy.md"),
    "engines-files-small": ("engines", "deploy.md"),
} | {path.stem: ("speed", "performance.md") for path in RESULTS if path.stem.startswith("speed-")}


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
    text, results = (ROOT / "docs" / document).read_text(encoding="utf-8"), load(path)
    assert benchmark(script).table(results) in text
    # When, on what, and from which command.
    assert benchmark("results").caption(path.stem, results) in text
    assert f"$ {results['command']}\n" in text if "command" in results else True


def test_the_tables_of_the_study_are_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script = importlib.import_module("study")
    docs = ROOT / "docs"
    for name in ("study-64px", "bf16-64px", "held-out-128px"):
        lines = script.read(docs / "results" / f"{name}.jsonl")
        assert script.table(lines) in (docs / "ablations.md").read_text(encoding="utf-8")
    lines = script.read(docs / "results" / "beliefs.jsonl")
    assert script.beliefs(lines) in (docs / "paper_claims.md").read_text(encoding="utf-8")


def test_what_is_stored_is_better_than_the_softmax_maximum() -> None:
    """On all images and on every kind of noise: the area and the detection rate."""
    script, results = benchmark("unknown"), load(ROOT / "docs" / "results" / "unknown.json")
    for kind in ("all photos", *script.NOISE):
        for figure in (results["against"][kind][name] for name in ("auc", "detected")):
            assert figure[script.OURS] > figure[script.PLAIN], kind
    document = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    assert script.against_table(results) in document


def accuracies_of(recipe: str, optimizer: str, file: str = "imagenette") -> list[float]:
    """On Imagenette, of each seed."""
    runs = load(ROOT / "docs" / "results" / f"{file}.json")["runs"]
    return [
        100 - run["metrics"]["1"]["top1_error"]
        for run in runs
        if (run["recipe"], run["optimizer"]) == (recipe, optimizer)
    ]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_states_the_accuracy_that_was_measured(name: str) -> None:
    accuracies = accuracies_of(name, RECIPES[name].optimizer)
    said = re.search(r"Imagenette, 128 px, 5 epochs: ([\d.]+) % top-1", RECIPES[name].description)
    assert said
    assert float(said[1]) == pytest.approx(mean(accuracies), abs=0.051)


ACCURACY = re.compile(r"\d+\.\d\d(?= %)")
MEASURED = ("README.md", "docs/train.md")  # every accuracy of two decimals there is a result


def test_the_accuracies_that_are_stated_were_measured() -> None:
    means, seeds = set(), set()
    for path in RESULTS:
        groups: dict[tuple[str, ...], list[float]] = {}
        for run in load(path).get("runs", ()):
            accuracy = 100 - run["metrics"]["1"]["top1_error"]
            groups.setdefault((run["recipe"], run["optimizer"]), []).append(accuracy)
            seeds |= {f"{accuracy:.2f}"}
            seeds |= {f"{row['top1_accuracy']:.2f}" for row in run["log"]}
        means |= {f"{mean(accuracies):.2f}" for accuracies in groups.values()}
    for document in MEASURED:
        said = set(ACCURACY.findall((ROOT / document).read_text(encoding="utf-8")))
        assert said, document
        assert said <= means | seeds, f"{document}: {said - means - seeds}"


def test_the_epochs_that_the_quickstart_shows_are_a_run_s() -> None:
    """Of five epochs of the default recipe, seed 0."""
    log = load(ROOT / "docs" / "results" / "imagenette.json")["runs"][0]["log"]
    shown = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    line = re.compile(
        r"epoch +(\d)/5  loss ([\d.]+) .* top-1 ([\d.]+) % top-5 ([\d.]+) %.* (\d+) s"
    )
    keys = ("epoch", "loss_main", "top1_accuracy", "top5_accuracy", "seconds")
    forms = ("d", ".3f", ".2f", ".2f", ".0f")
    rows = [
        tuple(format(row[key], form) for key, form in zip(keys, forms, strict=True)) for row in log
    ]
    assert line.findall(shown) == rows


@pytest.mark.parametrize("document", [*MEASURED, "docs/results.md"])
def test_the_headline_accuracies_are_stated(document: str) -> None:
    """The default recipe's means over seeds, of five and of twenty epochs."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for file in ("imagenette", "imagenette-twenty-epochs"):
        assert f"{mean(accuracies_of('modern', 'muon', file)):.2f} %" in text


def test_each_seed_s_accuracy_is_stated() -> None:
    stated = {"muon": "docs/train.md", "sgd": "docs/results.md"}
    for optimizer, document in stated.items():
        text = (ROOT / document).read_text(encoding="utf-8")
        accuracies = accuracies_of("modern", optimizer)
        listed = ", ".join(f"{accuracy:.2f}" for accuracy in accuracies)
        assert f"{mean(accuracies):.2f} %" in text
        assert listed in text


def test_what_is_stated_of_twenty_epochs_was_measured() -> None:
    accuracies = accuracies_of("modern", "muon", "imagenette-twenty-epochs")
    said = re.search(r"; 20 epochs: ([\d.]+) %", RECIPES["modern"].description)
    assert said
    assert float(said[1]) == pytest.approx(mean(accuracies), abs=0.051)


SPEEDS = [path for path in RESULTS if path.stem.startswith("speed-")]
FIGURE = re.compile(r"(\d+(?:\.\d+)?)(×| %|\u202f%| images/s)")


def figures_of(results: dict[str, Any]) -> set[str]:
    """How a document writes what a file holds."""
    found = set()
    for row in results["results"]:
        speeds = [row[key] for key in ("median", "low", "high", "limit") if key in row]
        found |= {f"{speed:{form}} images/s" for speed in speeds for form in (".0f", ".4g")}
        ratios = [row[key] for key in ("ratio", "cpu_ratio") if row.get(key)]
        found |= {f"{ratio:.2f}×" for ratio in ratios}
        found.add(f"{100 * row.get('of_ceiling', 0):.0f} %")
    return found


def test_every_speed_that_a_document_states_is_in_a_file() -> None:
    """In the README, and in performance.md where it compares."""
    measured = [path for path in RESULTS if path in SPEEDS or path.stem.startswith("engines")]
    known = set().union(*(figures_of(load(path)) for path in measured))
    comparison = section(ROOT / "docs" / "performance.md", "Side by side")
    said = ["".join(found.groups()) for found in FIGURE.finditer(comparison)]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said += [f"{ratio}×" for ratio in re.findall(r"(\d+\.\d+)×(?!\d)", readme)]
    assert len(said) > 10
    assert set(said) <= known, set(said) - known


def test_what_a_page_shows_of_the_benchmark_is_a_file_s() -> None:
    reports = "\n".join(report(load(path)) for path in SPEEDS)
    known = {line.strip() for line in reports.splitlines()}
    names = {row["name"] for path in SPEEDS for row in load(path)["results"]}
    for document in PAGES:
        for line in document.read_text(encoding="utf-8").splitlines():
            if any(re.match(rf"{re.escape(name)} {{2,}}", line) for name in names):
                assert line.strip() in known


def section(document: Path, title: str) -> str:
    text = document.read_text(encoding="utf-8")
    return re.split(r"^## ", text.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.M)[0]
