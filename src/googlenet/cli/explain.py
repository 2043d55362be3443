"""show where a model looked in images, and test whether its explanations are right"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from googlenet.cli.options import (
    DATA,
    INTERRUPTED,
    WEIGHTS,
    add_json,
    add_split,
    add_threads,
    positive,
    use_threads,
)
from googlenet.runtime.errors import UsageError, printable

if TYPE_CHECKING:
    from googlenet.images.archived import ArchivedImage
    from googlenet.insight.explain import Explainer, View
    from googlenet.insight.explain_page import Explanation

METHODS = ("cam", "gradcam", "ig", "smoothgrad", "guided", "occlusion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=WEIGHTS)
    add("paths", metavar="IMAGE", nargs="*", help="images, folders of images, or shards")
    add("--method", type=methods, default=("gradcam",), metavar="NAME,…",
        help=f"one or several of {', '.join(METHODS)} (default: gradcam)")  # fmt: skip
    add("--class", dest="target", metavar="NAME",
        help="class to explain, by name or id (default: the predicted one)")  # fmt: skip
    add("--against", metavar="NAME", help="explain why the class and not this one")
    add("--layer", metavar="NAME", help="maps that gradcam takes, such as 4e (default: the last)")
    add("--head", default="main", metavar="NAME",
        help="classifier to explain: main, 4a or 4d (default: main)")  # fmt: skip
    add("--out", metavar="DIR", type=Path, help="folder to write index.html into")
    add("--npz", action="store_true", help="write the maps too, as .npz files")
    add("--check", action="store_true", help="test the methods on the images of --data")
    add("--data", metavar="DATA", help=f"with --check: {DATA}")
    add_split(parser)
    add("--boxes", metavar="DIR", type=Path,
        help="with --check: the objects' boxes, as VOC's XML files or lists")  # fmt: skip
    images = "with --check: images for the insertion and deletion curves (default: 50)"
    add("--images", metavar="N", type=positive, default=50, help=images)
    add_threads(parser)
    add_json(parser, "print one JSON value on stdout, and write the maps as with --npz")


def methods(text: str) -> tuple[str, ...]:
    """Methods, separated by commas."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in found:
        if name not in METHODS:
            rule = f"must be of {', '.join(METHODS)}, separated by commas"
            raise argparse.ArgumentTypeError(f"{rule}, got {name!r}")
    return found


def run(args: argparse.Namespace) -> int:
    from googlenet.cli.explain_check import run_check
    from googlenet.cli.image_paths import image_paths
    from googlenet.insight.explain import Explainer
    from googlenet.insight.explain_page import write_page
    from googlenet.load import load_classifier, require_weights
    from googlenet.runtime.console import Console

    check_usage(args)
    if args.out and args.out.exists() and not args.out.is_dir():
        raise UsageError(f"--out must be a folder, got {args.out}, a file")
    use_threads(args)
    require_weights(args.model, "MODEL")
    explainer = Explainer(load_classifier(args.model), args.head)
    # What the model does not have is refused before any work.
    explainer.question(args.target or 0, args.against, args.layer)
    args.method, notes = applicable(explainer, args)
    console = Console(sys.stderr if args.json else sys.stdout)
    console.say_all(notes)
    if args.check:
        return run_check(explainer, args, console)
    paths = image_paths(args.paths)
    rows: list[dict[str, Any]] = []
    page: list[Explanation] = []
    with console.interruptible(), console.bar(len(paths), "explain", unit=" images") as bar:
        for number, path in enumerate(paths):
            if console.interrupted:
                break
            explanation, found = explain(explainer, path, number, args)
            console.say(describe(explanation))
            page.append(explanation)
            rows += found
            bar.update()
    write_page(args.out / "index.html", "Where the model looked", page, notes)
    console.say(f"wrote {args.out / 'index.html'}")
    if args.json:
        print(json.dumps({"results": rows, "page": str(args.out / "index.html"), "notes": notes}))
    if console.interrupted:
        return INTERRUPTED
    return 1 if all(each.error for each in page) else 0


def check_usage(args: argparse.Namespace) -> None:
    """Raises UsageError for options that do not go together."""
    if args.check:
        if not args.data or args.paths:
            raise UsageError("--check needs --data DATA, and no IMAGE")
        for name in ("target", "against", "layer", "out"):
            if getattr(args, name) is not None:
                option = "--class" if name == "target" else f"--{name}"
                raise UsageError(f"{option} is for images, got it with --check")
        return
    if not args.paths or not args.out:
        raise UsageError("explain needs IMAGE… and --out DIR, or --check and --data DATA")
    if args.data or args.boxes:
        raise UsageError("--data and --boxes are for --check")


def applicable(explainer: Explainer, args: argparse.Namespace) -> tuple[tuple[str, ...], list[str]]:
    """The methods that the model has, and sentences about the others and about the layer.

    Raises UsageError if none applies.
    """
    reasons = {name: explainer.why_not(name) for name in args.method}
    notes = [reason for reason in reasons.values() if reason]
    able = tuple(name for name, reason in reasons.items() if reason is None)
    if not able:
        raise UsageError(f"--method: {'; '.join(notes)}")
    if args.layer:
        layer = explainer.question(0, layer=args.layer).layer
        if "gradcam" not in able:
            raise UsageError(f"--layer is for gradcam, got --method {','.join(args.method)}")
        if layer != explainer.last_map:
            notes.append(
                f"Grad-CAM of {layer}: earlier maps than the last ({explainer.last_map}) mark "
                "what many classes share, often corners and borders."
            )
    return able, notes


def explain(
    explainer: Explainer, path: Path | ArchivedImage, number: int, args: argparse.Namespace
) -> tuple[Explanation, list[dict[str, Any]]]:
    """An image on the page, and its rows: one per method, or one with the error."""
    from googlenet.images.decode import ImageError
    from googlenet.insight.explain_page import Explanation, draw, draw_map

    try:
        view = explainer.load(path)
    except ImageError as error:
        row = record(path, None, None, None, None, [], str(error))
        return Explanation(printable(str(path)), str(error)), [row]
    classifier = explainer.classifier
    (prediction,) = classifier.predict_batch([view.pixels])
    question = explainer.question(
        args.target or explainer.predicted(view.pixels), args.against, args.layer
    )
    name = classifier.classes[question.target].name
    against = None if question.against is None else classifier.classes[question.against].name
    top = [{"label": label, "probability": value} for label, value in prediction.top]
    rows, pictures = [], []
    for method in args.method:
        upright = explainer.explain(view, method, question)
        pictures.append(draw_map(view, method, upright))
        file = args.out / f"{number:04d}_{safe(path)}_{method}.npz"
        written = write_map(file, view, upright) if args.npz or args.json else None
        rows.append(record(path, name, against, method, written, top, None))
    asked = name if against is None else f"{name} and not {against}"
    return Explanation(
        printable(str(path)), None, draw(view), prediction.top, asked, tuple(pictures)
    ), rows


def record(
    path: Path | ArchivedImage,
    name: str | None,
    against: str | None,
    method: str | None,
    written: str | None,
    top: list[dict[str, Any]],
    error: str | None,
) -> dict[str, Any]:
    return {
        "path": str(path), "class": name, "against": against, "method": method, "map": written,
        "top": top, "error": error,
    }  # fmt: skip


def write_map(file: Path, view: View, upright: Any) -> str:
    """Write a map in the pixels of the image's file; returns the path."""
    from googlenet.insight.image_map import as_stored, encode_map
    from googlenet.runtime.files import write_bytes

    write_bytes(file, encode_map(as_stored(upright, view.turn)))
    return str(file)


def safe(path: Path | ArchivedImage) -> str:
    """A file's name without its extension, of plain characters only."""
    return re.sub(r"[^\w.-]+", "_", Path(str(path)).stem)[:80]


def describe(explanation: Explanation) -> str:
    """The line for a reader."""
    if explanation.error:
        return f"error: {explanation.error}"
    name, probability = explanation.top[0]
    return f"{explanation.path}: {name} {100 * probability:.1f} %; why {explanation.question}"
