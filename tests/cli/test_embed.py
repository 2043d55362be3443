"""`googlenet embed` and `googlenet neighbors`: files of vectors, and what lies near in them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from googlenet import Classifier
from googlenet.insight.embedding_file import read_embeddings
from googlenet.insight.embeddings import Embedder
from tests.cli.conftest import Trained, command

DIMENSIONS = 19 + 19 + 6 + 6  # Table 1's 5b, a twentieth of the width


@pytest.fixture
def photos(trained: Trained, tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    shutil.copytree(trained.data / "val", folder)
    (folder / "bad.jpg").write_text("no photo")
    return folder


@pytest.mark.parametrize("kind", ["parquet", "npz", "csv"])
def test_a_row_an_image(trained: Trained, photos: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "new" / f"x.{kind}"
    answer = command("embed", trained.run, photos, "--out", out, "--json")
    assert answer.code == 0
    assert answer.err == "1 of 7 images could not be read\n"
    found = answer.json()
    assert (found["images"], found["dimensions"], found["out"]) == (7, DIMENSIONS, str(out))
    if kind == "csv":
        assert len(out.read_text().splitlines()) == 8
        return
    paths, vectors, _ = read_embeddings(out)
    assert paths == sorted(str(path) for path in photos.rglob("*.*"))
    assert np.isnan(vectors).any(1).tolist() == [path.endswith("bad.jpg") for path in paths]
    embedder = Embedder(Classifier.load(trained.run))
    (expected,) = embedder.embed([paths[1]])
    assert expected.vector is not None
    np.testing.assert_allclose(vectors[1], expected.vector, rtol=1e-5, atol=1e-6)


def test_nothing_but_bad_images_is_1(trained: Trained, photos: Path, tmp_path: Path) -> None:
    answer = command("embed", trained.run, photos / "bad.jpg", "--out", tmp_path / "x.npz")
    assert answer.code == 1
    assert read_embeddings(tmp_path / "x.npz")[1].shape == (1, DIMENSIONS)


@pytest.mark.parametrize("from_file", [True, False])
def test_neighbors_of_an_image(
    trained: Trained, photos: Path, tmp_path: Path, from_file: bool
) -> None:
    within = photos
    image = photos / "red" / "0.png"
    shutil.copy(image, photos / "twin.png")
    if from_file:
        within = tmp_path / "x.parquet"
        command("embed", trained.run, photos, "--out", within, "--layer", "4a", "--l2")
    page = tmp_path / "page.html"
    options = ["--within", within, "--layer", "4a", "--out", page, "--json", "--top", 3]
    answer = command("neighbors", trained.run, image, *options)
    assert answer.code == 0, answer.err
    found = answer.json()["neighbors"]
    assert len(found) == 3
    assert found[0]["path"] == str(photos / "twin.png")  # not the image itself
    assert found[0]["similarity"] == pytest.approx(1, abs=1e-5)
    text = page.read_text()
    assert text.count("data:image/jpeg") == 4
    assert "http" not in text


def test_neighbors_in_shards(trained: Trained, tmp_path: Path) -> None:
    assert command("pack", trained.data, tmp_path / "packed").code == 0
    image = trained.data / "val" / "red" / "0.png"
    page = tmp_path / "page.html"
    options = ["--within", tmp_path / "packed", "--out", page, "--top", 2]
    answer = command("neighbors", trained.run, image, *options)
    assert answer.code == 0, answer.err
    first = answer.out.splitlines()[0]
    assert first.startswith("1.0000  ")  # its copy
    assert ".tar" in first
    assert page.read_text().count("data:image/jpeg") == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["embed", "RUN", "PHOTOS", "--out", "x.txt"], 2, "--out must end in .parquet, .npz or"),
        (["embed", "RUN", "PHOTOS", "--out", "x.npz", "--layer", "4z"], 2, "got '4z'"),
        (["neighbors", "RUN", "PHOTOS/red/0.png", "--within", "FILE"], 2, "from inception_4a of"),
        (["neighbors", "RUN", "PHOTOS/bad.jpg", "--within", "PHOTOS"], 1, "cannot be read"),
        (["neighbors", "RUN", "PHOTOS/red/0.png", "--within", "none.npz"], 2, "got none.npz"),
    ],
)
def test_refusals_are_one_sentence(
    arguments: list[str], code: int, message: str, trained: Trained, photos: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    facts = '{"layer": "inception_4a", "model": "another"}'
    np.savez("file.npz", path=np.array(["a"]), embedding=np.ones((1, 26)), googlenet=facts)
    places = {"RUN": str(trained.run), "PHOTOS": str(photos), "FILE": "file.npz"}
    words = [places.get(a, a.replace("PHOTOS", str(photos))) for a in arguments]
    answer = command(*words)
    assert (answer.code, answer.out) == (code, ""), answer.err
    assert message in answer.err.splitlines()[0]
