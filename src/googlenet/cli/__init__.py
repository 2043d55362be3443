"""The command line: `googlenet VERB …`.  A verb's module imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from io import TextIOWrapper

from googlenet import __version__, parallel
from googlenet.runtime.errors import GoogLeNetError, UsageError, printable
from googlenet.runtime.process import tune_process

VERBS = (
    *("check", "train", "evaluate", "calibrate", "predict", "serve"),
    *("pack", "info", "convert", "export", "bench", "table"),
)
SHARED = ("train", "evaluate", "predict")  # what several processes can do together


def parser(verbs_read: Sequence[str] = VERBS) -> argparse.ArgumentParser:
    """The whole command line, or of some verbs alone; each verb's module adds its own options."""
    top = argparse.ArgumentParser(
        prog="googlenet",
        description="GoogLeNet (Inception v1): train, evaluate, predict and look inside.",
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
    """Run one command.  Exit codes: 0 done, 1 the work failed, 2 bad usage, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    # Reading the other verbs' modules takes longer than some commands do.
    args = parser(words[:1] if words[:1] and words[0] in VERBS else VERBS).parse_args(words)
    if arguments is None and getattr(args, "allocator", "tuned") == "tuned":
        tune_process()  # this process is ours
    if isinstance(sys.stdout, TextIOWrapper):  # a file's name need be no text of the terminal's
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if args.verb not in SHARED and (count := parallel.rank_info_from_env(os.environ).count) > 1:
            raise UsageError(f"must be one process, got WORLD_SIZE {count}")
        with parallel.process_group() if args.verb in SHARED else nullcontext():
            code = int(args.run(args))
            sys.stdout.flush()
        return code
    except GoogLeNetError as error:
        say(args.verb, error)
        return error.exit_code
    except KeyboardInterrupt as error:
        say(args.verb, error, "interrupted")
        return 130
    except BrokenPipeError:  # the reader of our output has gone: `googlenet table | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # a folder that may not be read, say
        say(args.verb, error)
        return 1


def say(verb: str, error: BaseException, text: str = "") -> None:
    """Tell the user what has gone wrong, unless another process does."""
    if not parallel.reported_elsewhere(error):
        print(f"googlenet {verb}: {printable(text or str(error))}", file=sys.stderr)
