"""evaluate models and their ensemble, with 1, 10 or 144 views per image"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from googlenet import parallel
from googlenet.cli.options import (
    DATA,
    MODEL,
    SPLITS,
    add_engine,
    add_json,
    add_precision,
    add_split,
    add_threads,
    add_threshold,
    add_workers,
    set_threshold,
    use_threads,
    view_list,
)
from googlenet.runtime.errors import UsageError

if TYPE_CHECKING:
    from googlenet.data.dataset import Samples
    from googlenet.data.labels import Class
    from googlenet.evaluation.metric_ci import MetricCI
    from googlenet.evaluation.results_table import Result
    from googlenet.inference.classifier import Classifier
    from googlenet.runtime.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("models", metavar="MODEL", nargs="+", help=f"one or several: {MODEL}")
    add("--data", required=True, metavar="DATA", help=DATA)
    views = "views per image: 1, 10, 144 or several, as in 1,10,144 (default: 1)"
    add("--views", type=view_list, default=(1,), metavar="N,…", help=views)
    add_split(parser)
    mode = "how an image becomes square: crop, squash or letterbox (default: the models' own)"
    add("--mode", metavar="NAME", help=mode)
    add("--restrict", action="store_true", help="predict only classes that occur in the data")
    add_precision(parser)
    add_threshold(parser)
    add_engine(parser)
    add_threads(parser)
    add("--out", metavar="FILE", type=Path, help="write details to a .json file with metrics per "
        "class, or a .csv file with one row per image")  # fmt: skip
    add_workers(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.data.load_data import load_data, require_images
    from googlenet.evaluation.results_table import protocol, protocol_name, results_table
    from googlenet.inference.held_out import choose_held_out, default_split
    from googlenet.runtime.console import Console

    if args.out and args.out.suffix not in (".csv", ".json"):
        raise UsageError(f"--out must end in .csv or .json, got {args.out}")
    use_threads(args)
    classifiers = load_models(args)
    first = classifiers[0]
    if args.restrict and first.multilabel:
        raise UsageError("--restrict is for single-label models, this model is multilabel")
    data = parallel.on_all_ranks(
        lambda: load_data(
            args.data,
            first.header.split_seed,
            first.classes,
            first.multilabel,
            first.header.split_rule,
        )
    )
    require_images(Path(args.data), data)
    part = args.split or default_split(data, first.header)
    samples, learned = choose_held_out(
        data, [classifier.header for classifier in classifiers], part, whole=bool(args.split)
    )
    if parallel.world_size() > 1:
        parallel.require_equal_across_ranks((data.order_hash(), part), f"images of {args.data}")
    console = Console(sys.stderr if args.json else sys.stdout)
    console.say(
        f"{data.name}: {len(samples):,} images ({SPLITS[part]}), {len(first.classes)} classes"
    )
    console.say_all([*data.account.lines(), *learned])
    for views in args.views:
        name = protocol_name(views, first.preprocessing)
        console.say(f"protocol {name}: {protocol(views, first.preprocessing)}")
    answers = sorted(set(samples.labels)) if args.restrict else None
    say_class_coverage(console, len(first.classes), samples, args.restrict)
    if part != "all" and not data.has_split:
        warn_of_other_splits(console, classifiers)
    rows = results_table(
        classifiers, args.models, samples, args.views, args.workers, console.bar, answers
    )
    for error in rows[0].scores.unreadable.values():
        console.say(f"skipped: {error}")
    if rows[0].scores.unreadable:
        console.say(f"skipped: {len(rows[0].scores.unreadable):,} of {len(samples):,} images")
    head = {"data": data.name, "split": part}
    if args.out:
        parallel.on_rank0(lambda: write(args.out, head, rows, samples, first.classes))
    if args.json:
        print(json.dumps(head | {"results": [r.to_json() for r in rows]}))
    else:
        console.say("\n".join([*table(rows), *remarks(rows, first.classes)]))
    return 0


def load_models(args: argparse.Namespace) -> list[Classifier]:
    """The models, with --threshold and --mode applied.  Raises UsageError if classes differ."""
    from googlenet.evaluation.scores import require_same_classes
    from googlenet.load import load_classifier

    classifiers: list[Classifier] = parallel.on_all_ranks(
        lambda: [load_classifier(path, "auto", args.engine, args.precision) for path in args.models]
    )
    require_same_classes(classifiers, args.models)
    for classifier in classifiers:
        set_threshold(classifier, args.threshold)
        if args.mode:
            changed = replace(classifier.preprocessing, mode=args.mode)
            classifier.header = replace(classifier.header, preprocessing=changed)
    return classifiers


def write(
    path: Path,
    head: dict[str, Any],
    rows: Sequence[Result],
    samples: Samples,
    classes: Sequence[Class],
) -> None:
    """Write the details, in the format of the file's extension."""
    from googlenet.evaluation.details import details, image_csv
    from googlenet.runtime.files import write_text

    if path.suffix == ".csv":
        # Undecodable bytes in a path are escaped.
        text = image_csv(rows, samples, classes).encode(errors="backslashreplace").decode()
    else:
        text = json.dumps(head | {"results": [details(row, classes) for row in rows]}) + "\n"
    write_text(path, text)


def warn_of_other_splits(console: Console, classifiers: Sequence[Classifier]) -> None:
    """Warn if some of the models were trained on images that others held out."""
    seeds = sorted({classifier.header.split_seed for classifier in classifiers})
    if len(seeds) > 1:
        console.say(
            "warning: some of the models have seen these images in training, because their splits "
            f"differ (seeds {', '.join(map(str, seeds))})"
        )


def say_class_coverage(console: Console, classes: int, samples: Samples, restricted: bool) -> None:
    """If the data lacks some of the model's classes, say whether they can be predicted."""
    present = len({label for i in range(len(samples)) for label in samples.classes_of(i)})
    if present == classes:
        return
    if samples.multi_hot is not None:
        console.say(f"the data has {present} of the model's {classes} classes")
        return
    predicted = "only these are" if restricted else "all are (--restrict changes that)"
    console.say(f"the data has {present} of the model's {classes} classes; {predicted} predicted")


COLUMN_NAMES = {"mean_average_precision": "mAP", "micro_f1": "micro-F1", "macro_f1": "macro-F1",
         "calibration_error_before": "… before", "called_unknown": "unknown"}  # fmt: skip


def table(rows: Sequence[Result]) -> list[str]:
    """Metrics with their 95 % intervals: one line per model and number of views, then the
    ensemble.  Metrics that no line has get no column.
    """
    from googlenet.cli.columns import aligned
    from googlenet.evaluation.results_table import names_of

    shown = [name for name in names_of(rows[0].scores) if any(name in row.metrics for row in rows)]
    titles = [
        COLUMN_NAMES.get(name, name.replace("_", " ").replace("top", "top-")) for name in shown
    ]
    lines = [["models", "protocol", "images", *titles]]
    for row in rows:
        name = row.names[0][-40:] if len(row.names) == 1 else f"ensemble of {len(row.names)}"
        cells = [cell(row.metrics[key]) if key in row.metrics else "–" for key in shown]
        lines.append([name, row.protocol, str(len(row.scores)), *cells])
    return aligned(lines)


def cell(figure: MetricCI) -> str:
    """With two decimals, as in the paper, and its interval: "18.62 % (17.4–19.8)"."""
    shown = f"{figure.value:.2f} %"
    return shown + (
        f" ({figure.interval.low:.1f}–{figure.interval.high:.1f})" if figure.interval else ""
    )


def remarks(rows: Sequence[Result], classes: Sequence[Class]) -> list[str]:
    """Notes below the table."""
    from googlenet.evaluation.details import class_metrics
    from googlenet.evaluation.multilabel import MultilabelMetrics

    found = ["in parentheses: 95 % confidence intervals (bootstrap over images)"]
    if rows[0].scores.multilabel:
        several = MultilabelMetrics.of(rows[0].scores, rows[0].threshold)
        found.append(
            "mAP: mean average precision over classes; the others are at the threshold "
            f"{rows[0].threshold:g}"
        )
        if several.missing:
            found.append(
                f"mAP and macro-F1 are means over {len(classes) - len(several.missing)} classes: "
                f"{len(several.missing)} have no image"
            )
        return found
    missing = class_metrics(rows[0].scores).missing
    if missing:
        found.append(
            f"macro-F1 and balanced accuracy are means over {len(classes) - len(missing)} classes: "
            f"{len(missing)} have no image"
        )
    if any(row.calibration for row in rows):
        found.append("calibration error: ECE with the model's temperature; … before: without it")
    ood = next((r.calibration.ood for r in rows if r.calibration), None)
    if ood:
        found.append(
            "unknown: images flagged as out-of-distribution; target false positive rate: "
            f"{ood.target_fpr:g} %"
        )
    return found
