"""answer over HTTP what is in photos, and on a page for people"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from googlenet.cli.options import MODEL, add_engine, positive
from googlenet.runtime.errors import GoogLeNetError, UsageError

TOKEN_VARIABLE = "GOOGLENET_TOKEN"
MIB = 2**20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help=MODEL)
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    add("--port", type=port, default=8000, help="0 takes a free one (default: 8000)")
    add(
        "--token",
        help=f"bearer token that clients must send (or in the variable {TOKEN_VARIABLE})",
    )
    add("--token-file", metavar="FILE", type=Path, help="a file that holds the token")
    add_engine(parser)
    add("--threads", type=positive, metavar="N", help="threads of the network (default: PyTorch's)")
    add("--decoders", type=positive, default=2, metavar="N", help="threads that decode photos (2)")
    add("--batch", type=positive, default=16, metavar="N", help="photos answered together (16)")
    add(
        "--batch-wait", type=seconds, default=0.02, metavar="S",
        help="seconds that a photo waits for others on their way (0.02)",
    )  # fmt: skip
    add("--max-body", type=positive, default=32, metavar="MIB", help="size of a request (32)")
    add("--max-held", type=positive, default=256, metavar="MIB", help="of all requests (256)")
    add("--max-pixels", type=positive, default=50_000_000, metavar="N", help="a photo (50000000)")
    add("--max-photos", type=positive, default=32, metavar="N", help="of a request (32)")
    add("--max-queue", type=positive, default=128, metavar="N", help="photos that wait (128)")
    add("--max-connections", type=positive, default=256, metavar="N", help="open ones (256)")
    add("--timeout", type=some_seconds, default=30.0, metavar="S", help="for an answer (30)")
    add(
        "--read-timeout", type=some_seconds, default=15.0, metavar="S",
        help="for a request's headers, and for its body at less than 64 KiB/s (15)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    try:
        from googlenet.serving.app import build_app
        from googlenet.serving.server import Server, address, is_loopback, listen
    except ModuleNotFoundError as error:
        raise GoogLeNetError(
            f"serve needs {error.name}, which is not installed: pip install 'googlenet[serve]'"
        ) from error

    import torch

    from googlenet.inference.classifier import Classifier
    from googlenet.inference.engine_classifier import EngineClassifier
    from googlenet.runtime.device import ComputeDevice
    from googlenet.serving.limits import Limits
    from googlenet.serving.service import Service

    limits = Limits(
        body=args.max_body * MIB,
        held=args.max_held * MIB,
        pixels=args.max_pixels,
        photos=args.max_photos,
        queue=args.max_queue,
        connections=args.max_connections,
        seconds=args.timeout,
        read_seconds=args.read_timeout,
        batch=args.batch,
        batch_seconds=args.batch_wait,
        decoders=args.decoders,
    )
    token = find_token(args.token, args.token_file)
    if args.threads:
        torch.set_num_threads(args.threads)
    set_up_log()
    log = logging.getLogger("googlenet.serving")
    with listen(args.host, args.port) as listening:
        if token is None and not is_loopback(listening):
            log.warning("anyone who reaches %s may ask: there is no --token", address(listening))
        classifier = Classifier.load(args.model, ComputeDevice.detect("fp32"), args.engine)
        if isinstance(classifier, EngineClassifier) and classifier.whole_photos:
            raise UsageError(
                f"MODEL must not have its preprocessing built in to be served, got {args.model}"
            )
        service = Service(classifier, limits)
        log.info("serving %s on %s", Path(args.model).name, address(listening))
        Server(build_app(service, token), service).run([listening])
    log.info("stopped")
    return 0


def set_up_log() -> None:
    """Lines on stderr: ours, and what the libraries call an error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.ERROR)
    logging.getLogger("googlenet.serving").setLevel(logging.INFO)


def some_seconds(text: str) -> float:
    """More than 0, and no year."""
    value = seconds(text)
    if not value:
        raise argparse.ArgumentTypeError(f"must be seconds above 0, up to 86400, got {text!r}")
    return value


def find_token(given: str | None, file: Path | None) -> str | None:
    """The token of the option, the file or the variable; None where there is none.

    Raises UsageError for two of them, an empty one, or one that no header can carry.
    """
    if given is not None and file is not None:
        raise UsageError("--token and --token-file exclude each other, got both")
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
    """0 to 65535."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"must be a whole number up to 65535, got {text!r}")
    return int(text)


def seconds(text: str) -> float:
    """0 or more, and no year."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"must be seconds from 0 to 86400, got {text!r}")
    return value
