"""Units that fire together, how far apart they do so, and which of them make a cluster.

A pair of units votes for the window in which it correlates most: for the ring of that offset if
it correlates there a tenth more than overlapping receptive fields explain, in both halves of the
images, else for 1×1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from googlenet.topology.statistics import RINGS, Correlations, Floats, null_model

Ints = NDArray[np.int64]

PARTNERS = 24  # of each unit: those that it correlates with most
VOTERS = 0.05  # of the units, from which votes are counted
SIGNIFICANT = 4.0  # standard errors
EXCESS = 0.1  # of a correlation must be beyond the null model
EXTENT = 0.8  # of a cluster's votes lie within its window
STABLE = 0.6  # adjusted Rand index between halves from which clusters are counted
CLUSTER_SIZE = (2, 16)  # units of a cluster in the mean, from and to


@dataclass(frozen=True)
class Votes:
    """For each pair of units: strength (C, C), 0 for those that do not vote, and ring (C, C)."""

    strength: Floats
    ring: Ints

    def by_unit(self) -> Floats:
        """(C, 3): each unit's votes for 1×1, 3×3, and 5×5; a unit without partners needs 1×1."""
        votes = np.stack([(self.strength * (self.ring == k)).sum(1) for k in range(3)], 1)
        total = votes.sum(1, keepdims=True)
        alone = np.eye(3)[np.zeros(len(votes), int)]
        result: Floats = np.where(total > 0, votes / np.maximum(total, 1e-300), alone)
        return result

    def shares(self) -> Floats:
        """(3,): the mean of the units' votes; where hardly any unit has partners, all is 1×1."""
        votes = self.by_unit()
        voted = (self.strength > 0).any(1)
        result: Floats = votes[voted].mean(0) if voted.mean() >= VOTERS else np.eye(3)[0]
        return result


def votes_of_halves(found: Correlations) -> tuple[Votes, Votes]:
    """The pairs' votes, chosen in one half of the images and confirmed in the other, both ways."""
    return (
        confirmed(found.first, found.second, found.noise),
        confirmed(found.second, found.first, found.noise),
    )


def joined(one: Votes, other: Votes) -> Votes:
    """The sum of two halves' votes; where they differ in the ring, the stronger has it."""
    ring = np.where(one.strength >= other.strength, one.ring, other.ring)
    return Votes(one.strength + other.strength, ring)


def confirmed(a: Floats, b: Floats, noise: float) -> Votes:
    """Votes of pairs chosen by `a`, of which `b` must say the same."""
    units = a.shape[1]
    bar = SIGNIFICANT * noise
    c, d = np.indices((units, units), sparse=True)
    best = np.abs(a).argmax(0)  # (C, C): the offset at which the pair correlates most
    at_best, same = a[best, c, d], b[best, c, d]
    both = (np.abs(at_best) > bar) & (np.abs(same) > bar) & (at_best * same > 0) & (c != d)
    excess_a = (at_best - null_model(a, best)) * np.sign(at_best)
    excess_b = (same - null_model(b, best)) * np.sign(at_best)
    least = np.maximum(bar, EXCESS * np.abs(at_best))
    beyond = (excess_a > least) & (excess_b > least)
    strength = np.where(both, at_best * same, 0.0).astype(np.float64)
    kept = np.argsort(-strength, axis=1, kind="stable")[:, :PARTNERS]
    chosen = np.zeros_like(strength)
    np.put_along_axis(chosen, kept, np.take_along_axis(strength, kept, 1), 1)
    return Votes(chosen, np.where(beyond, RINGS[best], 0).astype(np.int64))


@dataclass(frozen=True)
class Clusters:
    """labels: (C,) cluster of each unit, by size.  extents: the ring of each cluster.

    stability: adjusted Rand index between the clusters of two halves of the images.
    """

    labels: Ints
    extents: tuple[int, ...]
    stability: float

    @property
    def order(self) -> Ints:
        """The units, cluster by cluster."""
        return np.argsort(self.labels, kind="stable")


def find_clusters(found: Correlations, votes: Votes) -> Clusters:
    """Average linkage on 1 − max |R|, cut where the silhouette is best."""
    labels, count = best_cut(found.mean)
    halves = [cut(r, count) for r in (found.first, found.second)]
    labels = by_size(labels)
    extents = tuple(extent(votes, labels == k) for k in range(labels.max() + 1))
    return Clusters(labels, extents, adjusted_rand(*halves))


def distances(r: Floats) -> Floats:
    """(C, C): 0 for units that always fire together at some offset, 1 for strangers."""
    closest = np.abs(r).max(0)
    result: Floats = 1 - (closest + closest.T) / 2
    np.fill_diagonal(result, 0)
    return np.clip(result, 0, 1)


def linkage_of(r: Floats) -> Floats:
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    result: Floats = linkage(squareform(distances(r), checks=False), "average")
    return result


def cut(r: Floats, count: int) -> Ints:
    """The units in that many clusters: (C,) labels."""
    from scipy.cluster.hierarchy import cut_tree

    result: Ints = cut_tree(linkage_of(r), n_clusters=count)[:, 0].astype(np.int64)
    return result


def best_cut(r: Floats) -> tuple[Ints, int]:
    """The cut with the best mean silhouette, and its number of clusters."""
    from scipy.cluster.hierarchy import cut_tree
    from sklearn.metrics import silhouette_score

    units = r.shape[1]
    if units < 4:
        return np.zeros(units, np.int64), 1
    tree, apart = linkage_of(r), distances(r)
    most, fewest = (max(2, units // size) for size in CLUSTER_SIZE)
    counts = np.unique(np.geomspace(fewest, most, 24).astype(int))
    cuts = cut_tree(tree, n_clusters=counts)
    scores = [silhouette_score(apart, labels, metric="precomputed") for labels in cuts.T]
    best = int(np.argmax(scores))
    return cuts[:, best].astype(np.int64), int(counts[best])


def adjusted_rand(a: Ints, b: Ints) -> float:
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(a, b))


def by_size(labels: Ints) -> Ints:
    """The same clusters, numbered from the largest; equal ones by their first unit."""
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    rank = np.lexsort((first, -sizes))
    new = np.empty(names.max() + 1, np.int64)
    new[names[rank]] = np.arange(len(names))
    return new[labels]


def extent(votes: Votes, members: NDArray[np.bool_]) -> int:
    """The ring of the smallest window that holds most of a cluster's own votes."""
    inside = np.ix_(members, members)
    weights = [(votes.strength[inside] * (votes.ring[inside] == k)).sum() for k in range(3)]
    total = sum(weights)
    if not total:
        return 0
    return int(np.searchsorted(np.cumsum(weights) / total, EXTENT - 1e-12))
