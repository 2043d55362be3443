"""find objects: train, evaluate and use a detector, and what belongs to it"""

from __future__ import annotations

import argparse
from importlib import import_module

# Sub-verbs, each a module of its own.
SUBVERBS = ("train", "evaluate", "predict", "proposals", "convert")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(
        dest="subverb", metavar="VERB", required=True, help=", ".join(SUBVERBS)
    )
    for name in SUBVERBS:
        module = import_module(f"googlenet.cli.detect_{name}")
        summary = (module.__doc__ or "").strip()
        command = verbs.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run_subverb=module.run)


def run(args: argparse.Namespace) -> int:
    return int(args.run_subverb(args))
