"""What MkDocs needs beyond Markdown: the command-line reference, and links into the repository.

mkdocs.yml names this file as a hook; `python tools/docs_site.py` prints the generated page.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from googlenet.cli import parser

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[([^\]]*)\]\(((?!https?:|mailto:|#)[^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not files of the docs folder."""
    from mkdocs.structure.files import File

    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "](")
    for name, text in (("cli.md", command_line()), ("changelog.md", changelog)):
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links that leave the docs folder become plain text, once their target is known to exist."""
    docs = Path(config.docs_dir)

    def inside(link: re.Match[str]) -> str:
        target = (docs / page.file.src_uri).parent / link[2]
        if target.resolve().is_relative_to(docs) or page.file.src_uri == "changelog.md":
            return link[0]
        if not target.exists():
            raise FileNotFoundError(f"docs/{page.file.src_uri} links to {link[2]}")
        return link[1]

    return LINK.sub(inside, markdown)


def command_line() -> str:
    """The reference of every command, as Markdown, from the parser itself."""
    top = parser()
    (verbs,) = (a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    parts = [
        "# Command line",
        f"{top.description} Every command has `--help`; `python -m googlenet` works like "
        "`googlenet`. Exit codes: 0 success, 1 failure, 2 bad usage, 130 interrupted. "
        "This page is generated from the commands' own parsers.",
    ]
    for name, command in verbs.choices.items():
        parts += section(f"googlenet {name}", command)
    return "\n\n".join(parts) + "\n"


def section(name: str, command: argparse.ArgumentParser, level: int = 2) -> list[str]:
    """One command and its subcommands."""
    summary = (command.description or "").strip().rstrip(".")
    words = [str(a.metavar or a.dest) for a in command._get_positional_actions()]
    usage = " ".join([name, "[OPTIONS]", *words])
    parts = [f"{'#' * level} {name}", f"{summary[:1].upper()}{summary[1:]}."]
    parts.append(f"```text\n{usage}\n```")
    rows = [
        row(a) for a in command._actions if a.help is not argparse.SUPPRESS and a.dest != "help"
    ]
    subcommands = [a for a in command._actions if isinstance(a, argparse._SubParsersAction)]
    if rows and not subcommands:
        parts.append("\n".join(["| Argument | Meaning |", "|---|---|", *rows]))
    for action in subcommands:
        for choice, subcommand in action.choices.items():
            parts += section(f"{name} {choice}", subcommand, level + 1)
    return parts


def row(action: argparse.Action) -> str:
    """A table row: how the argument is written, and its help."""
    names = ", ".join(f"`{name}`" for name in action.option_strings)
    value = action.metavar or (
        f"{{{','.join(map(str, action.choices))}}}" if action.choices else ""
    )
    if isinstance(value, tuple):
        value = " ".join(value)
    if action.nargs != 0 and not value:
        value = action.dest.upper()
    shown = f"{names} `{value}`" if names and value else names or f"`{value}`"
    text = (action.help or "") % {"default": action.default, "prog": "googlenet"}
    return f"| {cell(shown)} | {cell(text)} |"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(command_line(), end="")
