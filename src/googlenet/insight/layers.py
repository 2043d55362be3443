"""Layers, units and classes by name: "inception_4a", or "4a" for short, and "inception_4a:12"."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from googlenet.data.labels import Class, ClassIndex
from googlenet.models.registry import Network
from googlenet.runtime.errors import UsageError

SUGGESTIONS = 4


def find_layer(network: Network, name: str) -> str:
    """The tap of that name; a module may go without its "inception_".

    Raises UsageError, with the nearest names, for a layer that the network does not have.
    """
    names = network.tap_names()
    known = {each.removeprefix("inception_"): each for each in names} | dict(
        zip(names, names, strict=True)
    )
    if name in known:
        return known[name]
    near = get_close_matches(name, known, 2 * SUGGESTIONS, 0.4)
    shown = list(dict.fromkeys(known[each] for each in near))[:SUGGESTIONS] or names[:SUGGESTIONS]
    raise UsageError(f"layer must be one of the network's ({', '.join(shown)}, …), got {name!r}")


def find_unit(name: str, units: int) -> int:
    """The unit that "LAYER:UNIT" ends with, of `units`.  Raises UsageError for any other."""
    text = name.rpartition(":")[2]
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) < units):
        raise UsageError(f"unit must be a whole number from 0 to {units - 1}, got {name!r}")
    return int(text)


def find_class(classes: Sequence[Class], label: str) -> int:
    """The index of the class with that id or name, or one of the names that commas separate.

    Raises UsageError, with the nearest names, for a class that the model does not have.
    """
    found = ClassIndex(classes).get(label)
    if found is not None:
        return found
    called = [i for i, c in enumerate(classes) if label in c.name.split(", ")]
    if len(called) == 1:
        return called[0]
    names = [*(c.name for c in classes), *(c.id for c in classes)]
    lower = {name.lower(): name for name in names}
    near = get_close_matches(label.lower(), lower, SUGGESTIONS, 0.4)
    shown = [lower[each] for each in near] or names[:SUGGESTIONS]
    raise UsageError(
        f"class must be one of the model's {len(classes):,} ({'; '.join(shown)}; …), got {label!r}"
    )
