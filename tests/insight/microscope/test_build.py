"""A site made in one go or in several, by one process or two, has the same bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from googlenet.data.dataset import Samples
from googlenet.insight.circuits import expanded_weights, strongest
from googlenet.insight.microscope import plan as plans
from googlenet.insight.microscope.build import Deadline, build
from googlenet.insight.microscope.votes import HALF
from googlenet.runtime.errors import GoogLeNetError, UsageError
from tests.insight.microscope.small import contents, samples, small_plan


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "IMAGES_PER_CHUNK", 5)


def value_of(folder: Path, name: str) -> Any:
    """What a data file hands to the page."""
    text = (folder / "data" / f"{name}.js").read_text(encoding="ascii")
    found = re.fullmatch(r'microscope\("([^"]+)",(.*)\);\n', text)
    assert found
    assert found[1] == name
    return json.loads(found[2])


def test_one_go_and_one_part_at_a_time(tmp_path: Path) -> None:
    whole = small_plan(tmp_path / "whole")
    result = build(whole)
    assert result.complete
    assert result.bytes == sum(map(len, contents(whole.folder).values()))

    parts, rounds = small_plan(tmp_path / "parts"), 0
    while True:
        calls = iter([False, True])
        found = build(parts, should_stop=lambda calls=calls: next(calls, True))  # type: ignore[misc]
        rounds += 1
        if found.complete:
            break
        assert found.done == rounds
    assert rounds == result.chunks
    assert contents(parts.folder) == contents(whole.folder)
    assert not whole.work.exists()
    assert build(whole).complete  # nothing is left to do


def test_what_a_kill_leaves_behind_goes(tmp_path: Path) -> None:
    plan = small_plan(tmp_path / "site")
    build(plan, should_stop=lambda: True)
    (plan.folder / "data" / ".units.js.1.part").write_text("half")
    (plan.work / ".examples-0000.npz.1.part").write_text("half")
    build(plan)
    assert not list(plan.folder.rglob("*.part"))


def test_the_page_has_what_it_loads(tmp_path: Path) -> None:
    plan = small_plan(tmp_path / "site")
    build(plan)
    site = value_of(plan.folder, "site")
    assert [layer["name"] for layer in site["layers"]] == ["inception_3a", "inception_5b"]
    assert [layer["votes"] for layer in site["layers"]] == ["means", "weights"]
    units = value_of(plan.folder, "units")
    for layer in plan.layers:
        rows = value_of(plan.folder, f"layer-{layer.name}")
        assert len(rows) == len(units[layer.name]) == layer.units
        assert all(0 <= row["excites"] <= 3 for row in rows)
    for source, target in site["connections"]:
        pair = value_of(plan.folder, f"connections-{source}-{target}")
        weights = expanded_weights(plan.network, source, target)
        for unit, rows in enumerate(pair["before"]):
            expected = strongest(weights, unit)
            assert [row[0] for row in rows] == [c.unit for c in expected if c.strength]
    status = value_of(plan.folder, "status")
    assert len(status["there"]) == status["parts"]
    assert all((plan.folder / part).is_file() for part in status["there"])
    assert len(list((plan.folder / "images").iterdir())) == site["images"] == 12
    for record in value_of(plan.folder, "images-000"):
        assert set(record["layers"]) == {"inception_3a", "inception_5b"}


def test_votes_of_the_last_map_are_the_classifiers(tmp_path: Path) -> None:
    plan = small_plan(tmp_path / "site")
    build(plan)
    weights = plan.network.classifier.weight.detach().numpy()
    for unit, row in enumerate(value_of(plan.folder, "layer-inception_5b")):
        named = dict(row["for"] + row["against"])
        for c, value in named.items():
            assert value == pytest.approx(weights[c, unit], rel=0.01)
        assert len(named) == 3
    assert HALF == 0.5


def test_few_classes_few_images_without_labels(tmp_path: Path) -> None:
    plan = small_plan(tmp_path / "site", samples(2, 1), labeled=False, classes=1)
    assert build(plan).complete
    (only,) = value_of(plan.folder, "classes-000")
    assert only["images"] == len(only["typical"]) == 2
    assert all(len(row["top"]) <= 2 for row in value_of(plan.folder, "layer-inception_5b"))


def test_other_folders_are_refused(tmp_path: Path) -> None:
    plan = small_plan(tmp_path / "site")
    build(plan, should_stop=lambda: True)
    with pytest.raises(UsageError, match="another model"):
        build(small_plan(tmp_path / "site", units=3))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="empty folder"):
        build(small_plan(tmp_path / "full"))
    (plan.folder / "microscope.json").write_text("{")
    with pytest.raises(GoogLeNetError, match="damaged"):
        build(plan)


def test_no_readable_image(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(GoogLeNetError, match=r"no image could be read.*broken\.png"):
        build(small_plan(tmp_path / "site", Samples((broken,), (0,))))


def test_deadline() -> None:
    now = iter([0.0, 9.0, 10.0])
    over = Deadline(10, lambda: next(now))
    assert [over(), over()] == [False, True]
    assert not Deadline(None)()
