"""The results of `googlenet bench`, printed as tables and as the command printed them.

    googlenet bench KIND … --out docs/results/speed-NAME.json
    python benchmarks/speed.py docs/results/speed-NAME.json

docs/performance.md holds what the last prints; a test compares them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def table(results: dict[str, Any]) -> str:
    """One row per candidate: images/s, ratio, and the fraction of the roofline that was reached."""
    limited = "limit" in results["results"][0]
    names = ["", "median", "low–high", "ratio", *(["roofline"] if limited else []), "% of roofline"]
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for row in results["results"]:
        numbers = [f"{row['median']:.4g}", f"{row['low']:.4g}–{row['high']:.4g}"]
        numbers.append("–" if row["ratio"] is None else f"{row['ratio']:.2f}×")
        numbers += [f"{row['limit']:.4g}"] if limited else []
        lines.append(f"| {row['name']} | {' | '.join(numbers)} | {100 * row['of_ceiling']:.0f} % |")
    ceilings = "; ".join(f"{name} {value:.4g}" for name, value in results["ceiling"].items())
    return "\n".join(lines) + f"\n\nCeilings: {ceilings}."


if __name__ == "__main__":
    print(table(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
