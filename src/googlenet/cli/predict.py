"""say what is in photos: on the terminal, as CSV or as JSON lines"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from googlenet import parallel
from googlenet.cli.options import (
    MODEL,
    add_engine,
    add_json,
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
    from googlenet.inference.predictor import Predictor

BATCH = 32  # photos that the network sees at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=MODEL)
    add("paths", metavar="PATH", nargs="+", help="photos, folders of photos, or shards of them")
    add("--top", type=positive, default=5, metavar="N", help="answers a photo (default: 5)")
    add("--out", metavar="FILE", type=Path, help="write a .csv or .jsonl file")
    add_threshold(parser)
    add_engine(parser)
    add_threads(parser)
    add_json(parser, "print a JSON object a line on stdout, one for each photo")


def run(args: argparse.Namespace) -> int:
    if args.out and args.out.suffix not in (".csv", ".jsonl"):
        raise UsageError(f"--out must end in .csv or .jsonl, got {args.out}")
    use_threads(args)
    classifier = parallel.on_all_ranks(lambda: load(args.model, args.engine))
    set_threshold(classifier, args.threshold)
    paths = parallel.on_all_ranks(lambda: list(expand(args.paths)))
    predictions = counted(begun(classifier, shared(classifier, paths, args.top)))
    if parallel.rank() > 0:
        for _ in predictions:
            pass
    elif args.out:
        write(args.out, predictions, args.top, classifier.multi)
    elif args.json:
        write_jsonl(sys.stdout, unhurried(predictions))
    else:
        show(unhurried(predictions))
    if predictions.bad:
        print(f"{predictions.bad} of {predictions.all} photos could not be read", file=sys.stderr)
    return 1 if predictions.bad == predictions.all else 0


def load(model: str, engine: str | None) -> Classifier | Predictor:
    """What computes the answers: without PyTorch, where another engine runs an exported file."""
    from googlenet.inference.predictor import load_predictor

    predictor = load_predictor(model, engine)
    if predictor is not None:
        return predictor
    from googlenet.inference.classifier import Classifier
    from googlenet.runtime.device import ComputeDevice

    return Classifier.load(model, ComputeDevice.detect("fp32"), engine)


def begun(
    classifier: Classifier | Predictor, predictions: Iterator[Prediction]
) -> Iterator[Prediction]:
    """The same, the first found already: what fails before it leaves the file of --out alone.

    So does an engine that cannot start, though the first photos be too bad to need it.
    """
    from googlenet.inference.predictor import Predictor

    first = list(islice(predictions, 1))
    if isinstance(classifier, Predictor):
        classifier.engine()
    return chain(first, predictions)


class counted:  # noqa: N801 - used like a function
    """The predictions, counted as they pass."""

    def __init__(self, predictions: Iterable[Prediction]) -> None:
        self.predictions = predictions
        self.all = self.bad = 0

    def __iter__(self) -> Iterator[Prediction]:
        for prediction in self.predictions:
            self.all += 1
            self.bad += prediction.error is not None
            yield prediction


def unhurried(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
    """The same; whoever reads our output, in a pager say, may take their time."""
    for prediction in predictions:
        with paused():
            yield prediction


def shared(
    classifier: Classifier | Predictor, paths: Sequence[Path | ArchivedImage], top: int
) -> Iterator[Prediction]:
    """Predictions of all photos, in order, in every process; each reads a share of them.

    The shares are of whole batches, so that the batches are those of a single process.
    """
    if parallel.world_size() > 1:
        parallel.require_equal_across_ranks([str(path) for path in paths], "photos to predict")
    own = classifier.predict(parallel.shard(paths, BATCH), top, BATCH)
    for _ in range(0, len(paths), BATCH * parallel.world_size()):
        for found in parallel.all_gather(list(islice(own, BATCH))):
            yield from found


def expand(paths: Iterable[str]) -> Iterator[Path | ArchivedImage]:
    """Files as they are, folders as the photos below them, shards as the photos in them.

    Raises UsageError for a folder of nothing.
    """
    from googlenet.data.folder import list_images
    from googlenet.data.shards.index import holds_shards, is_packed, shard_images

    for path in map(Path, paths):
        if is_packed(path) or holds_shards(path):
            yield from shard_images(path)
        elif path.is_dir():
            # A folder that cannot be listed is a path without an answer, like a bad photo.
            errors: list[OSError] = []
            photos = list_images(path, errors.append)
            photos += [Path(str(error.filename)) for error in errors]
            if not photos:
                raise UsageError(f"PATH must hold photos, got {path}, which holds none")
            yield from sorted(photos)
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


def show(predictions: Iterable[Prediction]) -> None:
    for prediction in predictions:
        if prediction.error:
            print(f"error: {prediction.error}")  # which begins with the path
            continue
        answers = listed(prediction.top)
        if prediction.labels is not None:
            answers = listed(prediction.labels) or f"none (likeliest: {listed(prediction.top[:1])})"
        if prediction.unknown:  # of none of the classes; what it is most like all the same
            answers = f"unknown ({answers})"
        print(f"{printable(prediction.path)}: {answers}")


def listed(found: Iterable[tuple[str, float]]) -> str:
    return "; ".join(f"{name} {100 * p:.1f} %" for name, p in found)


def write(path: Path, predictions: Iterable[Prediction], top: int, several: bool) -> None:
    try:
        # What is no text in a path is escaped, in JSON's own way.
        with (
            parent_dir(path),
            path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            if path.suffix == ".jsonl":
                write_jsonl(file, predictions)
            else:
                write_csv(file, predictions, top, several)
    except OSError as error:
        raise GoogLeNetError(f"{path}: cannot be written ({error})") from error


def write_jsonl(file: TextIO, predictions: Iterable[Prediction]) -> None:
    for prediction in predictions:
        file.write(json.dumps(record(prediction), ensure_ascii=False) + "\n")


def write_csv(file: TextIO, predictions: Iterable[Prediction], top: int, several: bool) -> None:
    """Columns path, label, probability, label2, probability2, …, unknown, score, error.

    Where photos can have several labels, a column `labels` before the others has those above
    the threshold, with bars between them.
    """
    from googlenet.data.dataset import join_labels

    columns = ["path", *["labels"] * several, "label", "probability"]
    for n in range(2, top + 1):
        columns += [f"label{n}", f"probability{n}"]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*columns, "unknown", "score", "error"])
    for prediction in predictions:
        cells = [cell for answer in prediction.top for cell in answer]
        cells += [""] * (2 * top - len(cells))
        known = ["" if cell is None else cell for cell in (prediction.unknown, prediction.score)]
        labels = [join_labels(name for name, _ in prediction.labels or ())] * several
        writer.writerow([prediction.path, *labels, *cells, *known, prediction.error or ""])
