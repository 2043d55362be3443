"""turn a third-party weight file into a model file"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet.cli.options import add_json, check_out
from googlenet.weights.registry import KNOWN

if TYPE_CHECKING:
    from googlenet.inference.classifier import Classifier
    from googlenet.weights.convert import Report

MAX_NAMES = 4  # printed per kind; --json prints all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "source",
        metavar="SOURCE",
        help="a Caffe, TensorFlow, ONNX, PyTorch or safetensors file, a model file, or "
        f"published weights, downloaded once: {', '.join(KNOWN)}",
    )
    add("--out", metavar="FILE", type=Path, required=True, help="the .safetensors file to write")
    add(
        "--to",
        choices=("googlenet", "caffe"),
        default="googlenet",
        help="naming scheme of the tensors (default: googlenet)",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from googlenet.inference.model_file import model_path
    from googlenet.load import convert_source, require_weights
    from googlenet.weights.caffe_named import write_caffe_named

    source = model_path(args.source)
    check_out(args.out, source)
    require_weights(source, "SOURCE")
    classifier, report = convert_source(source)
    if args.to == "caffe":
        write_caffe_named(classifier.header, classifier.network.state_dict(), args.out)
    else:
        classifier.save(args.out)
    if args.json:
        print(json.dumps(summary(args, classifier, report), ensure_ascii=False))
    else:
        print("\n".join(lines(args, classifier, report)))
    return 0


def summary(args: argparse.Namespace, classifier: Classifier, report: Report) -> dict[str, object]:
    return {
        "source": args.source,
        "out": str(args.out),
        **report.to_json(),
        "classes": len(classifier.classes),
        "heads": list(classifier.network.aux_heads),
        "preprocessing": classifier.preprocessing.to_json(),
        "provenance": dict(classifier.provenance),
        "licence": classifier.licence,
    }


def lines(args: argparse.Namespace, classifier: Classifier, report: Report) -> list[str]:
    """The report as text: one line per kind of tensor, and the names of the first few."""
    found = [
        f"{args.source}: {report.format}, {report.scheme} names, "
        f"variant {report.variant}, {len(classifier.classes)} classes",
        f"kept           {len(report.kept)} tensors",
        f"dropped        {len(report.dropped)}",
        *first([f"{name}: {reason}" for name, reason in report.dropped.items()]),
        f"missing        {len(report.missing)}",
        *first([f"{name}: not needed" for name in report.missing]),
        f"re-initialized {len(report.reinitialised)}",
        *first([f"{name}: {value}" for name, value in report.reinitialised.items()]),
    ]
    heads = ", ".join(classifier.network.aux_heads) or "none"
    untrained = " (untrained)" if report.untrained_heads else ""
    found.append(f"heads          {heads}{untrained}")
    found.append(f"licence        {classifier.licence or 'not stated'}")
    found.append(f"written to     {args.out}")
    return found


def first(entries: list[str]) -> list[str]:
    """The first few entries, indented, and how many more there are."""
    rest = len(entries) - MAX_NAMES
    more = [f"  … and {rest} more, see --json"] if rest > 0 else []
    return [f"  {entry}" for entry in entries[:MAX_NAMES]] + more
