"""The command line's frame: verbs and options frozen, exit codes, odd terminals."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

import googlenet
from googlenet import cli
from googlenet.cli import VERBS, evaluate, main, parser
from googlenet.runtime.errors import GoogLeNetError, UsageError
from tests.cli.conftest import command

# The public command line: adding to it is free, a change of what is here breaks its users.
# `table` is frozen by a test of its own.
OPTIONS = {
    "check": "DATA --all --out --strict --seed --workers --json",
    "train": "DATA --out --resume --multilabel --recipe --variant --weights --head-only --epochs "
    "--time-limit --patience --size --batch --width --seed --mode --no-mirror --precision "
    "--balance --set --decoder --augment --shuffle --views --label-issues --checkpoint-minutes "
    "--cache --workers --json",
    "evaluate": "MODEL --data --views --split --mode --restrict --precision --threshold "
    "--engine --threads --out --workers --json",
    "calibrate": "MODEL --data --out --target-fpr --split --workers --json",
    "predict": "MODEL PATH --top --out --resume --threshold --engine --precision --threads --json",
    "embed": "MODEL PATH --out --layer --l2 --precision --threads --json",
    "explain": "MODEL IMAGE --method --class --against --layer --head --out --npz --check --data "
    "--split --boxes --images --threads --json",
    "neighbors": "MODEL IMAGE --within --top --layer --out --precision --threads --json",
    "compare": "MODEL_A MODEL_B --data --out --layers --images --split --threads --json",
    "circuits": "MODEL TARGET --out --top --visualize --json",
    "microscope": "MODEL --data --out --layers --units --images --atlas --steps --time-limit "
    "--processes --json",
    "pack": "DATA OUT --resize --quality --original --shard-size --seed --workers --json",
    "serve": "MODEL --host --port --token --token-file --engine --precision --threads --max-body "
    "--max-memory --max-pixels --max-images --max-queue --max-connections --timeout "
    "--read-timeout --batch --batch-wait --workers",
    "info": "MODEL --json",
    "convert": "SOURCE --out --to --json",
    "export": "MODEL --to --out --precision --int8 --data --calibration-data --calibration-images "
    "--images --with-preprocessing --fixed --single-file --runtime --workers --json",
    "detect": "VERB",
    "visualize": "MODEL LAYER UNITS --out --opposite --of --parameterization --size --steps --seed "
    "--processes --json",
    "dream": "MODEL IMAGE --out --layer --octaves --steps --size --seed",
    "construct": "DATA --from --budget --images --epochs --size --seed --out --json",
    "bench": "KIND --data --images --size --batch --threads --repeats --clock --device "
    "--precision --allocator --peers --compile --out --json",
}


def commands() -> dict[str, argparse.ArgumentParser]:
    """Each verb's own parser."""
    (verbs,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(verbs.choices)


def options(verb: str) -> list[argparse.Action]:
    """The arguments of a verb that its help shows; former names are hidden."""
    return [a for a in commands()[verb]._actions if a.help != argparse.SUPPRESS]


def test_verbs() -> None:
    assert set(VERBS) == {*OPTIONS, "table"}
    assert list(commands()) == list(VERBS)


@pytest.mark.parametrize("verb", OPTIONS)
def test_options(verb: str) -> None:
    actions = options(verb)[1:]  # the first is --help
    names = [a.option_strings[0] if a.option_strings else a.metavar for a in actions]
    assert names == OPTIONS[verb].split()


@pytest.mark.parametrize("verb", VERBS)
def test_help_tells_of_every_option(verb: str) -> None:
    answer = command(verb, "--help")
    assert (answer.code, answer.err) == (0, "")
    for action in options(verb):
        assert action.help
        for option in action.option_strings:
            assert option in answer.out


def test_help_tells_of_every_verb_and_version() -> None:
    answer = command("--help")
    assert answer.code == 0
    for verb in VERBS:
        assert f"    {verb}" in answer.out
    assert command("--version").out == f"googlenet {googlenet.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["dance"], ["info"], ["info", "x", "--loud"]])
def test_bad_usage_is_2(arguments: list[str]) -> None:
    answer = command(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("usage: googlenet")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("--data must be data"), 2, "googlenet evaluate: --data must be data\n"),
        (GoogLeNetError("it failed"), 1, "googlenet evaluate: it failed\n"),
        (KeyboardInterrupt(), 130, "googlenet evaluate: interrupted\n"),
        (PermissionError(13, "Permission denied", "x"), 1,
         "googlenet evaluate: [Errno 13] Permission denied: 'x'\n"),
        (MemoryError(), 1,
         "googlenet evaluate: out of memory: try fewer --views or --workers\n"),
    ],
)  # fmt: skip
def test_exit_codes(
    error: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(evaluate, "run", run)
    answer = command("evaluate", "m", "--data", "d")
    assert (answer.code, answer.out, answer.err) == (code, "", message)


def test_work_for_one_process_is_not_done_by_several(monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    answer = command("info", "model.safetensors")
    said = "googlenet info: this verb runs in one process, got WORLD_SIZE=2\n"
    assert (answer.code, answer.err) == (2, said)


def test_our_own_bugs_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(args: argparse.Namespace) -> int:
        raise KeyError("a bug")

    monkeypatch.setattr(evaluate, "run", run)
    with pytest.raises(KeyError):
        main(["evaluate", "m", "--data", "d"])


def test_reader_that_has_gone_is_no_traceback() -> None:
    """`googlenet table | head -0`: nobody reads what is written."""
    read, write = os.pipe()
    os.close(read)
    run = subprocess.run(
        [sys.executable, "-m", "googlenet", "table"],
        stdout=write, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(write)
    assert (run.returncode, run.stderr) == (1, b"")


def test_name_that_the_terminal_cannot_write(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A path of bytes that are no text is escaped, not a traceback."""
    verb = ModuleType("googlenet.cli.shout", "print a name")

    def add_arguments(parser: Any) -> None:
        parser.add_argument("name")

    def run(args: argparse.Namespace) -> int:
        print(args.name)
        return 0

    verb.add_arguments, verb.run = add_arguments, run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "googlenet.cli.shout", verb)
    monkeypatch.setattr(cli, "VERBS", ("shout",))
    assert main(["shout", "caf\udce9.png"]) == 0
    assert capsysbinary.readouterr().out == b"caf\\udce9.png\n"


@pytest.mark.parametrize("value", ["", "abc", "0", "-1", "1e9"])
def test_a_pixel_limit_that_is_not_a_number_is_bad_usage(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLENET_MAX_PIXELS", value)
    answer = command("table")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "GOOGLENET_MAX_PIXELS must be a positive whole number" in answer.err
