"""How data was read: where the splits come from, what was not read, how labels were taken."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from googlenet.images.optional import INSTALL, needs_package
from googlenet.runtime.errors import printable

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"  # zero-width characters, that `strip` leaves


class Note(NamedTuple):
    """Something about the reading that the user should know.

    kind: a kind of problem of `googlenet check`; subject: a file, a folder or a class.
    """

    kind: str
    subject: str
    detail: str


@dataclass(frozen=True)
class Account:
    """How data was read.  unread: how many files of each kind are not images by their names.

    table: how a table was taken, or which folder was entered, where that is not the plain case.
    """

    splits: str = ""
    unread: tuple[tuple[str, int], ...] = ()
    notes: tuple[Note, ...] = ()
    table: str = ""

    def lines(self) -> list[str]:
        """What to print: nothing where there is nothing to say."""
        found = [f"read: {self.table}"] if self.table else []
        found += [f"splits: {self.splits}"] if self.splits else []
        if self.unread:
            line = "not read: " + ", ".join(f"{n:,} {kind}" for kind, n in self.unread)
            missing = needs_package([kind for kind, _ in self.unread])
            found.append(line + (f"; to read {', '.join(missing)}: {INSTALL}" if missing else ""))
        return [printable(line) for line in found] + [
            printable(f"{note.subject}: {note.detail}") for note in self.notes
        ]


def count_unread(kinds: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(kinds.items(), key=lambda item: (-item[1], item[0])))


def canonical(label: str) -> str:
    """The one form of a label: NFC, as macOS writes decomposed names; no blanks around it."""
    return unicodedata.normalize("NFC", label).strip().strip(INVISIBLE).strip()


DECIMAL = re.compile(r"[+-]?\d*[.,]\d+(e[+-]?\d+)?", re.IGNORECASE)


def has_measurements(labels: Sequence[str]) -> bool:
    """Whether class names look like measured values: most of them different decimal numbers."""
    return len(labels) > 2 and 2 * sum(map(is_decimal, labels)) > len(labels)


def is_decimal(label: str) -> bool:
    return DECIMAL.fullmatch(label) is not None


def decimal_labels(labels: set[str], where: str) -> list[Note]:
    """What to say where every class is a decimal number."""
    if not labels or not all(map(is_decimal, labels)):
        return []
    shown = ", ".join(sorted(labels)[:3]) + ", …" * (len(labels) > 3)
    if all(float(label.replace(",", ".")).is_integer() for label in labels):
        why = "integers that a program wrote as decimals?"
    else:
        why = "measurements? (this is not a regression)"
    detail = f"labels are decimal numbers ({shown}), each a class of that name: {why}"
    return [Note("decimal-labels", where, detail)]


def lookalikes(labels: Iterable[str]) -> list[Note]:
    """Labels that differ only by case, width, spaces or invisible characters."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for label in sorted(labels):
        plain = unicodedata.normalize("NFKC", label).casefold()
        groups["".join(c for c in plain if not c.isspace() and c not in INVISIBLE)].append(label)
    return [
        Note("lookalike-classes", names[0], f"looks like the class {shown(names[1:])}")
        for names in groups.values()
        if len(names) > 1
    ]


def shown(labels: Sequence[str]) -> str:
    """Labels in a sentence, each with what cannot be seen in it."""
    return ", ".join(ascii(label) for label in labels)
