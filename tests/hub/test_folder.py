"""Folders and repositories of models: written, read, and found again, without a network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest

from googlenet import Classifier
from googlenet.runtime.errors import GoogLeNetError, UsageError
from tests.fixtures import encoded, noise, set_header, tiny_classifier

PHOTO = encoded(noise(50, 40, 3))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    tiny_classifier(classes=5).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's library, which may not ask the hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def test_a_folder_gives_the_same_answers(saved: Path) -> None:
    found = Classifier.from_pretrained(saved)
    assert list(found.predict([PHOTO])) == list(tiny_classifier(classes=5).predict([PHOTO]))
    assert {path.name for path in saved.iterdir()} == {
        *("README.md", "config.json", "model.safetensors")
    }
    config = json.loads((saved / "config.json").read_text())
    assert config["id2label"] == {str(n): f"name{n}" for n in range(5)}
    assert config["preprocessing"]["size"] == 32


def test_saving_again_keeps_what_a_person_wrote(saved: Path) -> None:
    (saved / "README.md").write_text("mine")
    tiny_classifier(classes=4).save_pretrained(saved)
    assert (saved / "README.md").read_text() == "mine"
    assert len(Classifier.from_pretrained(str(saved)).classes) == 4


def test_what_load_takes(saved: Path, tmp_path: Path) -> None:
    assert Classifier.from_pretrained(saved / "model.safetensors")
    (tmp_path / "run").mkdir()
    shutil.copy(saved / "model.safetensors", tmp_path / "run" / "last.safetensors")
    assert Classifier.from_pretrained(tmp_path / "run")
    with pytest.raises(UsageError, match="nowhere"):
        Classifier.from_pretrained("nowhere")


def test_a_repository_from_the_cache(saved: Path, cache: Path) -> None:
    """As the hub's own library lays it out: https://huggingface.co/docs/huggingface_hub."""
    root = cache / "models--someone--flowers"
    shutil.copytree(saved, root / "snapshots" / ("a" * 40))
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("a" * 40)
    (root / "refs" / "v2").write_text("a" * 40)
    for revision in (None, "v2", "a" * 40):
        assert len(Classifier.from_pretrained("someone/flowers", revision).classes) == 5


@pytest.mark.parametrize("name", ["someone/flowers", "someone/.."])
def test_a_repository_that_cannot_be_had(name: str, cache: Path) -> None:
    with pytest.raises(GoogLeNetError, match="cannot be had from the Hugging Face Hub") as error:
        Classifier.from_pretrained(name)
    assert "\n" not in str(error.value)


def test_without_the_package(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("googlenet.inference.backends.base.find_spec", lambda name: None)
    assert Classifier.from_pretrained(saved)
    with pytest.raises(GoogLeNetError, match=r"pip install 'googlenet\[hub\]'"):
        Classifier.from_pretrained("someone/flowers")


def test_a_folder_needs_no_package(saved: Path) -> None:
    program = (
        "import sys; sys.modules['huggingface_hub'] = None\n"
        "from googlenet import Classifier\n"
        f"Classifier.from_pretrained({str(saved)!r}).save_pretrained({str(saved / 'again')!r})"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
    assert (saved / "again" / "README.md").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GoogLeNetError, match="cannot be written"):
        tiny_classifier().save_pretrained(tmp_path / "file" / "model")


def test_calibration_comes_back(tmp_path: Path) -> None:
    from googlenet.inference.calibration import Calibration

    classifier = tiny_classifier()
    set_header(classifier, calibration=Calibration(2.5))
    classifier.save_pretrained(tmp_path)
    assert Classifier.from_pretrained(tmp_path).calibration == Calibration(2.5)
