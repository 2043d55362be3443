"""Table 1, computed: parameters, multiply-adds and activations of any network"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--variant", default="paper")


def run(args: argparse.Namespace) -> int:
    return 0
