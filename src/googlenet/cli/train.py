"""train or fine-tune a network on a dataset"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from googlenet import parallel
from googlenet.cli.options import (
    DATA,
    INTERRUPTED,
    WEIGHTS,
    add_json,
    add_renamed,
    add_workers,
    batch_size,
    duration,
    minutes,
    natural,
    positive,
    view_list,
)
from googlenet.cli.train_settings import (
    cache_kind,
    plan,
    resolve,
    resumed_settings,
    stored_settings,
)

if TYPE_CHECKING:
    from googlenet.evaluation.scores import Scores
    from googlenet.inference.classifier import Classifier
    from googlenet.training.run import Trained
    from googlenet.training.run_folder import RunFolder
    from googlenet.training.settings import Settings
    from googlenet.training.setup import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", metavar="DATA", help=DATA)
    add("--out", metavar="RUN", type=Path, help="run folder (default: runs/DATA-1, -2, …)")
    add("--resume", action="store_true", help="resume the run in --out with its settings")
    add_run_options(parser)
    add("--views", type=view_list, default=(1,), help="views per image of the final evaluation "
        "(default: 1)")  # fmt: skip
    add("--label-issues", type=natural, default=2048, metavar="N", help="training images to check "
        "for label errors at the end (default: 2048)")  # fmt: skip
    add_renamed(parser, "--doubts", "--label-issues")
    add("--checkpoint-minutes", type=minutes, default=5.0, metavar="N",
        help="minutes between checkpoints within an epoch (default: 5)")  # fmt: skip
    add("--cache", type=cache_kind,
        help="decoded images: memory, none, or auto: in memory if they take "
        "less than 1 GiB and a quarter of what is free (default: auto)")  # fmt: skip
    add_workers(parser)
    add_json(parser)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The options that a resumed run takes from its own settings: None where they are not given."""
    names: list[str] = []

    def add(flag: str, **options: Any) -> None:
        names.append(parser.add_argument(flag, **({"default": None} | options)).dest)

    add("--multilabel", action="store_true", help="images can have several labels or none, even "
        "if no CSV label contains a |")  # fmt: skip
    add_renamed(parser, "--multi-label", "--multilabel")
    add("--recipe", help="modern (default), paper, bvlc or bvlc-step")
    network = "network, by its name in `googlenet table`, or FILE.json (default: the recipe's)"
    add("--variant", help=network)
    add("--weights", metavar="MODEL", help=f"fine-tune {WEIGHTS}")
    add("--head-only", action="store_true", help="fit the classifier alone to features of "
        "--weights that are computed once: seconds for a few hundred images")  # fmt: skip
    add("--epochs", type=positive, help="passes over the training images (default: the recipe's, "
        "more for a small dataset)")  # fmt: skip
    add("--time-limit", type=duration, metavar="TIME", help="as many epochs as fit into 90s, 30m "
        "or 1.5h, evaluation included (a plain number is minutes)")  # fmt: skip
    add("--patience", type=positive, metavar="N", help="early stopping after N epochs without "
        "improvement; keeps the best epoch's model")  # fmt: skip
    add("--size", type=positive, help="image size in pixels (default: 224)")
    add("--batch", type=batch_size, metavar="N", help="batch size; the learning rate scales with "
        "it; auto: the recipe's, or smaller if memory is short")  # fmt: skip
    add("--width", type=float, help="width multiplier for all layers (default: 1)")
    add("--seed", type=int, help="random seed (default: 0)")
    add("--mode", help="how an image becomes square: crop (default), squash or letterbox")
    add("--no-mirror", action="store_true", help="no horizontal flips, for example for text")
    add("--precision", help="auto (default), fp32 or bf16")
    add("--balance", help="for imbalanced classes: none (default), class_weights or "
        "balanced_sampler")  # fmt: skip
    add("--set", metavar="K=V", action="append", help="override a field of the recipe")
    add("--decoder", help="JPEG decoder: pillow, or turbo, which is faster with slightly different "
        "pixels (default: turbo if simplejpeg is installed)")  # fmt: skip
    add("--augment", help="where crops are resized and flipped: host (default) or device, with "
        "slightly different pixels")  # fmt: skip
    add("--shuffle", help="full, or blocks: a few shards at a time (default: blocks for a URL)")
    parser.set_defaults(run_options=tuple(names))


def run(args: argparse.Namespace) -> int:
    began = perf_counter()
    from googlenet.runtime.console import Console
    from googlenet.training.epochs import Interrupted
    from googlenet.training.run import train
    from googlenet.training.setup import prepare

    console = Console(sys.stderr if args.json else sys.stdout)
    pretrained = parallel.on_rank0_only(lambda: load_pretrained(args))
    settings, folder, resume = parallel.on_rank0(lambda: resolve_run(args, pretrained))
    planned = plan(args, settings, began)
    prepared = prepare(settings, folder, console, resume, planned, pretrained)
    prepared.checkpoint_seconds = 60 * args.checkpoint_minutes
    try:
        trained = train(prepared, args.views, args.label_issues)
    except Interrupted as stop:
        console.say(str(stop))
        return INTERRUPTED
    from googlenet.report.page import write_report

    parallel.on_rank0(lambda: write_report(prepared, trained))
    report_results(prepared, trained, args.json)
    return 0


def load_pretrained(args: argparse.Namespace) -> Classifier | None:
    """The model of --weights, for a new run."""
    from googlenet.load import load_classifier, require_weights

    if not args.weights or args.resume or parallel.run_dir_before_restart():
        return None
    require_weights(args.weights, "--weights")
    return load_classifier(args.weights)


def resolve_run(
    args: argparse.Namespace, pretrained: Classifier | None
) -> tuple[Settings, RunFolder, bool]:
    """The run's settings and folder, and whether it is resumed.

    It is with --resume, and if an elastic launcher has restarted the same command.
    """
    from googlenet.training.run_folder import NumberedRunFolder, RunFolder

    before = parallel.run_dir_before_restart()
    if before:
        folder = RunFolder(before)
        return stored_settings(args, folder), folder, True
    name = Path(args.data).resolve().stem or "data"
    folder = RunFolder(args.out) if args.out else NumberedRunFolder(Path("runs"), name)
    settings = resumed_settings(args, folder) if args.resume else resolve(args, pretrained)
    return settings, folder, args.resume


METRIC_NAMES = {"top1_accuracy": "top-1", "top5_accuracy": "top-5", "mean_average_precision": "mAP",
         "micro_f1": "micro-F1"}  # fmt: skip


def accuracies(scores: Scores) -> dict[str, float]:
    """Top-1 and top-5 accuracy in percent, of single-label data."""
    if scores.multilabel:
        return {}
    return {f"top{k}_accuracy": round(100 - scores.error(k), 4) for k in (1, 5)}


def summarize(run: Run, trained: Trained) -> dict[str, Any]:
    """The results as --json prints them."""
    from googlenet.evaluation.metric_ci import to_json

    views, first = next(iter(trained.scores.items()))
    found = to_json(trained.metrics[views])
    summary = {
        "run": str(run.folder.path),
        "model": str(run.folder.last),
        "report": str(run.folder.report),
        "epochs": run.trainer.epoch,
        "seconds": round(trained.seconds, 1),
        "images_per_second": round(run.progress.history[-1]["images_per_second"], 1),
        "data_wait": round(run.progress.history[-1].get("data_wait", 0.0), 2),
        **accuracies(first),
        "doubts": len(trained.label_issues),
        "skipped": len(run.trainer.unreadable) + len(first.unreadable),
        "skipped_train": len(run.trainer.unreadable),
        "skipped_val": len(first.unreadable),
        **{k: v for k, v in found.items() if k not in ("top1_accuracy", "top5_accuracy")},
    }
    if trained.calibrated:
        calibrated = trained.calibrated.to_json()
        for name in ("temperature", "calibration_error_before", "calibration_error"):
            summary[name] = calibrated[name]
        summary["intervals"] |= calibrated["intervals"]
    return summary


def report_results(run: Run, trained: Trained, as_json: bool) -> None:
    """Print the results: lines of text, or a JSON object."""
    summary = summarize(run, trained)
    if as_json:
        print(json.dumps(summary))
        return
    for views, scores in trained.scores.items():
        shown = "  ".join(
            f"{METRIC_NAMES[name]} {metric}"
            for name, metric in trained.metrics[views].items()
            if name in METRIC_NAMES
        )
        many = "s" if views > 1 else " "
        run.console.say(f"{views:>3} view{many}  {shown}  of {len(scores):,} images")
    if summary["skipped"]:
        run.console.say(
            f"skipped: {summary['skipped_train']} of {len(run.data.train):,} training images, "
            f"{summary['skipped_val']} of {len(run.data.val):,} validation images"
        )
    run.console.say(f"model   {summary['model']}\nreport  {summary['report']}")
    if trained.label_issues:
        run.console.say(f"label issues: {len(trained.label_issues)}  {run.folder.label_issues}")
