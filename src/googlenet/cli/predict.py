"""say what is in photos: on the terminal, as CSV or as JSON lines"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from googlenet.cli.options import MODEL, add_engine, add_json, positive, use_threads
from googlenet.errors import GoogLeNetError, UsageError

if TYPE_CHECKING:
    from googlenet.classifier import Prediction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=MODEL)
    add("paths", metavar="PATH", nargs="+", help="photos, or folders of photos")
    add("--top", type=positive, default=5, metavar="N", help="answers a photo (default: 5)")
    add("--out", metavar="FILE", type=Path, help="write a .csv or .jsonl file")
    add_engine(parser)
    add_json(parser, "print a JSON object a line on stdout, one for each photo")


def run(args: argparse.Namespace) -> int:
    from googlenet.classifier import Classifier
    from googlenet.machine import Machine

    if args.out and args.out.suffix not in (".csv", ".jsonl"):
        raise UsageError(f"--out must end in .csv or .jsonl, got {args.out}")
    use_threads(args)
    classifier = Classifier.load(args.model, Machine.here("fp32"), args.engine)
    paths = list(expand(args.paths))
    predictions = counted(classifier.predict(paths, top=args.top))
    if args.out:
        write(args.out, predictions, args.top)
    elif args.json:
        write_jsonl(sys.stdout, predictions)
    else:
        show(predictions)
    if predictions.bad:
        print(f"{predictions.bad} of {predictions.all} photos could not be read", file=sys.stderr)
    return 1 if predictions.bad == predictions.all else 0


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


def expand(paths: Iterable[str]) -> Iterator[Path]:
    """Files as they are, folders as the photos below them.  Raises UsageError for nothing."""
    from googlenet.data.folder import photos_in

    for path in map(Path, paths):
        if path.is_dir():
            photos = photos_in(path)
            if not photos:
                raise UsageError(f"PATH must hold photos, got {path}, which holds none")
            yield from photos
        else:
            yield path


def record(prediction: Prediction) -> dict[str, Any]:
    return {
        "path": prediction.path,
        "label": prediction.label,
        "probability": prediction.probability,
        "top": [{"label": name, "probability": p} for name, p in prediction.top],
        "error": prediction.error,
    }


def show(predictions: Iterable[Prediction]) -> None:
    for prediction in predictions:
        if prediction.error:
            print(f"error: {prediction.error}")  # which begins with the path
            continue
        answers = "; ".join(f"{name} {100 * p:.1f} %" for name, p in prediction.top)
        print(f"{prediction.path}: {answers}")


def write(path: Path, predictions: Iterable[Prediction], top: int) -> None:
    try:
        # What is no text in a path is escaped, in JSON's own way.
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            if path.suffix == ".jsonl":
                write_jsonl(file, predictions)
            else:
                write_csv(file, predictions, top)
    except OSError as error:
        raise GoogLeNetError(f"{path}: cannot be written ({error})") from error


def write_jsonl(file: TextIO, predictions: Iterable[Prediction]) -> None:
    for prediction in predictions:
        file.write(json.dumps(record(prediction), ensure_ascii=False) + "\n")


def write_csv(file: TextIO, predictions: Iterable[Prediction], top: int) -> None:
    """Columns path, label, probability, label2, probability2, …, error."""
    columns = ["path", "label", "probability"]
    for n in range(2, top + 1):
        columns += [f"label{n}", f"probability{n}"]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*columns, "error"])
    for prediction in predictions:
        cells = [cell for answer in prediction.top for cell in answer]
        cells += [""] * (2 * top - len(cells))
        writer.writerow([prediction.path, *cells, prediction.error or ""])
