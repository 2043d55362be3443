"""`googlenet pack`, and what the other verbs make of what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from googlenet.data.shards.pack import Packer
from googlenet.images import turbo_jpeg
from googlenet.inference.model_file import read_tensors
from tests.cli.conftest import SMALL, Trained, command


@pytest.fixture(scope="module")
def packed(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images with which `trained` was trained, as they are."""
    out = tmp_path_factory.mktemp("packed") / "data"
    answer = command("pack", trained.data, out, "--original", "--json")
    assert answer.code == 0, answer.err
    assert answer.json() | {"seconds": 0} == {
        "out": str(out),
        "classes": 3,
        "photos": {"train": 12, "val": 6},
        "shards": 2,
        "bytes": sum(path.stat().st_size for path in out.glob("*.tar")),
        "left_out": 0,
        "seconds": 0,
    }
    assert "train-000000.tar: 12 images" in answer.err
    return out


def test_training_from_it_makes_the_same_model(
    trained: Trained, packed: Path, tmp_path: Path
) -> None:
    answer = command("train", packed, "--out", tmp_path / "run", *SMALL, "--json")
    assert answer.code == 0, answer.err
    one, other = (read_tensors(run / "last.safetensors") for run in (trained.run, tmp_path / "run"))
    assert one.keys() == other.keys()
    assert all(one[name].equal(other[name]) for name in one)
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["decoder"] == "turbo"
    assert settings["shuffle"] == "full"


def test_blocks_of_shards_and_an_old_decoder_are_remembered(packed: Path, tmp_path: Path) -> None:
    options = ["--shuffle", "blocks", "--decoder", "pillow", "--cache", "memory"]
    answer = command("train", packed, "--out", tmp_path / "run", *SMALL, *options)
    assert answer.code == 0, answer.err
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert [settings[k] for k in ("shuffle", "decoder", "cache")] == ["blocks", "pillow", "memory"]
    resumed = command("train", packed, "--out", tmp_path / "run", "--resume", "--shuffle", "full")
    assert resumed.code == 2
    assert "--resume takes the run's own settings, got --shuffle" in resumed.err


def test_evaluation_and_check_of_it_are_those_of_the_folder(trained: Trained, packed: Path) -> None:
    rows = [
        command("evaluate", trained.run, "--data", data, "--json").json()["results"]
        for data in (trained.data, packed)
    ]
    assert rows[0] == rows[1]
    found = [command("check", data, "--json").json() for data in (trained.data, packed)]
    assert [value["images"] for value in found] == [18, 18]
    assert [len(value["problems"]) for value in found] == [len(found[0]["problems"])] * 2


def test_prediction_of_it_is_that_of_the_folder(trained: Trained, packed: Path) -> None:
    def answers(path: Path) -> list[list[object]]:
        lines = command("predict", trained.run, path, "--json").out.splitlines()
        found = [json.loads(line) for line in lines]
        return sorted([Path(f["path"]).name, f["label"], f["probability"]] for f in found)

    assert len(answers(packed)) == 18
    assert answers(packed) == answers(trained.data)
    assert len(answers(packed / "val-000000.tar")) == 6


def test_what_was_shrunk(trained: Trained, tmp_path: Path) -> None:
    answer = command("pack", trained.data, tmp_path / "out", "--resize", "20", "--shard-size", "1")
    assert answer.code == 0
    assert answer.out.splitlines()[-1].startswith(
        f"{tmp_path / 'out'}: 18 images of 3 classes in 2 shards"
    )


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--quality", "101"], 2, "quality must be from 1 to 100, got 101"),
        (["--resize", "0"], 2, "must be a whole number of 1 or more, got '0'"),
        (["--seed", "-1"], 2, "seed must be from 0"),
    ],
)
def test_mistakes(
    trained: Trained, tmp_path: Path, options: list[str], code: int, message: str
) -> None:
    answer = command("pack", trained.data, tmp_path / "out", *options)
    assert answer.code == code
    assert message in answer.err


def test_ctrl_c_says_how_to_go_on(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Packer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Packer, "pack", interrupted)
    answer = command("pack", trained.data, tmp_path / "out")
    assert answer.code == 130
    assert f"kept in {tmp_path / '.out.part'}: run the same command again" in answer.out


def test_decoder_that_is_not_installed(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turbo_jpeg, "find_spec", lambda name: None)
    answer = command("train", trained.data, "--out", tmp_path / "run", *SMALL, "--decoder", "turbo")
    assert answer.code == 1
    assert "--decoder turbo needs simplejpeg: pip install 'googlenet[fast]'" in answer.err
