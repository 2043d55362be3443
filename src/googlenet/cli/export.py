"""write a model for ONNX Runtime, OpenVINO or PyTorch alone, and check that it agrees"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from googlenet.cli.options import WEIGHTS, add_json, add_workers, positive
from googlenet.runtime.errors import GoogLeNetError, UsageError

if TYPE_CHECKING:
    from googlenet.inference.classifier import Classifier

FEW = 50  # photos that calibrate int8, below which a user is warned
SUFFIXES = {"onnx": (".onnx",), "openvino": (".xml",), "torch": (".pt2", ".pt")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=WEIGHTS)
    add("--to", required=True, choices=tuple(SUFFIXES), help="for which engine")
    add("--out", metavar="FILE", type=Path, required=True, help="a .onnx, .xml or .pt2 file")
    add("--precision", choices=("fp32", "bf16", "int8"), help="what to compute in (default: fp32)")
    add("--int8", action="store_true", help="the same as --precision int8")
    add(
        "--data",
        metavar="DATA",
        help="your photos, for the comparison and for int8's calibration (default: generated ones)",
    )
    add("--calibrate", metavar="DATA", help="other photos that calibrate int8 (default: --data)")
    add(
        "--calibration-photos", type=positive, default=300, metavar="N",
        help="how many calibrate int8, of the training part (default: 300)",
    )  # fmt: skip
    add(
        "--photos",
        type=positive,
        default=1000,
        metavar="N",
        help="compare at most N (default: 1000)",
    )
    add(
        "--with-preprocessing",
        action="store_true",
        help="resizing, cropping and normalising built in: takes one uint8 photo of any size",
    )
    add_workers(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.export.export import ExportOptions, export
    from googlenet.export.parity_images import calibration_crops, parity_images
    from googlenet.load import load_classifier, require_weights
    from googlenet.runtime.console import Console

    precision = chosen_precision(args)
    check_out(args)
    ExportOptions(args.to, precision, args.with_preprocessing).check()
    if args.calibrate and precision != "int8":
        raise UsageError(f"--calibrate must go with --int8, got it with {precision}")
    require_weights(args.model, "MODEL")
    classifier = load_classifier(args.model)
    own = precision == "int8" and not args.calibrate
    photos = parity_images(classifier, args.data, own, args.photos)
    calibration = None
    if precision == "int8":
        source = args.calibrate or args.data
        calibration = calibration_crops(classifier, source, args.calibration_photos)
    console = Console(sys.stderr if args.json else sys.stdout)
    console.say_all(photos.account.lines())
    if calibration is not None and len(calibration) < FEW:
        console.say(
            f"warning: {len(calibration)} photos calibrate int8: ranges found on so few may not "
            f"hold for others (take {FEW} or more)"
        )
    plan = ExportOptions(args.to, precision, args.with_preprocessing, calibration)
    with console.bar(len(photos.samples), "compare") as shown:
        report = export(
            classifier, plan, args.out, photos,
            workers=args.workers, progress=shown.update,
            on_unreadable=lambda error: console.say(f"left out: {error}"),
        )  # fmt: skip
    report = {"model": args.model} | report
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
    else:
        print("\n".join(lines(report, classifier)))
    if not report["passed"]:
        raise GoogLeNetError(
            f"{args.out}: does not agree with {args.model} and was not written: {report['failure']}"
        )
    return 0


def chosen_precision(args: argparse.Namespace) -> str:
    """The precision of --precision and --int8.  Raises UsageError where they contradict."""
    if args.int8 and args.precision not in (None, "int8"):
        raise UsageError(f"--precision must be int8 with --int8, got {args.precision}")
    precision = "int8" if args.int8 else args.precision or "fp32"
    if precision == "int8" and not (args.data or args.calibrate):
        raise UsageError("--int8 needs photos to calibrate with: --data DATA or --calibrate DATA")
    return precision


def check_out(args: argparse.Namespace) -> None:
    """Refuse, before any work, to write where nothing should be written."""
    from googlenet.inference.model_file import model_path

    out, suffixes = args.out, SUFFIXES[args.to]
    if out.suffix not in suffixes:
        raise UsageError(f"--out must end in {' or '.join(suffixes)} for --to {args.to}, got {out}")
    if out.is_dir():
        raise UsageError(f"--out must be a file, got {out}, a folder")
    source = model_path(args.model)
    if out.exists() and source.exists() and out.samefile(source):
        raise UsageError(f"--out must not be MODEL itself, got {out}")


def lines(report: dict[str, Any], classifier: Classifier) -> list[str]:
    """The report for a reader."""
    size = classifier.preprocessing.size
    takes = (
        "one photo (height, width, 3) uint8 of any size"
        if report["with_preprocessing"]
        else f"photos (N, {classifier.preprocessing.channels}, {size}, {size}) float32, normalised"
    )
    found = [
        f"{report['model']} → {report['out']}: {report['format']}, {report['precision']}, "
        f"{report['bytes'] / 1e6:.1f} MB",
        f"takes               {takes}",
        f"compared on         {report['images']} photos: {report['data']}",
        f"same answer         {report['agreement']:.2f} %",
        f"probabilities       differ by at most {report['max_difference']:.2g}, "
        f"by {report['mean_difference']:.2g} in the mean",
    ]
    if report["network_agreement"] is not None:
        found.append(
            f"its network         {report['network_agreement']:.2f} % the same on the same crops, "
            f"by at most {report['network_max_difference']:.2g}"
        )
    if report["calibration_images"]:
        found.insert(2, f"calibrated on       {report['calibration_images']} photos")
    if report["accuracy_before"] is not None:
        found.append(
            f"accuracy            {report['accuracy_before']:.2f} % before, "
            f"{report['accuracy_after']:.2f} % after: {len(report['became_wrong'])} became wrong, "
            f"{len(report['became_right'])} right"
        )
    if report["precision"] == "bf16" and not report["native_bf16"]:
        found.append("note                this processor has no bf16: computed in fp32 here")
    return found
