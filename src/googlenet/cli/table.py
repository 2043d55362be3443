"""compute the paper's Table 1 for any network, beside the published numbers"""

from __future__ import annotations

import argparse
import json
from typing import Any

from googlenet.cli.cost_text import report
from googlenet.cli.options import add_json, positive, read_variant
from googlenet.models.cost import NAMES, network_cost
from googlenet.models.cost_types import NetworkCost, Row
from googlenet.models.paper_claims import claims, printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    network = f"network: {', '.join(NAMES)}, or a table of widths, FILE.json (default: paper)"
    add("--variant", default="paper", help=network)
    size = "image size in pixels (default: as published)"
    add("--size", type=positive, metavar="PIXELS", help=size)
    add("--classes", type=positive, metavar="N", help="number of classes (default: as published)")
    width = "width multiplier, for all numbers of filters (default: 1)"
    add("--width", type=float, default=1.0, metavar="X", help=width)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    cost = network_cost(read_variant(args.variant), args.size, args.classes, width=args.width)
    networks = [network_cost(name) for name in NAMES]
    if args.json:
        print(json.dumps(as_json(cost, networks, args.width), ensure_ascii=False))
    else:
        print(report(cost, networks, args.width))
    return 0


def as_json(cost: NetworkCost, networks: list[NetworkCost], width: float) -> dict[str, Any]:
    """The table as one JSON value; `networks`: the baselines, each as published."""
    return summary(cost) | {
        "width": width,
        "rows": [row_json(cost.name, row) for row in cost.rows],
        "heads": [row_json(cost.name, row) for row in cost.heads],
        "training_params": cost.training_params,
        "blocks": cost.blocks.total(),
        "blocks_by_kind": dict(cost.blocks),
        "compared": [summary(network) for network in networks],
        "claims": [claim._asdict() for claim in claims()],
    }


def summary(cost: NetworkCost) -> dict[str, Any]:
    """A network's name, input and totals (without auxiliary heads)."""
    return {
        "variant": cost.name,
        "size": cost.size,
        "in_channels": cost.in_channels,
        "classes": cost.classes,
        "params": cost.total.params,
        "macs": cost.total.macs,
        "activation_bytes": cost.total.activation_bytes,
        "layers": cost.layers,
        "layers_with_pools": cost.layers_with_pools,
    }


def row_json(network: str, row: Row) -> dict[str, Any]:
    """A row; `output`: height, width, channels; `printed`: the numbers in Table 1, if any."""
    figures = printed(network, row)
    return {
        "name": row.name,
        "modules": row.modules,
        "output": row.output,
        "params": row.cost.params,
        "weights": row.cost.weights,
        "biases": row.cost.biases,
        "macs": row.cost.macs,
        "activation_bytes": row.cost.activation_bytes,
        "share": row.share,
        "printed": figures
        and {
            "params": figures.params_text,
            "macs": figures.ops_text,
            "params_follow": figures.params_follow(row.cost),
            "macs_follow": figures.ops_follow(row.cost),
        },
    }
