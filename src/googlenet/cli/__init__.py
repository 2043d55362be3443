"""The command line: `googlenet VERB …`.  A verb's module imports heavy packages when it runs."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from io import TextIOWrapper

from googlenet import __version__, parallel
from googlenet.images.pixel_limit import max_pixels
from googlenet.runtime.errors import GoogLeNetError, UsageError, printable
from googlenet.runtime.memory import out_of_memory
from googlenet.runtime.process import tune_process
from googlenet.runtime.watchdog import stall_seconds, watching, working

VERBS = (
    *("check", "train", "evaluate", "calibrate", "predict", "serve"),
    *("explain", "detect"),
    *("embed", "neighbors", "circuits", "compare", "microscope", "visualize", "dream"),
    *("pack", "info", "convert", "export", "bench", "table", "construct"),
)
# What to lower when memory runs out.
MEMORY_OPTIONS = {
    "train": "a smaller --batch (or --batch auto) or --size",
    "evaluate": "fewer --views or --workers",
    "export": "fewer --images or --calibration-images",
    "serve": "a smaller --batch or --max-memory",
    "bench": "a smaller --batch or --size",
    "explain": "smaller images",
    "microscope": "fewer --processes or --images",
    "detect": "a smaller --side or --count",
}
DISTRIBUTED = ("train", "evaluate", "predict")  # verbs that several processes can run together
# What must not hang forever.  `bench` times work, so nothing runs beside it.
WATCHED = (
    *("check", "train", "evaluate", "calibrate", "predict", "serve", "pack", "export"),
    *("explain", "detect"),
    *("embed", "neighbors", "compare", "microscope", "visualize", "dream", "construct"),
)


def parser(verbs_read: Sequence[str] = VERBS) -> argparse.ArgumentParser:
    """The parser of the command line, or of some verbs only; each verb adds its own options."""
    top = argparse.ArgumentParser(
        prog="googlenet",
        description="GoogLeNet (Inception v1): train, evaluate, deploy and inspect it.",
    )
    top.add_argument("--version", action="version", version=f"googlenet {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in verbs_read:
        module = import_module(f"googlenet.cli.{verb}")
        summary = (module.__doc__ or "").strip()
        command = verbs.add_parser(verb, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.  Exit codes: 0 success, 1 failure, 2 bad usage, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    # Importing the other verbs takes longer than some commands do.
    args = parser(words[:1] if words[:1] and words[0] in VERBS else VERBS).parse_args(words)
    owns_process = arguments is None
    if owns_process and getattr(args, "allocator", "tuned") == "tuned":
        tune_process()
    if isinstance(sys.stdout, TextIOWrapper):  # a file name may not be encodable
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        max_pixels()
        process = parallel.rank_info_from_env(os.environ)
        if args.verb not in DISTRIBUTED and process.world_size > 1:
            raise UsageError(f"this verb runs in one process, got WORLD_SIZE={process.world_size}")
        if process.rank > 0:  # one process warns for all
            logging.getLogger("googlenet").setLevel(logging.ERROR)
        limit = stall_seconds(os.environ) if owns_process and args.verb in WATCHED else 0.0
        with (
            parallel.process_group() if args.verb in DISTRIBUTED else nullcontext(),
            watching(args.verb, limit),
            nullcontext() if args.verb == "serve" else working(),
        ):
            code = int(args.run(args))
            sys.stdout.flush()
        return code
    except GoogLeNetError as error:
        print_error(args.verb, error)
        return error.exit_code
    except KeyboardInterrupt as error:
        print_error(args.verb, error, "interrupted")
        return 130
    except BrokenPipeError:  # the reader is gone: `googlenet table | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (MemoryError, RuntimeError) as error:
        text = out_of_memory(error)
        if text is None:
            raise
        advice = MEMORY_OPTIONS.get(args.verb, "fewer processes at a time")
        print_error(args.verb, error, f"{text}: try {advice}")
        return 1
    except OSError as error:  # such as a folder without permission
        print_error(args.verb, error)
        return 1


def print_error(verb: str, error: BaseException, text: str = "") -> None:
    """One line on stderr, unless another process reports the same error."""
    if not parallel.reported_elsewhere(error):
        print(f"googlenet {verb}: {printable(text or str(error))}", file=sys.stderr)
