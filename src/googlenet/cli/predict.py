"""classify images: on the terminal, to CSV or to JSON lines"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from googlenet import parallel
from googlenet.cli.image_paths import image_paths
from googlenet.cli.options import (
    MODEL,
    add_engine,
    add_json,
    add_precision,
    add_threads,
    add_threshold,
    positive,
    set_threshold,
    use_threads,
)
from googlenet.cli.partial_output import Kept, kept_rows, part_of, plan_of
from googlenet.runtime.errors import GoogLeNetError, UsageError, printable
from googlenet.runtime.files import file_digest, parent_dir, write_text
from googlenet.runtime.watchdog import paused

if TYPE_CHECKING:
    from googlenet.images.archived import ArchivedImage
    from googlenet.inference.classifier import Classifier
    from googlenet.inference.prediction import Prediction
    from googlenet.runtime.console import Console

BATCH = 32  # images per batch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=MODEL)
    add("paths", metavar="PATH", nargs="+", help="images, folders of images, or shards")
    add("--top", type=positive, default=5, metavar="N", help="top-k classes per image (default: 5)")
    add("--out", metavar="FILE", type=Path, help="write a .csv or .jsonl file")
    add("--resume", action="store_true", help="go on where a run with the same --out was stopped")
    add_threshold(parser)
    add_engine(parser)
    add_precision(parser)
    add_threads(parser)
    add_json(parser, "print one JSON object per image and line on stdout")


def run(args: argparse.Namespace) -> int:
    from googlenet.load import load_classifier
    from googlenet.runtime.console import Console

    if args.out and args.out.suffix not in (".csv", ".jsonl") and not is_special(args.out):
        raise UsageError(f"--out must end in .csv or .jsonl, got {args.out}")
    if args.resume and (not args.out or is_special(args.out)):
        raise UsageError("--resume needs --out, the file of the run to resume")
    use_threads(args)
    classifier = parallel.on_all_ranks(
        lambda: load_classifier(args.model, "auto", args.engine, args.precision, parallel=True)
    )
    set_threshold(classifier, args.threshold)
    paths = parallel.on_all_ranks(lambda: image_paths(args.paths))
    plan = plan_for(args, paths) if args.out else {}
    kept = Kept()
    if args.resume:
        kept = parallel.on_all_ranks(lambda: kept_rows(args.out, plan, BATCH))
    # The first is computed before anything is opened: what fails leaves the file of --out alone.
    found = predict_sharded(classifier, paths[kept.rows :], args.top)
    found = chain(list(islice(found, 1)), found)
    console = Console(sys.stdout)
    with console.bar(len(paths), "predict", kept.rows, " images") as bar:
        predictions = CountedPredictions(found, bar.update, kept)
        if parallel.rank() > 0:
            for _ in predictions:
                pass
        elif args.out:
            with stoppable(console, predictions, args.out, len(paths)):
                write(args.out, predictions, args.top, classifier.multilabel, plan, kept)
        elif args.json:
            write_lines(console, map(json_line, predictions))
        else:
            write_lines(console, map(describe, predictions))
    unreadable, total = predictions.unreadable, predictions.total
    if unreadable:
        print(f"{unreadable:,} of {total:,} images could not be read", file=sys.stderr)
    return 1 if unreadable == total else 0


@contextmanager
def stoppable(
    console: Console, predictions: CountedPredictions, out: Path, total: int
) -> Iterator[None]:
    """A signal ends the predictions after the current row; what to do then is said.

    Of several processes one alone would stop, and the others wait for it: they end at once.
    """
    try:
        with console.interruptible() if parallel.world_size() == 1 else nullcontext():
            predictions.stopped = lambda: console.interrupted
            yield
    except KeyboardInterrupt:
        if not is_special(out):
            print(
                f"{predictions.total:,} of {total:,} rows are in {part_of(out)}: "
                "run the same command with --resume to go on",
                file=sys.stderr,
            )
        raise


class CountedPredictions:
    """The predictions, counted as they pass.

    progress: called for each; stopped: whether to raise KeyboardInterrupt after the current one;
    kept: the rows before the first.
    """

    def __init__(
        self,
        predictions: Iterable[Prediction],
        progress: Callable[[], object] = lambda: None,
        kept: Kept = Kept(),  # noqa: B008 - a constant
    ) -> None:
        self.predictions, self.progress = predictions, progress
        self.total, self.unreadable = kept.rows, kept.errors
        self.stopped: Callable[[], bool] = lambda: False

    def __iter__(self) -> Iterator[Prediction]:
        for prediction in self.predictions:
            if self.stopped():
                raise KeyboardInterrupt
            self.total += 1
            self.unreadable += prediction.error is not None
            yield prediction
            self.progress()


def predict_sharded(
    classifier: Classifier, paths: Sequence[Path | ArchivedImage], top: int
) -> Iterator[Prediction]:
    """Predictions for all images, in order, in every process; each computes a shard of them.

    The shards are of whole batches, so that the batches are those of a single process.
    """
    if parallel.world_size() > 1:
        parallel.require_equal_across_ranks([str(path) for path in paths], "images to predict")
    own = classifier.predict(parallel.shard(paths, BATCH), top, BATCH)
    for _ in range(0, len(paths), BATCH * parallel.world_size()):
        for found in parallel.all_gather(list(islice(own, BATCH))):
            yield from found


def record(prediction: Prediction) -> dict[str, Any]:
    return {
        "path": prediction.path,
        "label": prediction.label,
        "probability": prediction.probability,
        "labels": None if prediction.labels is None else pairs(prediction.labels),
        "top": pairs(prediction.top),
        "unknown": prediction.unknown,
        "score": prediction.score,
        "error": prediction.error,
    }


def pairs(found: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"label": name, "probability": p} for name, p in found]


def write_lines(console: Console, lines: Iterable[str]) -> None:
    """Print them.  Whatever reads our output, a pager for example, may take its time."""
    for line in lines:
        with paused():
            console.say(line)


def describe(prediction: Prediction) -> str:
    """The line for a reader."""
    if prediction.error:
        return f"error: {prediction.error}"  # which begins with the path
    classes = format_classes(prediction.top)
    if prediction.labels is not None:
        likeliest = format_classes(prediction.top[:1])
        classes = format_classes(prediction.labels) or f"none (likeliest: {likeliest})"
    if prediction.unknown:  # out of distribution; the most similar classes all the same
        classes = f"unknown ({classes})"
    return f"{printable(prediction.path)}: {classes}"


def format_classes(found: Iterable[tuple[str, float]]) -> str:
    return "; ".join(f"{name} {100 * p:.1f} %" for name, p in found)


def is_special(path: Path) -> bool:
    """A pipe or a device, such as /dev/stdout, which is written to and not replaced."""
    if path.is_relative_to("/dev") and not path.suffix:
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def plan_for(args: argparse.Namespace, paths: Sequence[Path | ArchivedImage]) -> dict[str, Any]:
    """What determines the rows: `--resume` refuses another."""
    from googlenet.inference.model_file import model_path

    model = model_path(args.model)
    listed = json.dumps([str(path) for path in paths])
    return {
        "MODEL": file_digest(model) if model.is_file() else args.model,
        "PATH": sha256(listed.encode()).hexdigest(),
        "--top": args.top,
        "--threshold": args.threshold,
        "--engine": args.engine,
        "--precision": args.precision,
    }


def write(
    path: Path,
    predictions: Iterable[Prediction],
    top: int,
    multilabel: bool,
    plan: dict[str, Any],
    kept: Kept,
) -> None:
    """Rows go to a file PATH.part after those kept, which is renamed when it is complete."""
    special = is_special(path)
    part = path if special else part_of(path)
    try:
        with parent_dir(path):
            if not special and not kept.bytes:
                write_text(plan_of(path), json.dumps(plan))
            elif not special:
                os.truncate(part, kept.bytes)
            # Undecodable bytes in a path are escaped, as in JSON.
            with part.open(
                "a" if kept.bytes else "w", encoding="utf-8", errors="backslashreplace", newline=""
            ) as file:
                if path.suffix == ".jsonl":
                    write_jsonl(file, predictions)
                else:
                    write_csv(file, predictions, top, multilabel, header=not kept.bytes)
            if not special:
                part.replace(path)
                plan_of(path).unlink(missing_ok=True)
    except BrokenPipeError:  # the reader of a pipe is gone
        raise
    except OSError as error:
        raise GoogLeNetError(f"{path}: cannot be written ({error})") from error


def write_jsonl(file: TextIO, predictions: Iterable[Prediction]) -> None:
    for prediction in predictions:
        file.write(json_line(prediction) + "\n")


def json_line(prediction: Prediction) -> str:
    return json.dumps(record(prediction), ensure_ascii=False)


def write_csv(
    file: TextIO, predictions: Iterable[Prediction], top: int, multilabel: bool, header: bool
) -> None:
    """Columns path, label, probability, label2, probability2, …, unknown, score, error.

    For a multilabel model, a column `labels` before the others has those above the threshold,
    separated by bars.
    """
    from googlenet.data.labels import join_labels

    columns = ["path", *["labels"] * multilabel, "label", "probability"]
    for n in range(2, top + 1):
        columns += [f"label{n}", f"probability{n}"]
    writer = csv.writer(file, lineterminator="\n")
    if header:
        writer.writerow([*columns, "unknown", "score", "error"])
    for prediction in predictions:
        cells = [cell for answer in prediction.top for cell in answer]
        cells += [""] * (2 * top - len(cells))
        known = ["" if cell is None else cell for cell in (prediction.unknown, prediction.score)]
        labels = [join_labels(name for name, _ in prediction.labels or ())] * multilabel
        writer.writerow([prediction.path, *labels, *cells, *known, prediction.error or ""])
