"""An activation atlas: what a layer says of many places of many images, laid out by likeness.

After Carter et al. 2019, "Activation Atlas", doi 10.23915/distill.00015: activations at random
places are laid out in the plane, a grid is put over it, and each cell shows what is common to the
activations in it.  They lay out by UMAP; here it is scikit-learn's t-SNE.
"""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from googlenet.insight.chunks import Chunk
from googlenet.insight.microscope.data import data_path, pairs, write_data
from googlenet.insight.microscope.examples import (
    Floats,
    Integers,
    batches,
    load_views,
    save,
)
from googlenet.insight.microscope.plan import Plan
from googlenet.insight.microscope.votes import classifier_weights, highest, is_last
from googlenet.runtime.errors import GoogLeNetError

SAMPLED = 4000  # places in all, evenly over the images
PLACES = 4  # of an image at most
FEWEST = 10  # places that can be laid out
GRID = 14  # cells per side, at most
CROWDED = 8  # places per cell, at least, in the mean
CROWD = 2  # places in a cell that is shown
SHOWN = 9  # places named per cell
UNITS = CLASSES = 4  # named per cell
COMPONENTS = 50  # to which vectors are reduced before the layout
COST, LAYOUT_COST = 0.08, 40.0  # CPU-seconds per image, and per layer


def require_scikit_learn() -> None:
    if not find_spec("sklearn"):
        raise GoogLeNetError("--atlas needs scikit-learn: pip install 'googlenet[explain]'")


def vector_chunks(plan: Plan) -> list[Chunk]:
    if not plan.settings.atlas:
        return []
    return [
        Chunk(plan.work / f"atlas-{n:04}.npz", collect, (n,), COST * len(images))
        for n, images in enumerate(plan.chunks())
    ]


def layout_chunks(plan: Plan) -> list[Chunk]:
    """To be made after the vectors, of which they are."""
    return [
        Chunk(data_path(plan.folder, f"atlas-{name}"), write_layout, (name,), LAYOUT_COST)
        for name in reversed(plan.settings.atlas)
    ]


@torch.inference_mode()
def collect(plan: Plan, number: int) -> None:
    """The activations at some places of a chunk's images, for each atlas layer."""
    step = -(-len(plan.samples) // SAMPLED)
    count = min(PLACES, max(1, SAMPLED // len(plan.samples)))
    images, views, _ = load_views(plan, (i for i in plan.chunks()[number] if i % step == 0))
    names = plan.settings.atlas
    found: dict[str, list[Any]] = {name: [] for name in names}
    drawn: dict[str, list[Any]] = {name: [] for name in names}
    for part in batches(views):
        with plan.network.tap(*names) as maps:
            plan.network(plan.header.preprocessing.normalize(torch.from_numpy(part)))
        for name in names:
            flat = maps[name].flatten(2).numpy()
            for vectors in flat:
                rng = np.random.default_rng((plan.settings.seed, images[len(found[name])]))
                places = rng.permutation(vectors.shape[1])[:count]
                found[name].append(vectors[:, places].T)
                drawn[name].append(places)
    arrays: dict[str, Any] = {}
    for name in names:
        each = [len(places) for places in drawn[name]]
        arrays[f"{name}.images"] = np.repeat(np.array(images, int), each)
        if each:
            arrays[f"{name}.places"] = np.concatenate(drawn[name])
            arrays[f"{name}.vectors"] = np.concatenate(found[name])
    save(plan.work / f"atlas-{number:04}.npz", **arrays)


class Places(NamedTuple):
    """images, places: (N,); vectors: (N, channels), the activations of all units there."""

    images: Integers
    places: Integers
    vectors: Floats


def read_places(plan: Plan, layer: str) -> Places:
    """Of all chunks; places that excite no unit have nothing to show."""
    images, places, vectors = [], [], []
    for chunk in vector_chunks(plan):
        with np.load(chunk.path) as arrays:
            if f"{layer}.vectors" in arrays:
                images.append(arrays[f"{layer}.images"])
                places.append(arrays[f"{layer}.places"])
                vectors.append(arrays[f"{layer}.vectors"])
    every = np.concatenate(vectors)
    excited = every.any(1)
    return Places(np.concatenate(images)[excited], np.concatenate(places)[excited], every[excited])


def write_layout(plan: Plan, layer: str) -> None:
    """data/atlas-LAYER.js: the cells of the grid; and the mean activations of each, for work."""
    found = read_places(plan, layer)
    side = max(1, min(GRID, round(np.sqrt(len(found.images) / CROWDED))))
    cells = cells_of(layout(found.vectors, plan.settings.seed), side)
    rows, means = [], []
    for (row, column), members in sorted(cells.items()):
        mean = found.vectors[members].mean(0)
        means.append(mean)
        near = members[np.argsort(-likeness(found.vectors[members], mean), kind="stable")[:SHOWN]]
        rows.append(
            {
                "at": [row, column],
                "count": len(members),
                "places": [[int(found.images[i]), int(found.places[i])] for i in near],
                "units": pairs(highest(mean, UNITS)),
                "classes": classes_of(plan, layer, mean, found.images[members]),
            }
        )
    own = np.stack(means) if means else np.zeros((0, plan.layer(layer).channels), np.float32)
    at = np.array([row["at"] for row in rows], int).reshape(-1, 2)
    save(plan.work / f"cells-{layer}.npz", means=own, at=at, side=side)
    write_data(plan.folder, f"atlas-{layer}", {"side": side, "cells": rows})


def layout(vectors: Floats, seed: int) -> Floats:
    """(N, channels) -> (N, 2): like vectors near each other, from 0 to 1 either way."""
    if len(vectors) < FEWEST or vectors.shape[1] < 2:
        return np.linspace(0, 1, 2 * len(vectors), dtype=np.float64).reshape(-1, 2)
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    size = min(COMPONENTS, *units.shape)
    with threadpool_limits(1):  # the same bits on any number of cores
        reduced = PCA(size, svd_solver="full").fit_transform(units.astype(np.float64))
        perplexity = min(30.0, (len(units) - 1) / 3)
        found = TSNE(perplexity=perplexity, random_state=seed).fit_transform(reduced)
    low, high = np.percentile(found, [1, 99], axis=0)
    return np.asarray((found - low) / np.maximum(high - low, 1e-9)).clip(0, 1)


def cells_of(plane: Floats, side: int) -> dict[tuple[int, int], NDArray[np.intp]]:
    """The rows of the points in each cell of the grid that has a crowd of them."""
    at = np.minimum((plane * side).astype(int), side - 1)
    found: dict[tuple[int, int], NDArray[np.intp]] = {}
    for row, column in {(int(row), int(column)) for row, column in at}:
        members = np.flatnonzero((at == (row, column)).all(1))
        if len(members) >= CROWD or side == 1:
            found[row, column] = members
    return found


def likeness(vectors: Floats, mean: Floats) -> Floats:
    """The cosine of the angle between each vector and the mean, which has positive parts."""
    return np.asarray(vectors @ mean / np.linalg.norm(vectors, axis=1))


def classes_of(plan: Plan, layer: str, mean: Floats, images: Integers) -> list[list[float]]:
    """What the cell says for: by the classifier's weights for the last map, elsewhere the classes
    of its images, with how many there are of each."""
    if is_last(plan, layer):
        return pairs(highest(classifier_weights(plan) @ mean, CLASSES))
    if not plan.labeled:
        return []
    counts = Counter(c for image in images for c in plan.samples.classes_of(int(image)))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [[c, n] for c, n in ranked[:CLASSES]]
