"""A Table 1 of its own: from a trained network's maps, or grown from the stem module by module.

The skeleton is the paper's: its stem, its pools, and nine modules of the form of Figure 2(b).
What is constructed is every module's six widths.  Arora et al. 2014 (arXiv 1310.6343) build a
network layer by layer: units of the last layer that fire together become a unit of the next.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from googlenet.data.dataset import Samples
from googlenet.images.preprocess import Preprocessing
from googlenet.models import table
from googlenet.models.cost import variant_cost
from googlenet.models.table import Variant, Widths
from googlenet.runtime.console import Console
from googlenet.runtime.files import write_bytes
from googlenet.topology.clusters import find_clusters, joined, votes_of_halves
from googlenet.topology.gather import gather
from googlenet.topology.statistics import Correlations, energy_by_ring, null_models
from googlenet.topology.widths import Shares, budgets, derive, fit_row, partial

NAME = "constructed"
BASE = "bn"

# For a row, the network so far: its map before that row.  Growing trains it first.
Source = Callable[[Variant, str], Callable[[Tensor], Tensor] | None]


@dataclass(frozen=True)
class Findings:
    """What the statistics of one map say, in the numbers that the report needs."""

    shares: Shares
    halves: tuple[tuple[float, ...], tuple[float, ...]]  # window shares, chosen by either half
    stability: float  # adjusted Rand index of the halves' clusters
    extents: tuple[int, ...]  # ring of each cluster
    energy: tuple[float, ...]  # mean R² by ring
    null_energy: tuple[float, ...]  # the same of the null model
    images: int
    closest: NDArray[np.float16]  # (C, C): max |R| over offsets
    labels: NDArray[np.int64]  # (C,): cluster of each unit


@dataclass(frozen=True)
class Constructed:
    """The finished table, and what each row came from."""

    variant: Variant
    findings: Mapping[str, Findings]

    def to_json(self) -> dict[str, Any]:
        """What `table.parse_table` reads, with shares and cost."""
        value = table.table_json(self.variant.name, BASE, self.variant.modules)
        for row in value["rows"]:
            row["shares"] = shares_json(self.findings[row["name"]])
        cost = variant_cost(self.variant).total
        return value | {"params": cost.params, "macs": cost.macs}


def shares_json(found: Findings) -> dict[str, Any]:
    """The fractions of a row: of its windows, of its projection, and how sure they are."""
    windows = dict(zip(("1x1", "3x3", "5x5"), found.shares.windows, strict=True))
    return {
        **{name: round(share, 4) for name, share in windows.items()},
        "pool_proj": round(found.shares.projection, 4),
        "halves": [[round(share, 4) for share in half] for half in found.halves],
        "clusters": len(found.extents),
        "stability": round(found.stability, 4),
        "counted": found.shares.counted,
    }


def analyze(correlations: Correlations) -> Findings:
    """Votes, clusters, and shares of one map."""
    halves = votes_of_halves(correlations)
    votes = joined(*halves)
    clusters = find_clusters(correlations, votes)
    nulls = [null_models(r) for r in (correlations.first, correlations.second)]
    shares = [tuple(map(float, half.shares())) for half in halves]
    return Findings(
        shares=derive(correlations, votes, clusters),
        halves=(shares[0], shares[1]),
        stability=clusters.stability,
        extents=clusters.extents,
        energy=tuple(energy_by_ring(correlations.first, correlations.second)),
        null_energy=tuple(energy_by_ring(*nulls)),
        images=correlations.images,
        closest=np.abs(correlations.mean).max(0).astype(np.float16),
        labels=clusters.labels,
    )


class Parts:
    """Finished rows in a folder, so that an interrupted construction goes on where it was."""

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        text = json.dumps(key, sort_keys=True)
        self.folder = folder
        self.key = hashlib.sha256(text.encode()).hexdigest()[:16]

    def path(self, row: str) -> Path:
        return self.folder / f"{self.key}-{row}.npz"

    def load(self, row: str) -> Findings | None:
        path = self.path(row)
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            value = json.loads(str(arrays["value"]))
            shares = value["shares"]
            return Findings(
                shares=Shares(
                    tuple(shares["windows"]), shares["projection"],
                    tuple(shares["reductions"]), shares["counted"],
                ),
                halves=(tuple(value["halves"][0]), tuple(value["halves"][1])),
                stability=value["stability"],
                extents=tuple(value["extents"]),
                energy=tuple(value["energy"]),
                null_energy=tuple(value["null_energy"]),
                images=value["images"],
                closest=arrays["closest"],
                labels=arrays["labels"],
            )  # fmt: skip

    def save(self, row: str, found: Findings) -> None:
        from io import BytesIO

        value = {k: v for k, v in asdict(found).items() if k not in ("closest", "labels")}
        stream = BytesIO()
        np.savez_compressed(
            stream, value=np.array(json.dumps(value)), closest=found.closest, labels=found.labels
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(self.path(row), stream.getvalue())

    def remove(self) -> None:
        for path in self.folder.glob(f"{self.key}-*"):
            path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def construct(
    source: Source,
    samples: Samples,
    preprocessing: Preprocessing,
    budget: int,
    parts: Parts,
    console: Console,
) -> Constructed | None:
    """The table for `budget` multiply-adds; None where it was interrupted, with its rows kept."""
    findings: dict[str, Findings] = {}
    variant = partial({}, BASE)
    for row, macs in budgets(budget).items():
        found = parts.load(row)
        if found is None:
            features = source(variant, row)
            if features is None:
                return None
            with console.bar(len(samples), f"inception ({row})", unit="image") as bar:
                correlations = gather(
                    features, samples, preprocessing, bar.update, lambda: console.interrupted
                )
            if correlations is None:
                return None
            found = analyze(correlations)
            parts.save(row, found)
        variant = fit_row(variant, row, found.shares, macs)
        findings[row] = found
        console.say(row_text(row, variant.modules[row], found))
    return Constructed(named(variant), findings)


def named(variant: Variant) -> Variant:
    """The finished rows as the variant that their table describes, auxiliary heads included."""
    return table.parse_table(json.dumps(table.table_json(NAME, BASE, variant.modules)))


def row_text(row: str, widths: Widths, found: Findings) -> str:
    windows = " ".join(f"{share:.0%}" for share in found.shares.windows)
    kind = "clusters" if found.shares.counted else "votes"
    return (
        f"{row}  1×1 {widths.c1}  3×3 {widths.r3}→{widths.c3}  5×5 {widths.r5}→{widths.c5}  "
        f"pool {widths.proj}  ({kind}: {windows}; {len(found.extents)} clusters, "
        f"stability {found.stability:.2f})"
    )
