"""From statistics to a row of the table: shares of the windows, reductions, projection, scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from googlenet.models import table
from googlenet.models.cost import variant_cost
from googlenet.models.table import Variant, Widths
from googlenet.runtime.errors import UsageError
from googlenet.topology.clusters import STABLE, Clusters, Votes
from googlenet.topology.statistics import Correlations, Floats

FLOOR = 0.05  # no window gets a smaller share: a branch that is not there cannot learn
VARIANCE = 0.8  # of the units that a reduction keeps
MULTIPLE = 8  # widths are multiples of a vector register
ENOUGH_UNITS = 8  # to estimate a spectrum


@dataclass(frozen=True)
class Shares:
    """What statistics say of a module: fractions, independent of its size.

    windows: (1×1, 3×3, 5×5) of the filters that are not projection; they sum to 1.
    projection: of the output.  reductions: filters of the 3×3 and the 5×5 reduction, relative to
    the filters that they feed.  counted: whether `windows` counts the units of clusters, or
    averages the votes of units because the clusters of two halves of the images differ.
    """

    windows: tuple[float, float, float]
    projection: float
    reductions: tuple[float, float]
    counted: bool


def derive(found: Correlations, votes: Votes, clusters: Clusters) -> Shares:
    """The shares that follow from a map's statistics."""
    counted = clusters.stability >= STABLE
    extents = np.array(clusters.extents)[clusters.labels]
    shares = np.bincount(extents, minlength=3) / len(extents) if counted else votes.shares()
    windows = np.maximum(shares, FLOOR)
    windows = windows / windows.sum()
    rings = extents if counted else votes.by_unit().argmax(1)
    same_place = found.mean[len(found.mean) // 2]
    reductions = [spectrum_share(same_place, rings == ring) for ring in (1, 2)]
    first, second, third = map(float, windows)
    return Shares(
        (first, second, third), projection(found.residual), (reductions[0], reductions[1]), counted
    )


def spectrum_share(correlations: Floats, members: NDArray[np.bool_]) -> float:
    """Principal components that hold `VARIANCE` of these units, relative to their number.

    Of all units where these are too few.
    """
    if members.sum() < ENOUGH_UNITS:
        members = np.ones_like(members)
    chosen = correlations[np.ix_(members, members)]
    chosen = chosen[np.ix_(np.diag(chosen) > 0, np.diag(chosen) > 0)]
    return components(chosen) / max(1, len(chosen))


def components(covariance: Floats) -> int:
    """How many principal components hold `VARIANCE` of the trace."""
    if not len(covariance):
        return 0
    values = np.clip(np.linalg.eigvalsh((covariance + covariance.T) / 2)[::-1], 0, None)
    return int(np.searchsorted(np.cumsum(values), VARIANCE * values.sum()) + 1)


def projection(residual: Floats) -> float:
    """The share of the pool's projection in a module's output.

    The variance of pooled units that no 1×1 convolution of the map gives, times the fraction of
    dimensions that this takes.
    """
    if not len(residual):
        return FLOOR
    unexplained = float(np.trace(residual)) / len(residual)
    dimensions = components(residual) / len(residual)
    return float(np.clip(unexplained * dimensions, FLOOR, 0.5))


def widths_for(shares: Shares, filters: float) -> Widths:
    """A row with about that many output filters."""
    rest = filters * (1 - shares.projection)
    c1, c3, c5 = (rest * share for share in shares.windows)
    r3, r5 = (c * ratio for c, ratio in zip((c3, c5), shares.reductions, strict=True))
    return Widths(*map(rounded, (c1, r3, c3, r5, c5, filters * shares.projection)))


def rounded(filters: float) -> int:
    return max(MULTIPLE, MULTIPLE * round(filters / MULTIPLE))


def fit_row(base: Variant, row: str, shares: Shares, budget: float) -> Variant:
    """`base`, whose rows end before `row`, with the row that comes closest to `budget`.

    budget: multiply-adds of the whole network up to this row, and its classifier, at 224×224.
    """

    def candidate(filters: float) -> Variant:
        return replace(base, modules={**base.modules, row: widths_for(shares, filters)})

    def macs(filters: float) -> int:
        return variant_cost(candidate(filters)).total.macs

    low, high = 1.0, 64.0
    while macs(high) < budget and high < table.MAX_FILTERS / 2:
        low, high = high, 2 * high
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if macs(middle) < budget else (low, middle)
    return candidate(min((low, high), key=lambda filters: abs(macs(filters) - budget)))


def budgets(total: int) -> dict[str, int]:
    """For each row, the multiply-adds of the network up to it, at 224×224, classifier included.

    Table 1's, with the modules' part scaled so that the whole network has `total`.
    Raises UsageError for a total that leaves nothing for the modules.
    """
    sums = dict(paper_sums())
    stem = sums.pop("")
    whole = sums[list(table.TABLE_1)[-1]]
    if total <= 1.02 * stem:
        raise UsageError(
            f"--budget must be above the stem's {round(1.02 * stem):,} multiply-adds, got {total:,}"
        )
    scale = (total - stem) / (whole - stem)
    return {row: round(stem + scale * (macs - stem)) for row, macs in sums.items()}


def paper_sums() -> Iterator[tuple[str, int]]:
    """Multiply-adds of Table 1's network cut after each row, after the stem for ""."""
    modules: dict[str, Widths] = {}
    yield "", variant_cost(partial(modules)).total.macs
    for row, widths in table.TABLE_1.items():
        modules[row] = widths
        yield row, variant_cost(partial(modules)).total.macs


def partial(modules: Mapping[str, Widths], base: str = "bn") -> Variant:
    """A variant with these rows only, and without auxiliary heads."""
    return replace(table.VARIANTS[base], modules=dict(modules), aux_pool=None)
