"""serve predictions over HTTP, with a web page"""

from __future__ import annotations

import argparse
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from googlenet.cli.options import (
    MODEL,
    add_engine,
    add_precision,
    add_renamed,
    add_threads,
    positive,
)
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.serving.limits import MIB, Limits, option_name

if TYPE_CHECKING:
    from googlenet.inference.classifier import Classifier

TOKEN_VARIABLE = "GOOGLENET_TOKEN"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # of a model, in addresses


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    several = "several are served by their names, which NAME= gives, the first by default"
    add("models", metavar="MODEL", nargs="+", help=f"{MODEL}; {several}")
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    add("--port", type=port, default=8000, help="port, 0 for any free one (default: 8000)")
    token = f"bearer token that clients must send (default: the environment's {TOKEN_VARIABLE})"
    add("--token", help=token)
    add("--token-file", metavar="FILE", type=Path, help="file that contains the token")
    add_engine(parser)
    add_precision(parser)
    add_threads(parser)
    types = {"MIB": mebibytes, "N": positive, "S": seconds}
    for field in fields(Limits):
        unit = field.metadata["unit"]
        default: Any = field.default
        shown = default // MIB if unit == "MIB" else default
        add(
            option_name(field.name),
            type=types[unit],
            default=default,
            metavar=unit,
            help=f"{field.metadata['help']} (default: {shown:,})",
        )
    add_renamed(parser, old="--decoders", new="--workers")
    add_renamed(parser, old="--max-held", new="--max-memory")
    add_renamed(parser, old="--max-photos", new="--max-images")


def run(args: argparse.Namespace) -> int:
    try:
        from googlenet.serving.app import build_app
        from googlenet.serving.server import Server, address, is_loopback, listen
    except ModuleNotFoundError as error:
        raise GoogLeNetError(
            f"serve needs the package {error.name}, which is not installed: "
            "pip install 'googlenet[serve]'"
        ) from error

    import torch

    from googlenet.serving.service import Service

    sources = named_models(args.models)
    limits = Limits(**{field.name: getattr(args, field.name) for field in fields(Limits)})
    token = find_token(args.token, args.token_file)
    if args.threads:
        torch.set_num_threads(args.threads)
    set_up_log()
    log = logging.getLogger("googlenet.serving")
    with listen(args.host, args.port) as listening:
        if token is None and not is_loopback(listening):
            log.warning(
                "anyone who can reach %s can use the service: there is no --token",
                address(listening),
            )
        service = Service(load_models(sources, args.engine, args.precision), limits)
        log.info("serving %s on %s", ", ".join(sources), address(listening))
        Server(build_app(service, token), service).run([listening])
    log.info("stopped")
    return 0


def named_models(given: Sequence[str]) -> dict[str, str]:
    """What each name serves, in the order of the arguments; a path that exists has no name in it.

    Raises UsageError for a name that no address can carry, and for the same name twice.
    """
    sources: dict[str, str] = {}
    for argument in given:
        name, equals, source = argument.partition("=")
        if not equals or Path(argument).exists():
            name, source = default_name(argument), argument
        if not NAME.fullmatch(name):
            raise UsageError(
                f"a model's name must be letters, digits, '.', '_' and '-', got {name!r}: "
                "NAME=MODEL gives one"
            )
        if name in sources:
            raise UsageError(
                f"models must have different names, got {name} for {sources[name]} and {source}: "
                "NAME=MODEL gives one"
            )
        sources[name] = source
    return sources


def default_name(source: str) -> str:
    """The name of a run folder, of a file without its suffix, or of a known file."""
    path = Path(source).absolute()
    name = path.name if path.is_dir() else path.stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".-") or "model"


def load_models(sources: Mapping[str, str], engine: str, precision: str) -> dict[str, Classifier]:
    """The classifiers.  Raises UsageError for one that cannot be served."""
    from googlenet.load import load_classifier

    loaded: dict[str, Classifier] = {}
    for name, source in sources.items():
        loaded[name] = load_classifier(source, "auto", engine, precision)
        if loaded[name].backend.takes_raw_image:
            raise UsageError(f"MODEL has its preprocessing built in and cannot be served: {source}")
    return loaded


def set_up_log() -> None:
    """Log to stderr: our own lines, and errors of libraries."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.ERROR)
    logging.getLogger("googlenet.serving").setLevel(logging.INFO)


def find_token(given: str | None, file: Path | None) -> str | None:
    """The token of the option, the file or the environment; None without any.

    Raises UsageError for both options, an empty token, or one that no header can carry.
    """
    if given is not None and file is not None:
        raise UsageError("--token and --token-file exclude each other")
    token: str | None
    if file is not None:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise UsageError(f"--token-file must be a text file, got {file} ({error})") from error
    else:
        token = given if given is not None else os.environ.get(TOKEN_VARIABLE)
    if token is not None and not (token and token.isascii() and token.isprintable()):
        raise UsageError("a token must be one or more printable ASCII characters")
    return token


def port(text: str) -> int:
    """A port, 0 to 65535."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"must be a whole number up to 65535, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """A number of seconds, at most a day."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"must be seconds from 0 to 86400, got {text!r}")
    return value


def mebibytes(text: str) -> int:
    """A size in bytes, given in MiB."""
    return positive(text) * MIB
