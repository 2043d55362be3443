"""Any command line: exit code 0, 1 or 2 and a sentence, never a traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from googlenet.cli import VERBS, parser
from googlenet.serving.server import Server
from tests.cli.conftest import SMALL, Answer, Trained, command
from tests.weights.test_detect import FILES

NUMBERS = ("0", "1", "2", "-1", "3.5", "1e400", "nan", "16", "32", "48", "9999999999999", "٣", "")
WORDS = (
    "x", "auto", "fp32", "bf16", "crop", "squash", "val", "all", "1,10", "144,x", "modern", "paper",
    "bn", "lenet5", "epochs=1", "learning_rate=nan", "area=1,0", "=", "name=x", "digits",
    "bvlc-step", "é\udce9 🐕", "-", "--", "x" * 5000,
)  # fmt: skip
# What would train for long or not at all: the runs of these tests are short.
LONG = {"--epochs", "--out", "--set", "--recipe", "--width", "--size", "--batch"}


def options(verb: str) -> list[str]:
    (verbs,) = (a for a in parser()._actions if a.dest == "verb")
    assert isinstance(verbs.choices, dict)
    actions = verbs.choices[verb]._actions
    return [option for action in actions for option in action.option_strings]


@pytest.fixture(scope="module")
def places(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files and folders by what they are, for PATH in a drawn command line."""
    root = tmp_path_factory.mktemp("fuzz")
    (root / "empty").mkdir()
    (root / "notes.txt").write_text("path,label\nx.png,cat\n")
    (root / "labels.csv").write_text("path,label\nmissing.png,red\nalso missing.png,blue\n")
    found = {"DATA": trained.data, "RUN": trained.run, "PHOTO": trained.data / "val/red/0.png"}
    found |= {name.upper(): root / name for name in ("empty", "notes.txt", "labels.csv", "nothing")}
    found["MODEL"] = trained.run / "last.safetensors"
    found["CHECKPOINT"] = trained.run / "checkpoint.safetensors"
    for name, (_, content) in FILES.items():
        (root / name).write_bytes(content[: len(content) // 2 if "torch" in name else None])
        found[name] = root / name
    return {name: str(path) for name, path in found.items()}


PLACES = (
    "DATA", "RUN", "PHOTO", "EMPTY", "NOTES.TXT", "LABELS.CSV", "NOTHING", "MODEL", "CHECKPOINT",
    *FILES,
)  # fmt: skip


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A verb, then options of its own or of none, values and paths in any order."""
    verb = draw(st.sampled_from(VERBS))
    own = sorted(set(options(verb)) - (LONG if verb == "train" else set()))
    word = st.one_of(
        st.sampled_from(PLACES), st.sampled_from(PLACES), st.sampled_from(own),
        st.sampled_from(NUMBERS), st.sampled_from(WORDS),
        st.builds("{}={}".format, st.sampled_from(own), st.sampled_from(NUMBERS + WORDS)),
    )  # fmt: skip
    words = draw(st.lists(word, max_size=6))
    return [verb, *words, *(["--out", "OUT", *SMALL] if verb == "train" else [])]


def is_answer(answer: Answer) -> bool:
    """A command did what it was asked, or said in its last line what was wrong."""
    lines = [*answer.out.splitlines(), *answer.err.splitlines()]
    said = bool(lines) and re.match(r"googlenet|\d+ of \d+ ", lines[-1])
    return answer.code == 0 or (answer.code in (1, 2) and bool(said))


def run(line: list[str], places: dict[str, str], folder: Path) -> Answer:
    out = folder / str(len(list(folder.iterdir())))
    known = places | {"OUT": str(out)}
    return command(*(known.get(word, word) for word in line))


@pytest.fixture(autouse=True)
def _service_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a command line that is one for `serve` everything runs but the waiting for requests."""
    monkeypatch.setattr(Server, "run", lambda self, sockets: None)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=command_lines())
def test_forty_command_lines(line: list[str], places: dict[str, str], tmp_path: Path) -> None:
    answer = run(line, places, tmp_path)
    assert is_answer(answer), (line, answer)


@pytest.mark.slow
@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=command_lines())
def test_a_thousand_command_lines(line: list[str], places: dict[str, str], tmp_path: Path) -> None:
    answer = run(line, places, tmp_path)
    assert is_answer(answer), (line, answer)
