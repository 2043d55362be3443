"""Options that several verbs share, and how their values are read."""

from __future__ import annotations

import argparse

MODEL = (
    "a model file, a run folder, an exported file, a published weight file, "
    "or one by name: bvlc, inception5h, torchvision"
)


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, got {text!r}")
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
        "--workers", type=positive, default=2, help="threads that read photos (default: 2)"
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine",
        metavar="NAME",
        help="what computes: torch, onnxruntime, openvino, or auto, the fastest that is installed "
        "(default: torch, or the engine that an exported file is for)",
    )
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="threads that compute (default: all cores)"
    )


def use_threads(args: argparse.Namespace) -> None:
    """Compute with --threads, in whatever engine: each takes as many as PyTorch does."""
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
