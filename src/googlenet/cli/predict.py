"""classify images: on the terminal, to CSV or to JSON lines"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from googlenet import parallel
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
from googlenet.runtime.errors import GoogLeNetError, UsageError, printable
from googlenet.runtime.files import parent_dir
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
    add_threshold(parser)
    add_engine(parser)
    add_precision(parser)
    add_threads(parser)
    add_json(parser, "print one JSON object per image and line on stdout")


def run(args: argparse.Namespace) -> int:
    from googlenet.load import load_classifier
    from googlenet.runtime.console import Console

    if args.out and args.out.suffix not in (".csv", ".jsonl"):
        raise UsageError(f"--out must end in .csv or .jsonl, got {args.out}")
    use_threads(args)
    classifier = parallel.on_all_ranks(
        lambda: load_classifier(args.model, "auto", args.engine, args.precision, parallel=True)
    )
    set_threshold(classifier, args.threshold)
    paths = parallel.on_all_ranks(lambda: list(expand(args.paths)))
    # The first is computed before anything is opened: what fails leaves the file of --out alone.
    found = predict_sharded(classifier, paths, args.top)
    found = chain(list(islice(found, 1)), found)
    console = Console(sys.stdout)
    with console.bar(len(paths), "predict", unit=" images") as bar:
        predictions = CountedPredictions(found, bar.update)
        if parallel.rank() > 0:
            for _ in predictions:
                pass
        elif args.out:
            write(args.out, predictions, args.top, classifier.multilabel)
        elif args.json:
            write_lines(console, map(json_line, predictions))
        else:
            write_lines(console, map(describe, predictions))
    unreadable, total = predictions.unreadable, predictions.total
    if unreadable:
        print(f"{unreadable:,} of {total:,} images could not be read", file=sys.stderr)
    return 1 if unreadable == total else 0


class CountedPredictions:
    """The predictions, counted as they pass.  progress: called for each."""

    def __init__(
        self, predictions: Iterable[Prediction], progress: Callable[[], object] = lambda: None
    ) -> None:
        self.predictions, self.progress = predictions, progress
        self.total = self.unreadable = 0

    def __iter__(self) -> Iterator[Prediction]:
        for prediction in self.predictions:
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


def expand(paths: Iterable[str]) -> Iterator[Path | ArchivedImage]:
    """Files as they are, folders as the images below them, shards as the images in them.

    Raises UsageError for a folder without images.
    """
    from googlenet.data.folder import list_images
    from googlenet.data.shards.index import holds_shards, is_packed, shard_images

    for path in map(Path, paths):
        if is_packed(path) or holds_shards(path):
            yield from shard_images(path)
        elif path.is_dir():
            # A folder that cannot be listed becomes an unreadable image.
            errors: list[OSError] = []
            images = list_images(path, errors.append)
            images += [Path(str(error.filename)) for error in errors]
            if not images:
                raise UsageError(f"PATH must contain images, got {path}, which contains none")
            yield from sorted(images)
        else:
            yield path


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


def write(path: Path, predictions: Iterable[Prediction], top: int, multilabel: bool) -> None:
    """Rows go to a file PATH.part, which is renamed when it is complete."""
    part = path.with_name(f"{path.name}.part")
    try:
        # Undecodable bytes in a path are escaped, as in JSON.
        with (
            parent_dir(path),
            part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            if path.suffix == ".jsonl":
                write_jsonl(file, predictions)
            else:
                write_csv(file, predictions, top, multilabel)
        part.replace(path)
    except OSError as error:
        raise GoogLeNetError(f"{path}: cannot be written ({error})") from error


def write_jsonl(file: TextIO, predictions: Iterable[Prediction]) -> None:
    for prediction in predictions:
        file.write(json_line(prediction) + "\n")


def json_line(prediction: Prediction) -> str:
    return json.dumps(record(prediction), ensure_ascii=False)


def write_csv(file: TextIO, predictions: Iterable[Prediction], top: int, multilabel: bool) -> None:
    """Columns path, label, probability, label2, probability2, …, unknown, score, error.

    For a multilabel model, a column `labels` before the others has those above the threshold,
    separated by bars.
    """
    from googlenet.data.dataset import join_labels

    columns = ["path", *["labels"] * multilabel, "label", "probability"]
    for n in range(2, top + 1):
        columns += [f"label{n}", f"probability{n}"]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*columns, "unknown", "score", "error"])
    for prediction in predictions:
        cells = [cell for answer in prediction.top for cell in answer]
        cells += [""] * (2 * top - len(cells))
        known = ["" if cell is None else cell for cell in (prediction.unknown, prediction.score)]
        labels = [join_labels(name for name, _ in prediction.labels or ())] * multilabel
        writer.writerow([prediction.path, *labels, *cells, *known, prediction.error or ""])
