"""Options that several verbs share, and parsers of their values."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from googlenet.models.table import parse_table
from googlenet.runtime.errors import GoogLeNetError, UsageError

if TYPE_CHECKING:
    from googlenet.inference.classifier import Classifier

INTERRUPTED = 130  # exit code after Ctrl-C, with what was finished kept
DATA = "a folder, a table (CSV, JSON lines, Parquet), shards, or digits (built in)"
WEIGHTS = (
    "a model file, a run folder, a third-party weight file, "
    "or published weights by name: bvlc, inception5h, torchvision"
)
MODEL = f"an exported file, {WEIGHTS}"


class RenamedOption(argparse.Action):
    """Does what the option `target` does, after a notice of its name."""

    def __init__(
        self, option_strings: Sequence[str], dest: str, target: argparse.Action, **settings: Any
    ) -> None:
        same = {name: getattr(target, name) for name in ("nargs", "const", "type", "choices")}
        super().__init__(option_strings, target.dest, default=argparse.SUPPRESS, **same, **settings)
        self.target = target

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        new = self.target.option_strings[0]
        print(f"{parser.prog}: {option_string} is now called {new}", file=sys.stderr)
        self.target(parser, namespace, values, new)


def add_renamed(parser: argparse.ArgumentParser, old: str, new: str) -> None:
    """Keep the former name of an option working: hidden from --help, with a notice on stderr."""
    (target,) = (action for action in parser._actions if new in action.option_strings)
    parser.add_argument(old, action=RenamedOption, target=target, help=argparse.SUPPRESS)


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, got {text!r}")
    return value


def read_variant(text: str) -> str:
    """A network's name; of a file of widths, the table as one line of JSON.

    Raises UsageError for a file that cannot be read.
    """
    if not text.endswith(".json"):
        return text
    try:
        return parse_table(Path(text).read_text(encoding="utf-8")).key
    except (OSError, ValueError, UsageError) as error:
        raise UsageError(f"--variant {text}: {error}") from None


def natural(text: str) -> int:
    """A whole number of 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"must be a whole number of 0 or more, got {text!r}")
    return int(text)


def batch_size(text: str) -> int | str:
    """A whole number of 1 or more, or "auto"."""
    try:
        return "auto" if text == "auto" else positive(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"must be a whole number of 1 or more, or auto, got {text!r}"
        ) from None


def duration(text: str) -> float:
    """Seconds: a number and its unit, s, m or h; a plain number is minutes."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "m")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = 0
    if not 0 < seconds < inf:
        raise argparse.ArgumentTypeError(
            f"must be a time such as 90s, 30m or 1.5h (a plain number is minutes), got {text!r}"
        )
    return seconds


def percent(text: str) -> float:
    """A percentage above 0 and below 100."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 100:
        rule = "must be a percentage above 0 and below 100"
        raise argparse.ArgumentTypeError(f"{rule}, got {text!r}")
    return value


def threshold(text: str) -> float:
    """A probability above 0 and below 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be a number above 0 and below 1, got {text!r}")
    return value


def add_threshold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threshold",
        type=threshold,
        metavar="P",
        help="multilabel: probability above which a class is predicted (default: the model's)",
    )


def set_threshold(classifier: Classifier, value: float | None) -> None:
    """Raises UsageError for a model that has no threshold."""
    if value is None:
        return
    if not classifier.multilabel:
        raise UsageError("--threshold is for multilabel models, this model is single-label")
    classifier.header = replace(classifier.header, threshold=value)


def check_out(out: Path, source: Path, name: str = "SOURCE") -> None:
    """Refuse, before any work, to write where nothing should be written."""
    if out.is_dir():
        raise UsageError(f"--out must be a file, got {out}, a folder")
    if out.exists() and source.exists() and out.samefile(source):
        raise UsageError(f"--out must not be {name} itself, got {out}")
    if out.exists() and not out.stat().st_mode & 0o222:
        raise GoogLeNetError(f"{out}: exists and is read-only")


SPLITS = {
    "train": "training split",
    "val": "validation split",
    "test": "test split",
    "all": "all of the data",
}


def add_split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--split",
        choices=tuple(SPLITS),
        help="split of the data (default: val if the data has one or the model was trained on it, "
        "else all)",
    )


def minutes(text: str) -> float:
    """A number of minutes, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not 0 <= value < inf:
        raise argparse.ArgumentTypeError(f"must be a number of minutes, 0 or more, got {text!r}")
    return value


def view_list(text: str) -> tuple[int, ...]:
    """Numbers of views, separated by commas: "1,10,144"."""
    allowed = {"1": 1, "10": 10, "144": 144}
    try:
        return tuple(dict.fromkeys(allowed[part.strip()] for part in text.split(",")))
    except KeyError:
        raise argparse.ArgumentTypeError(
            f"must be 1, 10 or 144, or several of them with commas, got {text!r}"
        ) from None


def add_json(
    parser: argparse.ArgumentParser, summary: str = "print one JSON value on stdout"
) -> None:
    parser.add_argument("--json", action="store_true", help=summary)


def add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=positive,
        default=2,
        metavar="N",
        help="threads that load images (default: 2)",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        metavar="NAME",
        help="inference engine: torch, onnxruntime, openvino, or auto, the fastest one installed "
        "(default: torch, or the engine of an exported file)",
    )


def add_precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--precision",
        default="fp32",
        help="fp32, bf16, or auto: bf16 where the hardware computes in it (default: fp32; an "
        "exported file has its own)",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="compute threads (default: all cores)"
    )


def use_threads(args: argparse.Namespace) -> None:
    """Apply --threads to every engine: all take their number from PyTorch or its variable."""
    if not args.threads:
        return
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(args.threads)
    else:
        os.environ["OMP_NUM_THREADS"] = str(args.threads)  # which PyTorch reads when it is imported
