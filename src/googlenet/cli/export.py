"""export a model to ONNX Runtime, OpenVINO or torch.export, and verify the result"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from googlenet.cli.options import WEIGHTS, add_json, add_renamed, add_workers, positive
from googlenet.export.formats import FORMATS, PRECISIONS
from googlenet.runtime.errors import GoogLeNetError, UsageError

if TYPE_CHECKING:
    from googlenet.inference.classifier import Classifier

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
        help="the file: .onnx, .xml or .pt2",
    )
    add("--precision", choices=PRECISIONS, help="numeric precision (default: fp32)")
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
    add_workers(parser)
    add_json(parser)
    add_renamed(parser, old="--photos", new="--images")
    add_renamed(parser, old="--calibration-photos", new="--calibration-images")
    add_renamed(parser, old="--calibrate", new="--calibration-data")


def run(args: argparse.Namespace) -> int:
    from googlenet.export.export import ExportOptions, export
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
    with console.bar(len(images.samples), "compare") as shown:
        report = export(
            classifier, plan, args.out, images,
            workers=args.workers, progress=shown.update,
            on_unreadable=lambda error: console.say(f"skipped: {error}"),
        )  # fmt: skip
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


def chosen_precision(args: argparse.Namespace) -> str:
    """The precision of --precision and --int8.  Raises UsageError where they contradict."""
    if args.int8 and args.precision not in (None, "int8"):
        raise UsageError(f"--precision must be int8 with --int8, got {args.precision}")
    precision = "int8" if args.int8 else args.precision or "fp32"
    if precision == "int8" and not (args.data or args.calibration_data):
        raise UsageError("--int8 needs images for calibration: --data or --calibration-data")
    return precision


def check_out(args: argparse.Namespace) -> None:
    """Refuse, before any work, to write where nothing should be written."""
    from googlenet.inference.model_file import model_path

    out, suffixes = args.out, FORMATS[args.to].suffixes
    if out.suffix not in suffixes:
        raise UsageError(f"--out must end in {' or '.join(suffixes)} for --to {args.to}, got {out}")
    if out.is_dir():
        raise UsageError(f"--out must be a file, got {out}, a folder")
    source = model_path(args.model)
    if out.exists() and source.exists() and out.samefile(source):
        raise UsageError(f"--out must not be MODEL itself, got {out}")


def lines(report: dict[str, Any], classifier: Classifier) -> list[str]:
    """The report as text."""
    p = classifier.preprocessing
    batch = "1" if report["fixed"] else "N"
    shape = (
        "one image (height, width, 3) uint8 of any size"
        if report["with_preprocessing"]
        else f"images ({batch}, {p.channels}, {p.size}, {p.size}) float32, normalized"
    )
    found = [
        f"{report['model']} → {report['out']}: {report['format']}, {report['precision']}, "
        f"{report['bytes'] / 1e6:.1f} MB",
        f"input               {shape}",
        f"compared on         {report['images']:,} images: {report['data']}",
        f"top-1 agreement     {report['agreement']:.2f} %",
        f"probabilities       maximum difference {report['max_difference']:.2g}, "
        f"mean {report['mean_difference']:.2g}",
    ]
    if report["network_agreement"] is not None:
        found.append(
            f"network alone       top-1 agreement {report['network_agreement']:.2f} % on the same "
            f"crops, maximum difference {report['network_max_difference']:.2g}"
        )
    if report["calibration_images"]:
        found.insert(2, f"calibrated on       {report['calibration_images']} images")
    if report["accuracy_before"] is not None:
        found.append(
            f"accuracy            {report['accuracy_before']:.2f} % before, "
            f"{report['accuracy_after']:.2f} % after: {len(report['became_wrong'])} regressions, "
            f"{len(report['became_right'])} fixes"
        )
    if report["precision"] == "bf16" and not report["native_bf16"]:
        found.append("note                this CPU has no bf16: compared in fp32")
    return found
