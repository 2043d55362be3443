"""export a model to ONNX, OpenVINO, torch.export or a web page, and verify the result"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from googlenet.cli.options import WEIGHTS, add_json, add_renamed, add_workers, positive
from googlenet.export.formats import FORMATS, PRECISIONS
from googlenet.runtime.errors import GoogLeNetError, UsageError

if TYPE_CHECKING:
    from googlenet.export.export import ExportOptions
    from googlenet.export.parity_images import ParityImages
    from googlenet.inference.classifier import Classifier
    from googlenet.runtime.console import Console

MIN_CALIBRATION_IMAGES = 50  # with fewer, int8 calibration warns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=WEIGHTS)
    add("--to", required=True, choices=tuple(FORMATS), help="target engine")
    add(
        "--out",
        metavar="FILE",
        type=Path,
        required=True,
        help="the file: .onnx, .xml, .pt2 or .html; for web a folder",
    )
    add(
        "--precision",
        choices=PRECISIONS,
        help="numeric precision (default: fp32; web: int8 with --data, if it agrees)",
    )
    add("--int8", action="store_true", help="short for --precision int8")
    add(
        "--data",
        metavar="DATA",
        help="images to compare on and, for int8, to calibrate with (default: synthetic ones)",
    )
    add(
        "--calibration-data", metavar="DATA", help="images to calibrate int8 with (default: --data)"
    )
    add(
        "--calibration-images", type=positive, default=300, metavar="N",
        help="number of images to calibrate int8 with, from the training split (default: 300)",
    )  # fmt: skip
    add(
        "--images",
        type=positive,
        default=1000,
        metavar="N",
        help="maximum number of images to compare on (default: 1000)",
    )
    add(
        "--with-preprocessing",
        action="store_true",
        help="include resizing, cropping and normalization; the input is a uint8 image of any size",
    )
    add(
        "--fixed",
        action="store_true",
        help="onnx: an input of one shape, a single image: for OpenCV 4, TensorRT, and NPUs",
    )
    add(
        "--single-file",
        action="store_true",
        help="web: one HTML file that opens without a server, instead of a folder",
    )
    add(
        "--runtime",
        metavar="PATH",
        type=Path,
        help="web: onnxruntime-web's npm folder or .tgz (default: downloaded once)",
    )
    add_workers(parser)
    add_json(parser)
    add_renamed(parser, old="--photos", new="--images")
    add_renamed(parser, old="--calibration-photos", new="--calibration-images")
    add_renamed(parser, old="--calibrate", new="--calibration-data")


def run(args: argparse.Namespace) -> int:
    from googlenet.export.export import ExportOptions
    from googlenet.export.parity_images import calibration_crops, parity_images
    from googlenet.load import load_classifier, require_weights
    from googlenet.runtime.console import Console

    precision = chosen_precision(args)
    check_out(args)
    ExportOptions(args.to, precision, args.with_preprocessing, args.fixed).check()
    if args.calibration_data and precision != "int8":
        raise UsageError(f"--calibration-data is only valid with --int8, got precision {precision}")
    require_weights(args.model, "MODEL")
    classifier = load_classifier(args.model)
    held_out = precision == "int8" and not args.calibration_data
    images = parity_images(classifier, args.data, held_out, args.images)
    calibration = None
    if precision == "int8":
        source = args.calibration_data or args.data
        calibration = calibration_crops(classifier, source, args.calibration_images)
    console = Console(sys.stderr if args.json else sys.stdout)
    console.say_all(images.lines)
    if calibration is not None and len(calibration) < MIN_CALIBRATION_IMAGES:
        console.say(
            f"warning: int8 is calibrated on {len(calibration)} images only; use "
            f"{MIN_CALIBRATION_IMAGES} or more for reliable ranges"
        )
    plan = ExportOptions(args.to, precision, args.with_preprocessing, args.fixed, calibration)
    write = writer(args)
    report = exported(write, classifier, plan, args, images, console)
    if not report["passed"] and precision == "int8" and not is_int8_asked(args):
        console.say(f"int8 disagrees ({report['failure']}): fp32 instead")
        plan = replace(plan, precision="fp32", calibration=None)
        report = exported(write, classifier, plan, args, images, console)
    report = {"model": args.model} | report
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        print("\n".join(lines(report, classifier)))
    if not report["passed"]:
        raise GoogLeNetError(
            f"{args.out}: not written, it disagrees with {args.model}: {report['failure']}"
        )
    return 0


def writer(args: argparse.Namespace) -> Callable[..., dict[str, Any]]:
    """What writes the format and compares: `export`, or `export_web` with its runtime."""
    if args.to != "web":
        from googlenet.export.export import export

        return export
    from googlenet.export.web.runtime import read_runtime
    from googlenet.export.web.site import export_web
    from googlenet.weights.download import DownloadError, fetch
    from googlenet.weights.registry import ONNXRUNTIME_WEB

    try:
        path = args.runtime or fetch(ONNXRUNTIME_WEB)
    except DownloadError as error:
        raise GoogLeNetError(f"{error} (the option is --runtime)") from error
    return partial(export_web, runtime=read_runtime(path))


def exported(
    write: Callable[..., dict[str, Any]],
    classifier: Classifier,
    plan: ExportOptions,
    args: argparse.Namespace,
    images: ParityImages,
    console: Console,
) -> dict[str, Any]:
    """Write the file with a progress bar; the report."""
    with console.bar(len(images.samples), "compare") as shown:
        return write(
            classifier, plan, out=args.out, images=images,
            workers=args.workers, progress=shown.update,
            on_unreadable=lambda error: console.say(f"skipped: {error}"),
        )  # fmt: skip


def is_int8_asked(args: argparse.Namespace) -> bool:
    return bool(args.int8 or args.precision == "int8")


def chosen_precision(args: argparse.Namespace) -> str:
    """The precision of --precision and --int8.  Raises UsageError where they contradict."""
    if args.int8 and args.precision not in (None, "int8"):
        raise UsageError(f"--precision must be int8 with --int8, got {args.precision}")
    has_data = bool(args.data or args.calibration_data)
    usual = "int8" if args.to == "web" and has_data and find_spec("nncf") else "fp32"
    precision = "int8" if args.int8 else args.precision or usual
    if precision == "int8" and not has_data:
        raise UsageError("--int8 needs images for calibration: --data or --calibration-data")
    return precision


def check_out(args: argparse.Namespace) -> None:
    """Refuse, before any work, to write where nothing should be written."""
    from googlenet.inference.model_file import model_path

    out, suffixes = args.out, FORMATS[args.to].suffixes
    if args.to == "web":
        check_web_out(out, args.single_file)
    elif args.single_file or args.runtime:
        option = "--single-file" if args.single_file else "--runtime"
        raise UsageError(f"{option} must go with --to web, got {args.to}")
    elif out.suffix not in suffixes:
        raise UsageError(f"--out must end in {' or '.join(suffixes)} for --to {args.to}, got {out}")
    elif out.is_dir():
        raise UsageError(f"--out must be a file, got {out}, a folder")
    source = model_path(args.model)
    if out.exists() and source.exists() and out.samefile(source):
        raise UsageError(f"--out must not be MODEL itself, got {out}")


def check_web_out(out: Path, single_file: bool) -> None:
    """One .html file, or a folder that is new, empty or an earlier page."""
    if single_file and (out.suffix != ".html" or out.is_dir()):
        raise UsageError(f"--out must be a file that ends in .html with --single-file, got {out}")
    if single_file:
        return
    if out.suffix == ".html" or out.is_file():
        raise UsageError(f"--out must be a folder without --single-file, got {out}")
    if out.is_dir() and any(out.iterdir()) and not (out / "network.onnx.gz").is_file():
        raise UsageError(f"--out must be a new folder, or one with an earlier page, got {out}")


def lines(report: dict[str, Any], classifier: Classifier) -> list[str]:
    """The report as text."""
    found = [
        f"{report['model']} → {report['out']}: {report['format']}, {report['precision']}, "
        f"{report['bytes'] / 1e6:.1f} MB",
        *input_lines(report, classifier),
        f"compared on         {report['images']:,} images: {report['data']}",
        f"top-1 agreement     {report['agreement']:.2f} %",
        f"probabilities       maximum difference {report['max_difference']:.2g}, "
        f"mean {report['mean_difference']:.2g}",
        *network_lines(report),
    ]
    if report["accuracy_before"] is not None:
        found.append(
            f"accuracy            {report['accuracy_before']:.2f} % before, "
            f"{report['accuracy_after']:.2f} % after: {len(report['became_wrong'])} regressions, "
            f"{len(report['became_right'])} fixes"
        )
    if report["format"] == "web":
        found += browser_lines(report)
    if report["precision"] == "bf16" and not report["native_bf16"]:
        found.append("note                this CPU has no bf16: compared in fp32")
    return found


def input_lines(report: dict[str, Any], classifier: Classifier) -> list[str]:
    """What the file takes, and what calibrated it."""
    p = classifier.preprocessing
    if report["format"] == "web":
        shape = "image files, in a browser"
    elif report["with_preprocessing"]:
        shape = "one image (height, width, 3) uint8 of any size"
    else:
        batch = "1" if report["fixed"] else "N"
        shape = f"images ({batch}, {p.channels}, {p.size}, {p.size}) float32, normalized"
    found = [f"input               {shape}"]
    if report["calibration_images"]:
        found.append(f"calibrated on       {report['calibration_images']} images")
    return found


def network_lines(report: dict[str, Any]) -> list[str]:
    """The network alone, of a file with its preprocessing built in."""
    if report.get("network_agreement") is None:
        return []
    return [
        f"network alone       top-1 agreement {report['network_agreement']:.2f} % on the same "
        f"crops, maximum difference {report['network_max_difference']:.2g}"
    ]


def browser_lines(report: dict[str, Any]) -> list[str]:
    """What the page answers in a real browser, or why that is not known."""
    browser = report["browser"]
    if browser is None:
        reason = report["browser_unchecked"] or "the network disagrees already"
        return [f"in a browser        not checked: {reason}"]
    found = [
        f"in a browser        {browser['name']}: top-1 agreement {browser['agreement']:.2f} % on "
        f"{browser['images']} images, maximum difference {browser['max_difference']:.2g}"
    ]
    found += [f"                    changed: {name}" for name in browser["changed"]]
    return found + [f"                    skipped: {text}" for text in browser["skipped"]]
