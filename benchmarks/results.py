"""Results of training runs and evaluations: collected, and printed as tables.

    python benchmarks/results.py collect RUN... > docs/results/NAME.json
    python benchmarks/results.py evaluate MODEL... --data DATA … > docs/results/NAME.json
    python benchmarks/results.py table docs/results/NAME.json

docs/results.md holds what the last prints; a test compares them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from googlenet.inference.model_file import read_header
from googlenet.runtime.device import ComputeDevice


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
                "optimizer": settings["recipe"].get("optimizer", "sgd"),
                "variant": settings["recipe"]["variant"],
                "data": header["provenance"]["data"],
                "size": settings["preprocessing"]["size"],
                "seed": settings["seed"],
                "finetuned": settings["weights"] is not None,
                "metrics": header["metrics"],
                "log": [json.loads(line) for line in log],
            }
        )
    return {
        "date": time.strftime("%F"),
        "machine": ComputeDevice.detect().describe(),
        "runs": found,
    }


def evaluate(arguments: Sequence[str]) -> dict[str, Any]:
    """What `googlenet evaluate` with these arguments finds, and the command."""
    command = ["googlenet", "evaluate", *arguments]
    run = [sys.executable, "-m", *command, "--json"]
    output = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    machine = ComputeDevice.detect("fp32").describe()
    return {
        "date": time.strftime("%F"),
        "machine": machine,
        "command": " ".join(command),
        "output": json.loads(output),
    }


def caption(name: str, results: dict[str, Any]) -> str:
    """When and on what a file of results was measured, and which file that is."""
    machine = results["machine"]
    threads = f"{machine['threads']} thread{'s' * (machine['threads'] != '1')}"
    return (
        f"[`{name}.json`](results/{name}.json): {results['date']}, {machine['device']}, "
        f"{machine['precision']}, {threads}, PyTorch {machine['torch']}"
    )


def table(results: dict[str, Any]) -> str:
    """The results as a Markdown table."""
    return runs_table(results) if "runs" in results else grid_table(results["output"]["results"])


def grid_table(rows: Sequence[dict[str, Any]]) -> str:
    """A line for each model or ensemble and number of views: errors in percent."""
    lines = ["| models | protocol | top-1 error | top-5 error | images |", "|---|---|---|---|---|"]
    for row in rows:
        names = ", ".join(Path(name).stem for name in row["names"])
        lines.append(
            f"| {names} | {row['protocol']} | {row['top1_error']:.2f} | {row['top5_error']:.2f} "
            f"| {row['images']} |"
        )
    return "\n".join(lines)


def runs_table(results: dict[str, Any]) -> str:
    """A line a run: accuracy in percent, the last epoch's losses, seconds with validation."""
    lines = [
        "| recipe | optimizer | variant | weights | seed | epochs | top-1 | top-5 "
        "| loss: main, 4a, 4d | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in results["runs"]:
        last, one = run["log"][-1], run["metrics"]["1"]
        losses = [last.get(f"loss_{head}") for head in ("main", "4a", "4d")]
        begins = "pretrained" if run["finetuned"] else "random"
        lines.append(
            f"| {run['recipe']} | {run['optimizer']} | {run['variant']} | {begins} "
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
    elif verb == "evaluate":
        print(json.dumps(evaluate(paths), indent=1))
    else:
        found = json.loads(Path(paths[0]).read_text(encoding="utf-8"))
        print(caption(Path(paths[0]).stem, found), table(found), sep="\n\n")
