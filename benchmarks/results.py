"""Results of training runs: collected from their folders, printed as a table.

    python benchmarks/results.py collect RUN... > docs/results/NAME.json
    python benchmarks/results.py table docs/results/NAME.json

docs/results.md holds what the second prints; a test compares them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from googlenet.machine import Machine
from googlenet.modelfile import read_header


def collect(runs: Sequence[Path]) -> dict[str, Any]:
    """What each run was, its log and the errors that its model file states."""
    found = []
    for run in runs:
        settings = json.loads((run / "settings.json").read_text(encoding="utf-8"))
        log = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
        header = read_header(run / "last.safetensors")
        found.append(
            {
                "recipe": settings["recipe"]["name"],
                "variant": settings["recipe"]["variant"],
                "data": header["provenance"]["data"],
                "size": settings["preprocessing"]["size"],
                "seed": settings["seed"],
                "finetuned": header["provenance"]["finetuned"],
                "metrics": header["metrics"],
                "log": [json.loads(line) for line in log],
            }
        )
    return {"machine": Machine.here().describe(), "runs": found}


def table(results: dict[str, Any]) -> str:
    """A Markdown table, a line a run: accuracy in percent, the last epoch's losses."""
    lines = [
        "| recipe | variant | begins with | seed | epochs | top-1 | top-5 | main, 4a, 4d | s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for run in results["runs"]:
        last, one = run["log"][-1], run["metrics"]["1"]
        losses = [last.get(f"loss_{head}") for head in ("main", "4a", "4d")]
        begins = "weights" if run["finetuned"] else "nothing"
        lines.append(
            f"| {run['recipe']} | {run['variant']} | {begins} "
            f"| {run['seed']} | {last['epoch']} "
            f"| {100 - one['top1_error']:.2f} | {100 - one['top5_error']:.2f} "
            f"| {', '.join('–' if loss is None else f'{loss:.3f}' for loss in losses)} "
            f"| {last['seconds']:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    verb, *paths = sys.argv[1:]
    if verb == "collect":
        print(json.dumps(collect([Path(path) for path in paths]), indent=1))
    else:
        print(table(json.loads(Path(paths[0]).read_text(encoding="utf-8"))))
