"""train a detector from a classifier's weights"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from googlenet.cli.detection_options import BOXES, METRICS
from googlenet.cli.options import (
    INTERRUPTED,
    WEIGHTS,
    add_json,
    add_threads,
    natural,
    positive,
    use_threads,
)
from googlenet.runtime.errors import UsageError

if TYPE_CHECKING:
    from googlenet.detection.train_run import DetectionRun, DetectionSettings
    from googlenet.training.run_folder import RunFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", metavar="DATA", help=BOXES)
    add("--out", metavar="RUN", type=Path, help="run folder (default: runs/DATA-1, -2, …)")
    add("--resume", action="store_true", help="resume the run in --out with its settings")
    add("--weights", metavar="MODEL", default="bvlc", help=f"{WEIGHTS} (default: bvlc)")
    add("--mode", default="fast", help="fast (default): regions of one map; rcnn: each region "
        "through the whole network, as in the paper")  # fmt: skip
    add("--side", type=positive, metavar="PIXELS",
        help="longer side of the image in fast mode (default: 320)")  # fmt: skip
    add("--proposals", metavar="SOURCE", help="edge-boxes (default), selective-search, "
        "selective-search-150 or union")  # fmt: skip
    add("--count", type=positive, metavar="N", help="proposals per image (default: 300)")
    add("--epochs", type=positive, help="passes over the training images (default: 8)")
    add("--seed", type=natural, default=0, metavar="N", help="random seed (default: 0)")
    add("--no-box-regression", action="store_true",
        help="keep regions where they are, as the paper did")  # fmt: skip
    add("--set", metavar="K=V", action="append", default=[],
        help="another value of the recipe or of the regions: lr, regions, roi_size, …")  # fmt: skip
    add("--metric", default="voc10", help=f"of the final evaluation: {METRICS}")
    add_threads(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.detection.train_run import prepare, train
    from googlenet.runtime.console import Console
    from googlenet.training.epochs import Interrupted

    console = Console(sys.stderr if args.json else sys.stdout)
    use_threads(args)
    settings, folder = resolve(args)
    prepared = prepare(settings, folder, console, args.resume)
    try:
        path = train(prepared)
    except Interrupted:
        console.say(f"interrupted; to go on: googlenet detect train {settings.data} "
                    f"--out {folder.path} --resume")  # fmt: skip
        return INTERRUPTED
    finally:
        folder.release()
    report(args, prepared, path)
    return 0


def resolve(args: argparse.Namespace) -> tuple[DetectionSettings, RunFolder]:
    """The settings of this run, or of the run that goes on, and its folder."""
    from googlenet.detection.detector_header import RegionSettings
    from googlenet.detection.recipe import DetectionRecipe
    from googlenet.detection.train_run import DetectionSettings
    from googlenet.training.run_folder import NumberedRunFolder, RunFolder

    if args.resume:
        if args.out is None:
            raise UsageError("--resume must have --out, the folder of the run")
        folder = RunFolder(args.out)
        try:
            return DetectionSettings.from_json(folder.read_settings()), folder
        except (KeyError, TypeError) as error:
            raise UsageError(f"--resume needs a detector's run, got {args.out}") from error
    regions = RegionSettings(
        mode=args.mode, box_regression=not args.no_box_regression, **given(args, RegionSettings)
    )
    recipe = DetectionRecipe(**given(args, DetectionRecipe))
    for text in args.set:
        regions, recipe = override(text, regions, recipe)
    name = Path(args.data).resolve().stem
    numbered = NumberedRunFolder(Path("runs"), name)
    settings = DetectionSettings(args.data, args.weights, regions, recipe)
    return settings, RunFolder(args.out) if args.out else numbered


def given(args: argparse.Namespace, kind: type[Any]) -> dict[str, Any]:
    """The options of the names of a value's fields that were given."""
    names = {field.name for field in fields(kind)} - {"mode"}
    return {k: v for k, v in vars(args).items() if k in names and v is not None}


def override(text: str, regions: Any, recipe: Any) -> tuple[Any, Any]:
    """The values with one field replaced.  Raises UsageError for another name or type."""
    name, _, value = text.partition("=")
    kinds = {f.name: type(getattr(v, f.name)) for v in (regions, recipe) for f in fields(v)}
    if name not in kinds or kinds[name] is bool:
        known = ", ".join(sorted(k for k, kind in kinds.items() if kind is not bool))
        raise UsageError(f"--set must be K=V with K one of {known}, got {text!r}")
    try:
        new = {name: kinds[name](value)}
    except ValueError:
        kind = kinds[name].__name__
        raise UsageError(f"--set {name} must be of type {kind}, got {value!r}") from None
    if hasattr(regions, name):
        return replace(regions, **new), recipe
    return regions, replace(recipe, **new)


def report(args: argparse.Namespace, run: DetectionRun, path: Path) -> None:
    """Evaluate on the validation images, write what came out, and print it."""
    from googlenet.detection.evaluation_run import evaluate_detectors
    from googlenet.runtime.files import write_text

    detector, console = run.trainer.detector, run.console
    detector.network.eval()
    found: dict[str, Any] = {
        "run": str(run.folder.path),
        "model": str(path),
        "seconds": round(run.seconds, 1),
        "epochs": run.settings.recipe.epochs,
    }
    if any(len(image.truth) for image in run.data.val):
        result, _ = evaluate_detectors(
            [detector], run.data.val, args.metric, console, run.folder.path / "proposals"
        )
        found |= result.to_json()
        metrics = {k: found[k] for k in ("map50", "map50_interval", "metric", "images")}
        detector.header = detector.header.with_facts(metrics=metrics)
        detector.save(path)
        low, high = found["map50_interval"]
        console.say(f"validation mAP@0.5 {found['map50']:.1f} % ({low:.1f} to {high:.1f}), "
                    f"{found['images']} images")  # fmt: skip
    write_text(run.folder.results, json.dumps(found, indent=1) + "\n")
    console.say(f"detector  {path}")
    if args.json:
        print(json.dumps(found))
