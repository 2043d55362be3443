"""print what a model file contains"""

from __future__ import annotations

import argparse
import json
from typing import Any

from googlenet.cli.options import MODEL, add_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    file = exported(args.model)
    header = file or model(args.model)
    if args.json:
        print(json.dumps(header, ensure_ascii=False))
    else:
        print("\n".join([*lines(header), *kernel_lines(with_network=file is None)]))
    return 0


def kernel_lines(with_network: bool) -> list[str]:
    """Whether the native kernels work here, and why not; `with_network` imports PyTorch."""
    from googlenet.images.library import LIBRARY as PIXELS

    found = {"pixel kernels": PIXELS.status()}
    if with_network:
        from googlenet.kernels.library import LIBRARY as NETWORK

        found["network kernels"] = NETWORK.status()
    return [f"{name:<18} {status}" for name, status in found.items()]


def model(path: str) -> dict[str, Any]:
    """The header of a model file."""
    from googlenet.inference.model_file import model_path
    from googlenet.load import load_classifier

    classifier = load_classifier(path)
    parameters = sum(p.numel() for p in classifier.network.parameters())
    return {"file": str(model_path(path)), "parameters": parameters} | classifier.header.to_json()


def exported(path: str) -> dict[str, Any] | None:
    """The header of an exported file, None for another; `parameters` before fusion."""
    from googlenet.inference.exported_file import read_exported
    from googlenet.inference.model_file import model_path
    from googlenet.runtime.files import map_file

    found = model_path(path)
    file = read_exported(found, map_file(found)) if found.is_file() else None
    return None if file is None else {"file": str(file.path), **file.facts()}


def lines(header: dict[str, Any]) -> list[str]:
    """The header as text: one line per entry, long class lists cut."""
    shown = dict(header)
    names = [c["name"] for c in header["classes"]]
    more = f"; … ({len(names)} in total)" if len(names) > 12 else ""
    shown["classes"] = f"{len(names)}: " + "; ".join(names[:12]) + more
    shown["parameters"] = f"{header['parameters']:,}"
    shown["heads"] = ", ".join(header["heads"]) or "none"
    found = []
    for key, value in shown.items():
        if isinstance(value, dict):
            found.append(f"{key}:")
            found += [f"  {name:<16} {short(inner)}" for name, inner in value.items()]
        elif value is not None:
            found.append(f"{key:<18} {value}")
    return found


def short(value: Any) -> Any:
    """A value of the header as text: of training images their number, of a table its widths."""
    if isinstance(value, dict) and "hashes" in value:
        return f"{value.get('images')} training images"
    if isinstance(value, list) and value and isinstance(value[0], dict) and "widths" in value[0]:
        return "; ".join(
            f"{row['name']} {'/'.join(map(str, row['widths'].values()))}" for row in value
        )
    return value
