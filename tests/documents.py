"""The fenced blocks of the documents, and what their commands are."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from googlenet.cli import VERBS, parser

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)[ ]*(.*)\n((?:.*\n)*?)```$", re.M)
NOT_RUN = re.compile(r'title="Not run by the tests: \S.{5,}"')


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and whether its title says why it is not run."""

    language: str
    title: str
    text: str

    @property
    def runs(self) -> bool:
        return not self.title

    def commands(self) -> list[str]:
        """The lines after a prompt; the others are output."""
        return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in FENCE.findall(page.read_text(encoding="utf-8"))]


def check(command: str) -> None:
    """Raises SystemExit, ValueError or FileNotFoundError for a command that cannot be right."""
    words = shlex.split(command, comments=True)
    while re.fullmatch(r"[A-Z_]+=\S*", words[0]):  # variables set for the command alone
        del words[0]
    program = Path(words[0]).name
    if program == "torchrun":
        program, words = "googlenet", words[words.index("googlenet") :]
    if program == "googlenet":
        verbs = words[1:2] if words[1] in VERBS else VERBS
        parser(verbs).parse_args(words[1:])
    elif program == "make":
        if f"\n{words[1]}:" not in (ROOT / "Makefile").read_text(encoding="utf-8"):
            raise ValueError(f"the Makefile has no target {words[1]}")
    elif program in ("python", "bash") and words[1] != "-m":
        if not (ROOT / words[1]).exists():
            raise FileNotFoundError(words[1])
    elif program == "nice":
        check(shlex.join(words[3:]))
    elif program not in ("curl", "export", "pip", "podman", "python"):
        raise ValueError(f"no such program is known to the tests: {command}")
