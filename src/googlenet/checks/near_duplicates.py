"""Images that look alike: re-encoded, resized, a little brighter or a little cropped.

Two steps.  First, each image is a unit vector of its lowest frequencies: the 8×8 first terms of
the cosine transform of a 32×32 gray thumbnail without the mean, each replaced by the square root
of its size, so that the largest do not decide alone.  (The perceptual hash "pHash" keeps the
signs of these terms; the roots find more at the same number of false pairs, docs/check.md has
the figures.)  The vectors' products, a matrix multiplication, select the pairs that could be
alike.  Second, these pairs are compared by 16×16 terms, each whole image with windows of the
other, which finds cropped images, and the best of these similarities decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from googlenet.runtime.watchdog import beat

Thumbnails = NDArray[np.uint8]  # (N, SIDE, SIDE)
Floats = NDArray[np.float32]

SIDE = 32  # of a thumbnail
COARSE, FINE = 8, 16  # terms a side in the first and the second step
MIN_CANDIDATE_SIMILARITY = 0.55  # similarity from which the first step passes a pair on
MIN_SIMILARITY = 0.82  # similarity from which the second step calls a pair alike
WINDOW_FRACTIONS = (1.0, 0.96, 0.92, 0.88, 0.84)  # fraction of the side that a cropped image keeps
FLAT_STD = 2.0  # standard deviation of a thumbnail, of 255, below which there is nothing to compare
NEIGHBORS = 20  # candidates of an image among the training images, and among the others
BLOCK = 1024  # images, and pairs, worked on at once


class Pair(NamedTuple):
    """Two images that are alike, `first` < `second`, and how much: 1 is identity."""

    first: int
    second: int
    similarity: float


def thumbnail(image: Image.Image) -> NDArray[np.uint8]:
    """A decoded image of SIDE pixels or more a side as SIDE × SIDE luma, each an area's mean."""
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))


def near_duplicates(thumbnails: Thumbnails, boundary: int) -> Iterator[Pair]:
    """Pairs of images that are alike, each image with up to 2 · NEIGHBORS earlier ones.

    boundary: how many of the images, from the first, are training images; each image's most
    similar ones are looked for among these and among the others, so that neither hides the other.
    """
    if not len(thumbnails):
        return
    vectors = signature(thumbnails.astype(np.float32), whole_window(COARSE), whole_window(COARSE))
    vectors[thumbnails.std((1, 2)) < FLAT_STD] = 0
    waiting: list[tuple[int, int]] = []
    for candidate in candidates(vectors, boundary):
        waiting.append(candidate)
        if len(waiting) == BLOCK:
            yield from confirmed(thumbnails, waiting)
            waiting = []
    if waiting:
        yield from confirmed(thumbnails, waiting)


def candidates(vectors: Floats, boundary: int) -> Iterator[tuple[int, int]]:
    """Pairs of at least MIN_CANDIDATE_SIMILARITY, the NEIGHBORS most similar of each image."""
    for begin in range(0, len(vectors), BLOCK):
        beat()
        rows = vectors[begin : begin + BLOCK]
        for low, high in ((0, boundary), (boundary, len(vectors))):
            high = min(high, begin + len(rows))  # only earlier ones
            if low >= high:
                continue
            similar = rows @ vectors[low:high].T
            later = np.arange(low, high) >= np.arange(begin, begin + len(rows))[:, None]
            similar[later] = -1
            kept = min(NEIGHBORS, high - low)
            nearest = np.argpartition(similar, -kept, axis=1)[:, -kept:]
            good = np.take_along_axis(similar, nearest, 1) >= MIN_CANDIDATE_SIMILARITY
            for row, column in np.argwhere(good):
                yield low + int(nearest[row, column]), begin + int(row)


def confirmed(thumbnails: Thumbnails, pairs: list[tuple[int, int]]) -> Iterator[Pair]:
    """The pairs of which an image, whole, is like the other or a window of it."""
    first, second = (thumbnails[list(side)].astype(np.float32) for side in zip(*pairs, strict=True))
    terms = whole_window(FINE)
    whole_first, whole_second = (signature(t, terms, terms) for t in (first, second))
    best = products(whole_first, whole_second)
    for rows, columns in cropped_windows():
        np.maximum(best, products(signature(first, rows, columns), whole_second), out=best)
        np.maximum(best, products(signature(second, rows, columns), whole_first), out=best)
        beat()
    for (earlier, later), similarity in zip(pairs, best.tolist(), strict=True):
        if similarity >= MIN_SIMILARITY:
            yield Pair(earlier, later, similarity)


def products(first: Floats, second: Floats) -> Floats:
    """(N,): the product of each vector of one side with its partner."""
    return np.asarray(np.einsum("nk,nk->n", first, second), np.float32)


def signature(thumbnails: Floats, rows: Floats, columns: Floats) -> Floats:
    """Unit vectors (N, terms² − 1) of (N, SIDE, SIDE): signed roots of a window's cosine terms.

    rows, columns: (terms, SIDE), the cosine transform of the window's rows and columns.
    """
    terms = (rows @ thumbnails @ columns.T).reshape(len(thumbnails), -1)[:, 1:]
    sizes = np.abs(terms)
    # Each root's square is the size, so these are unit vectors.
    sizes /= np.maximum(sizes.sum(1, keepdims=True), 1e-12)
    np.sqrt(sizes, out=sizes)
    return np.copysign(sizes, terms, out=sizes)


@cache
def whole_window(terms: int) -> Floats:
    return cosine_terms(terms, 0.0, 1.0)


@cache
def cropped_windows() -> tuple[tuple[Floats, Floats], ...]:
    """Each window but the whole: its transforms of rows and columns."""
    found = []
    for share in WINDOW_FRACTIONS[1:]:
        begins = (0.0, (1 - share) / 2, 1 - share)
        transforms = [cosine_terms(FINE, begin, share) for begin in begins]
        found += [(rows, columns) for rows in transforms for columns in transforms]
    return tuple(found)


def cosine_terms(terms: int, begin: float, share: float) -> Floats:
    """(terms, SIDE): the first terms of the cosine transform of a window of SIDE samples.

    The window begins at `begin` and is `share` of the whole; it is resampled to FINE samples,
    each the mean of its part (the whole for COARSE terms: to SIDE).
    """
    samples = FINE if terms == FINE else SIDE
    edges: NDArray[np.float64] = SIDE * np.linspace(begin, begin + share, samples + 1)
    cells = np.arange(SIDE)[None, :]
    covered = np.minimum(edges[1:].reshape(-1, 1), cells + 1) - np.maximum(
        edges[:-1].reshape(-1, 1), cells
    )
    means = covered.clip(0) / covered.clip(0).sum(1, keepdims=True)
    angles = np.pi / samples * (np.arange(samples) + 0.5) * np.arange(terms).reshape(-1, 1)
    scale = np.full((terms, 1), np.sqrt(2 / samples))
    scale[0] = np.sqrt(1 / samples)
    return np.asarray((scale * np.cos(angles)) @ means, np.float32)
