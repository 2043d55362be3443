"""`googlenet table`: a JSON value with the agreed keys, a text of 100 columns, no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from googlenet.cli import main
from googlenet.models import table
from googlenet.models.cost import NAMES


def table_json(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main(["table", "--json", *options]) == 0
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return value


def table_text(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["table", *options]) == 0
    return capsys.readouterr().out


def test_json_of_the_paper(capsys: pytest.CaptureFixture[str]) -> None:
    value = table_json(capsys)
    assert {"variant", "rows", "params", "macs", "layers"} <= set(value)
    assert all({"name", "output", "params", "macs"} <= set(row) for row in value["rows"])
    assert (value["variant"], value["layers"]) == ("paper", 22)
    assert (value["params"], value["macs"]) == (6_998_552, 1_582_671_872)
    assert sum(row["params"] for row in value["rows"]) == value["params"]
    assert sum(row["macs"] for row in value["rows"]) == value["macs"]
    row = next(row for row in value["rows"] if "4a" in row["name"])
    assert (row["output"], row["params"], row["macs"]) == ([14, 14, 512], 376_176, 73_608_192)
    assert row["printed"] == {
        "params": "364K", "macs": "73M", "params_follow": False, "macs_follow": False,
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_json_of_every_network(capsys: pytest.CaptureFixture[str], name: str) -> None:
    value = table_json(capsys, "--variant", name)
    assert value["variant"] == name
    compared = {network["variant"]: network for network in value["compared"]}
    assert list(compared) == list(NAMES)
    assert {key: value[key] for key in compared[name]} == compared[name]


def test_options_reach_the_count(capsys: pytest.CaptureFixture[str]) -> None:
    value = table_json(
        capsys, "--variant", "bn", "--size", "96", "--classes", "10", "--width", "0.5"
    )
    assert (value["size"], value["classes"], value["width"]) == (96, 10, 0.5)
    assert value["rows"][0]["output"] == [48, 48, 32]
    assert value["rows"][-1]["output"] == [1, 1, 10]


@pytest.mark.parametrize("name", NAMES)
def test_text_fits_100_columns(capsys: pytest.CaptureFixture[str], name: str) -> None:
    lines = table_text(capsys, "--variant", name).splitlines()
    assert max(map(len, lines)) <= 100
    assert not any(line != line.rstrip() for line in lines)


def cells(text: str, name: str) -> list[str]:
    """The cells of the first line of that name."""
    line = next(line for line in text.splitlines() if line.startswith(name))
    return line.removeprefix(name).split()


def test_text_shows_count_and_print_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    text = table_text(capsys)
    assert cells(text, "inception (5a)") == [
        "7×7×832", "1,043,456", "51,079,168", "355.2", "1072K!", "54M!",
    ]  # fmt: skip
    assert cells(text, "total") == [
        "6,998,552", "1,582,671,872", "21,283.1", "6797.7K!", "1502M!",
    ]  # fmt: skip
    assert "22 layers with parameters, 27 with pools; 97 building blocks" in text
    assert "1,500,878,720" in text
    assert cells(text, "12× fewer parameters than AlexNet") == ["8.7×"]
    assert cells(text, "naive")[2:6] == ["97,526,008", "13.94", "12,568,061,056", "7.94"]


def test_text_of_a_variant_shows_its_own_filters(capsys: pytest.CaptureFixture[str]) -> None:
    text = table_text(capsys, "--variant", "torchvision")
    filters = next(line for line in text.splitlines() if line.startswith("filters"))
    assert "5×5 reduce" not in filters
    naive = table_text(capsys, "--variant", "naive").split("filters", 1)[1]
    assert cells(naive, "inception (3a)") == [
        "64", "-", "128", "-", "32", "-", "416", "38.5%",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--variant", "resnet"], "variant must be one of paper, "),
        (["--variant", "alexnet", "--size", "20"], "size must be at least 39 for alexnet, got 20"),
        (["--width", "0"], "width must be above 0 and at most 16, got 0.0"),
    ],
)
def test_bad_usage_is_one_sentence(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["table", *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_runs_without_torch() -> None:
    program = (
        "import sys; from googlenet.cli import main; code = main(['table']); "
        "sys.exit(code or ('torch' in sys.modules and 'torch was imported'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"6,998,552" in done.stdout


def test_a_table_of_widths(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    modules = table.TABLE_1 | {"5b": table.TABLE_1["5b"]._replace(c1=100)}
    path.write_text(json.dumps(table.table_json("mine", "bn", modules)))
    value = table_json(capsys, "--variant", str(path))
    assert value["variant"] == "mine"
    bn = table_json(capsys, "--variant", "bn")
    assert bn["params"] - value["params"] == 284 * (832 + 2 + 1000)
    assert "inception (5b)  100" in table_text(capsys, "--variant", str(path))


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"variant": "mine", "rows": []}'])
def test_a_table_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "table.json"
    if content is not None:
        path.write_text(content)
    assert main(["table", "--variant", str(path)]) == 2
    assert f"--variant {path}: " in capsys.readouterr().err
