"""Embeddings: the network's own activations, averaged; files that say the same in three formats."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from googlenet import Classifier
from googlenet.data.labels import Class
from googlenet.images.preprocess import Preprocessing
from googlenet.insight.embedding_file import read_embeddings, write_embeddings
from googlenet.insight.embeddings import Embedder, Embedding
from googlenet.models.cost import NAMES
from googlenet.models.registry import build_network
from googlenet.runtime.errors import GoogLeNetError, UsageError
from tests.fixtures import noise, slow, tiny_classifier
from tests.insight.networks import QUICK

SIZES = {"alexnet": 96, "nin": 96, "vgg16": 64, "lenet5": 32}


def classifier_of(variant: str, channels: int) -> Classifier:
    size = SIZES.get(variant, 48)
    generator = torch.Generator().manual_seed(2)
    network = build_network(
        variant, 3, size=size, in_channels=channels, width=0.05, generator=generator
    ).eval()
    classes = [Class(name, name) for name in "abc"]
    p = Preprocessing(size=size, resize_size=size)
    if channels == 1:
        p = replace(p, channel_order="L", mean=(127.0,), scale=(0.02,))
    return Classifier.from_network(network, classes, p)


@pytest.mark.parametrize(
    ("variant", "channels"),
    [
        *((name, 3) if name in QUICK else slow(name, 3) for name in NAMES),
        slow("paper", 1),
        ("bn", 1),
    ],
)
def test_any_tap_of_any_network(variant: str, channels: int) -> None:
    """The fast path and the tapped one give what a plain forward pass of the network gives."""
    classifier = classifier_of(variant, channels)
    photos = [noise(50, 60, seed) for seed in range(3)]
    x = classifier.preprocessing.normalize(
        torch.from_numpy(np.stack([classifier.load_input(photo) for photo in photos]))
    )
    network = classifier.network
    assert classifier.backend.network is network
    default = Embedder(classifier).layer
    stages = [name for name in network.trunk if not name.startswith(("dropout", "classifier"))]
    inner = next(name for name in network.tap_names() if name.endswith(":pre"))
    last = "classifier" if "classifier" in network.tap_names() else network.trunk[-1]
    for layer in {default, stages[0], stages[-1], inner, last}:
        with torch.inference_mode(), network.tap(layer) as activations:
            network(x)
        maps = activations[layer]
        expected = maps.mean((2, 3)) if maps.dim() == 4 else maps
        embedder = Embedder(classifier, layer)
        found = np.stack(
            [e.vector for e in embedder.embed(photos, batch=2) if e.vector is not None]
        )
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
        assert embedder.dimensions == found.shape[1]
    unit = next(iter(Embedder(classifier, l2=True).embed(photos[:1]))).vector
    assert unit is not None
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-5)


def test_the_last_map_is_what_the_classifier_sees() -> None:
    classifier = tiny_classifier(size=32)
    photo = noise(40, 40)
    (embedding,) = Embedder(classifier).embed([photo])
    head = classifier.network.get_submodule("classifier")
    assert embedding.vector is not None
    logits = head(torch.from_numpy(embedding.vector)).detach().numpy()
    expected = classifier.outputs([classifier.load_input(photo)]).logits[0]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_auxiliary_heads_and_unknown_layers() -> None:
    classifier = tiny_classifier(heads=True)
    assert Embedder(classifier, "aux_4a.fc").dimensions == round(1024 * 0.05)
    with pytest.raises(UsageError, match=r"inception_4b\.5x5.*got 'inception_4b\.7x7'"):
        Embedder(classifier, "inception_4b.7x7")


ROWS = [
    Embedding("a.png", np.array([0.1, -2.5e-8, 3], np.float32)),
    Embedding("b\udce9.png", error="b: cannot be read"),
    Embedding("ü,\n.png", np.array([1, 2, 3e30], np.float32)),
]


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_files_hold_what_was_written(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    write_embeddings(path, ROWS, (3, 3), {"layer": "l"})
    first = path.read_bytes()
    paths, vectors, facts = read_embeddings(path)
    assert paths == ["a.png", "b\udce9.png" if kind == "npz" else "b\\udce9.png", "ü,\n.png"]
    assert np.isnan(vectors[1]).all()
    for at in (0, 2):
        np.testing.assert_array_equal(vectors[at], ROWS[at].vector)
    assert facts == {"layer": "l"}
    write_embeddings(path, ROWS, (3, 3), {"layer": "l"})
    assert path.read_bytes() == first


def test_parquet_has_null_for_an_unreadable_image(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_embeddings(tmp_path / "x.parquet", ROWS, (3, 3), {})
    rows = parquet.read_table(tmp_path / "x.parquet").to_pylist()
    assert rows[1] == {
        "path": "b\\udce9.png", "embedding": None, "error": "b: cannot be read",
    }  # fmt: skip
    assert rows[0]["error"] is None


def test_csv_has_every_digit(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "x.csv", ROWS, (3, 3), {})
    with (tmp_path / "x.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "error", "e0", "e1", "e2"]
    assert [np.float32(rows[0][f"e{i}"]) for i in range(3)] == [
        np.float32(0.1),
        np.float32(-2.5e-8),
        3,
    ]
    assert (rows[1]["e0"], rows[1]["error"]) == ("", "b: cannot be read")


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Embedding]:
        yield ROWS[0]
        raise KeyboardInterrupt

    for kind in ("csv", "npz", "parquet"):
        with pytest.raises(KeyboardInterrupt):
            write_embeddings(tmp_path / f"x.{kind}", interrupted(), (3, 3), {})
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_embeddings(tmp_path: Path) -> None:
    pyarrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    (tmp_path / "x.npz").write_bytes(b"nothing")
    (tmp_path / "x.parquet").write_bytes(b"nothing")
    np.savez(tmp_path / "y.npz", path=np.array(["a"]))
    np.savez(tmp_path / "z.npz", path=["a"], embedding=np.ones((2, 3)), googlenet="{}")
    parquet.write_table(
        pyarrow.table({"path": ["a"], "embedding": [[1.0]]}), tmp_path / "y.parquet"
    )
    for name in ("x.npz", "x.parquet", "y.npz", "z.npz", "y.parquet", "none.npz"):
        with pytest.raises(GoogLeNetError, match=f"{name}: is not a file of embeddings"):
            read_embeddings(tmp_path / name)
    with pytest.raises(UsageError, match=r"must end in \.npz or \.parquet, got x\.csv"):
        read_embeddings(Path("x.csv"))
