"""train or fine-tune a network on a data set"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from googlenet import parallel
from googlenet.cli.options import (
    WEIGHTS,
    add_json,
    add_workers,
    batch_size,
    duration,
    minutes,
    natural,
    positive,
    view_list,
)
from googlenet.runtime.errors import UsageError

if TYPE_CHECKING:
    from googlenet.evaluation.accuracy import Scores
    from googlenet.images.preprocess import Preprocessing
    from googlenet.inference.classifier import Classifier
    from googlenet.training.plan import Plan
    from googlenet.training.recipe import Recipe
    from googlenet.training.run import Trained
    from googlenet.training.run_folder import RunFolder
    from googlenet.training.settings import Settings
    from googlenet.training.setup import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("data", metavar="DATA", help="a folder, a CSV file, shards, or the built-in set digits")
    add("--out", metavar="RUN", type=Path, help="folder of the run (default: runs/DATA-1, -2, …)")
    add("--resume", action="store_true", help="go on with the run in --out, by its settings")
    add("--multi-label", action="store_true", help="photos can have several labels or none, "
        "though no label in the CSV has a bar")  # fmt: skip
    add("--recipe", help="modern (default), paper, bvlc or bvlc-step")
    add("--variant", help="network, by its name in `googlenet table` (default: the recipe's)")
    add("--weights", metavar="MODEL", help=f"fine-tuning: begin with {WEIGHTS}")
    add("--epochs", type=positive, help="how often each photo is seen (default: the recipe's, "
        "and more where there are few)")  # fmt: skip
    add("--time-limit", type=duration, metavar="TIME", help="as many epochs as fit into 90s, 30m "
        "or 1.5h, all included (a plain number is minutes)")  # fmt: skip
    add("--patience", type=positive, metavar="N", help="end after N epochs that bring no better "
        "validation; the model is then the best epoch's")  # fmt: skip
    add("--size", type=positive, help="side of the network's input in pixels (default: 224)")
    add("--batch", type=batch_size, metavar="N", help="photos a step, which the learning rate "
        "scales with; auto: as the recipe says, or fewer if memory is short")  # fmt: skip
    add("--width", type=float, help="factor on every number of filters (default: 1)")
    add("--seed", type=int, help="of everything random (default: 0)")
    add("--mode", help="crop, squash or letterbox: how a photo becomes square (default: crop)")
    add("--no-mirror", action="store_true", help="mirrored photos are not of their class (text)")
    add("--precision", help="auto (default), fp32 or bf16")
    add(
        "--balance",
        help="none (default), class_weights or balanced_sampler: for imbalanced classes",
    )
    add("--set", metavar="K=V", action="append", default=[], help="any field of the recipe")
    add("--views", type=view_list, default=(1,), help="of the last evaluation (default: 1)")
    add("--doubts", type=natural, default=2048, metavar="N", help="training photos to look through "
        "for find_label_issues_in_run labels at the end (default: 2048)")  # fmt: skip
    add("--checkpoint-minutes", type=minutes, default=5.0, metavar="N",
        help="between checkpoints within an epoch (default: 5)")  # fmt: skip
    add("--decoder", help="of JPEGs: pillow, or turbo, which is faster and not bit for bit the "
        "same (default: turbo where simplejpeg is installed)")  # fmt: skip
    add("--augment", help="where crops are resized and mirrored: host (default), or device, with "
        "pixels that differ a little")  # fmt: skip
    add("--shuffle", help="full, or blocks: a few shards at a time (default: blocks at a URL)")
    add("--cache", type=cache_kind,
        help="decoded images: memory, none, or auto: in memory if they take "
        "less than 1 GiB and a quarter of what is free (default: auto)")  # fmt: skip
    add_workers(parser)
    add_json(parser)


# Options that decide a run: with --resume they come from the run's own settings.
DECIDING = ("recipe", "variant", "weights", "epochs", "size", "batch", "width", "seed", "mode",
            "precision", "balance", "patience", "time_limit", "set", "no_mirror", "multi_label",
            "decoder", "shuffle", "augment")  # fmt: skip
# As they are where they are not given; the others are None.
UNSET: dict[str, object] = {"set": [], "no_mirror": False, "multi_label": False}


def run(args: argparse.Namespace) -> int:
    began = perf_counter()
    from googlenet.runtime.console import Console
    from googlenet.training.epochs import Interrupted
    from googlenet.training.run import train
    from googlenet.training.setup import prepare

    console = Console(sys.stderr if args.json else sys.stdout)
    pretrained = parallel.on_rank0_only(lambda: load_pretrained(args))
    settings, folder, resume = parallel.on_rank0(lambda: begin(args, pretrained))
    planned = plan(args, settings, began)
    prepared = prepare(settings, folder, console, resume, planned, pretrained)
    prepared.checkpoint_seconds = 60 * args.checkpoint_minutes
    try:
        trained = train(prepared, args.views, args.doubts)
    except Interrupted as stop:
        console.say(str(stop))
        return 130
    from googlenet.report.page import write_report

    parallel.on_rank0(lambda: write_report(prepared, trained))
    finish(prepared, trained, args.json)
    return 0


def load_pretrained(args: argparse.Namespace) -> Classifier | None:
    """The model of --weights, for a new run."""
    from googlenet.load import load_classifier, require_weights

    if not args.weights or args.resume or parallel.run_dir_before_restart():
        return None
    require_weights(args.weights, "--weights")
    return load_classifier(args.weights)


def begin(
    args: argparse.Namespace, pretrained: Classifier | None
) -> tuple[Settings, RunFolder, bool]:
    """The run's settings and folder, and whether there is something to go on with.

    That is so with --resume, and where a launcher has started the same command before.
    """
    from googlenet.training.run_folder import NumberedRunFolder, RunFolder

    before = parallel.run_dir_before_restart()
    if before:
        folder = RunFolder(before)
        return as_begun(args, folder), folder, True
    name = Path(args.data).resolve().stem or "data"
    folder = RunFolder(args.out) if args.out else NumberedRunFolder(Path("runs"), name)
    return (
        (resumed(args, folder) if args.resume else resolve(args, pretrained)),
        folder,
        args.resume,
    )


def resumed(args: argparse.Namespace, folder: RunFolder) -> Settings:
    """The settings of the run to go on with.  Raises UsageError where others are given."""
    if args.out is None:
        raise UsageError("--resume needs --out, the folder of the run to resume")
    given = [name for name in DECIDING if getattr(args, name) != UNSET.get(name)]
    if given:
        option = "--" + given[0].replace("_", "-")
        raise UsageError(f"--resume takes the run's own settings, got {option}: leave it out")
    return as_begun(args, folder)


def cache_kind(value: str) -> str:
    """What --cache takes, and "disk" of earlier versions, which gained nothing."""
    if value != "disk":
        return value
    print("notice: --cache disk is now --cache auto", file=sys.stderr)
    return "auto"


def as_begun(args: argparse.Namespace, folder: RunFolder) -> Settings:
    """The settings with which a run was begun, but for what changes none of its bits."""
    from googlenet.images import turbo_jpeg
    from googlenet.training.settings import Settings

    settings = Settings.from_json(folder.read_settings(), folder.settings)
    if settings.decoder == "turbo":
        turbo_jpeg.require()
    cache = args.cache or settings.cache
    return replace(settings, data=args.data, workers=args.workers, cache=cache)


def resolve(args: argparse.Namespace, source: Classifier | None) -> Settings:
    """The settings that the options mean, every default filled in."""
    from googlenet.images import turbo_jpeg
    from googlenet.models.registry import has_batch_norm
    from googlenet.training.recipe import current_names
    from googlenet.training.recipes import recipe_named
    from googlenet.training.settings import Settings

    if args.decoder == "turbo":
        turbo_jpeg.require()
    fields = recipe_fields(args.set, notice)
    recipe = recipe_named(args.recipe or "modern").with_settings(fields)
    asked = fields.get("variant", args.variant)
    variant = asked or (source.variant if source else recipe.variant)
    if source and variant != source.variant:
        raise UsageError(f"--variant must be that of --weights, {source.variant}, got {variant}")
    recipe = recipe.for_model(
        variant,
        None if args.batch == "auto" else args.batch,
        batch_norm=has_batch_norm(variant),
        # Fresh heads on a trained network would teach it their own beginnings.
        aux_heads=source is None or bool(source.header.heads),
    )
    if source:  # photos are prepared as for the weights that one begins with
        p = source.preprocessing
        recipe = replace(recipe, resize_ratio=p.resize_size / p.size)
    # What was set is not adapted.
    given = {name: getattr(args, name) for name in ("epochs", "balance", "patience")}
    given = current_names({k: v for k, v in given.items() if v})
    recipe = recipe.with_settings(given | fields)
    return Settings(
        data=args.data,
        recipe=recipe,
        preprocessing=preprocessing(args, recipe, source.preprocessing if source else None),
        width=(source.header.width if source else 1.0) if args.width is None else args.width,
        seed=args.seed or 0,
        precision=args.precision or "auto",
        weights=args.weights,
        workers=args.workers,
        decoder=args.decoder or ("turbo" if turbo_jpeg.available() else "pillow"),
        shuffle=args.shuffle or default_shuffle(args.data, recipe),
        cache=args.cache or "auto",
        augment=args.augment or "host",
        time_limit=args.time_limit,
        multi_label=args.multi_label,
    )


def default_shuffle(data: str, recipe: Recipe) -> str:
    """A few shards at a time where each has to be copied first, but for draws of their own."""
    return "blocks" if "://" in data and recipe.balance != "balanced_sampler" else "full"


def plan(args: argparse.Namespace, settings: Settings, began: float) -> Plan:
    """What the options leave for the run to find out."""
    from googlenet.training.plan import Plan
    from googlenet.training.time_budget import TimeBudget

    fields = recipe_fields(args.set)
    if args.time_limit and "epochs" in fields:
        raise UsageError("--time-limit takes the most epochs from --epochs, got --set epochs=…")
    return Plan(
        scale_epochs=args.epochs is None and args.time_limit is None and "epochs" not in fields,
        find_batch=args.batch == "auto",
        overrides=frozenset(fields),
        time_budget=TimeBudget(settings.time_limit, began=began) if settings.time_limit else None,
        max_epochs=args.epochs,
        views=args.views,
        label_check_images=args.doubts,
    )


def preprocessing(
    args: argparse.Namespace, recipe: Recipe, source: Preprocessing | None
) -> Preprocessing:
    """How photos are prepared: as for the weights that one begins with, or afresh."""
    from googlenet.data.load_data import BUILT_IN
    from googlenet.images.preprocess import LUMA_MEAN, LUMA_SCALE, Preprocessing, resize_size
    from googlenet.models.registry import default_channels, default_size

    built_in = args.data in BUILT_IN and not Path(args.data).exists()
    size = args.size or (
        source.size if source else 64 if built_in else default_size(recipe.variant)
    )
    base = source or Preprocessing(mode="squash" if recipe.crop == "bvlc" else "crop")
    if source is None and default_channels(recipe.variant) == 1:
        base = replace(base, channel_order="L", mean=LUMA_MEAN, scale=LUMA_SCALE)
    mode = args.mode or base.mode
    return replace(
        base,
        size=size,
        resize_size=resize_size(size, recipe.resize_ratio),
        mode=mode,
        hflip=base.hflip and not args.no_mirror and not built_in,
    )


def recipe_fields(
    assignments: list[str], notify: Callable[[str, str], object] = lambda old, new: None
) -> dict[str, str]:
    """The fields of the recipe that --set names, by their present names."""
    from googlenet.training.recipe import current_names

    return current_names(dict(map(assignment, assignments)), notify)


def notice(old: str, new: str) -> None:
    print(f"notice: --set {old} is now --set {new}", file=sys.stderr)


def assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set must be NAME=VALUE, got {text!r}")
    if name in (
        "name",
        "description",
        "about",
    ):  # by which a reader knows where the others come from
        raise UsageError(f"--set must change what a recipe does, got {text!r}")
    return name, value


SHOWN = {"top1_accuracy": "top-1", "top5_accuracy": "top-5", "mean_average_precision": "mAP",
         "micro_f1": "micro-F1"}  # fmt: skip


def accuracies(scores: Scores) -> dict[str, float]:
    """Top-1 and top-5 accuracy in percent, where a photo has one label."""
    if scores.multilabel:
        return {}
    return {f"top{k}_accuracy": round(100 - scores.error(k), 4) for k in (1, 5)}


def finish(run: Run, trained: Trained, as_json: bool) -> None:
    """Say how it went: the lines for a reader or the object for a program."""
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
    if as_json:
        print(json.dumps(summary))
        return
    for views, scores in trained.scores.items():
        shown = "  ".join(
            f"{SHOWN[name]} {figure}"
            for name, figure in trained.metrics[views].items()
            if name in SHOWN
        )
        many = "s" if views > 1 else " "
        run.console.say(f"{views:>3} view{many}  {shown}  of {len(scores)} photos")
    if summary["skipped"]:
        run.console.say(
            f"left out: {len(run.trainer.unreadable)} of {len(run.data.train)} photos to train on, "
            f"{len(first.unreadable)} of {len(run.data.val)} to validate on"
        )
    run.console.say(f"model   {summary['model']}\nreport  {summary['report']}")
    if trained.label_issues:
        run.console.say(f"doubts  {run.folder.label_issues}: {len(trained.label_issues)} labels")
