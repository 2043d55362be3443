"""Whether a pickle has the form of a state dictionary, found out without unpickling it.

torch.load(weights_only=True) runs no code, yet a pickle can still make it work for hours, take
all memory or overflow the stack: a tuple of tuples of tuples as a key is hashed level by level,
`torch.FloatStorage(10**12)` is allowed.  So its instructions are followed first on a stack that
holds, in place of each value, what kind of value it is.
"""

from __future__ import annotations

import pickletools
import re
from itertools import islice
from typing import BinaryIO

from googlenet.weights.weight_file import WeightFileError

MAX_INSTRUCTIONS = 500_000
MAX_NUMBER = 1 << 31  # more than any size in a file of MAX_BYTES; the time of day is below it

# Kinds of value: PLAIN ones hash at once, a FLAT tuple holds nothing else, a NAME is a function.
MARK, PLAIN, EMPTY, FLAT, OTHER = "mark", "plain", "empty tuple", "flat tuple", "other"
DICTIONARY, REBUILD = "OrderedDict", "rebuild"

NAMES = {
    re.compile(r"torch \w+Storage|torch\.storage UntypedStorage"): PLAIN,
    re.compile(r"torch\._utils _rebuild_(tensor_v2|parameter)"): REBUILD,
    re.compile(r"collections OrderedDict"): DICTIONARY,
}
PUSHED = {
    **dict.fromkeys(("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2"), PLAIN),
    **dict.fromkeys(("LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"), PLAIN),
    **dict.fromkeys(("EMPTY_DICT", "EMPTY_LIST"), OTHER),
    "EMPTY_TUPLE": EMPTY,
    "MARK": MARK,
}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
IGNORED = frozenset({"PROTO", "STOP"})


def check_pickle(file: BinaryIO) -> None:
    """Follow one pickle to its end.  Raises WeightFileError for what no state dictionary needs."""
    shadow = Shadow()
    name = ""
    for opcode, argument, _ in islice(pickletools.genops(file), MAX_INSTRUCTIONS):
        name = opcode.name
        if isinstance(argument, int) and argument > MAX_NUMBER:
            raise WeightFileError(f"its pickle declares {argument:.3g} of something")
        shadow.follow(name, argument)
    if name != "STOP":
        raise WeightFileError(f"its pickle has more than {MAX_INSTRUCTIONS:,} instructions")


class Shadow:
    """The unpickler's stack and memo, with the kinds of the values in place of the values."""

    def __init__(self) -> None:
        self.stack: list[str] = []
        self.memo: dict[object, str] = {}

    def follow(self, name: str, argument: object) -> None:
        if name in PUSHED:
            self.stack.append(PUSHED[name])
        elif name in TUPLES:
            self.stack.append(tuple_of([self.stack.pop() for _ in range(TUPLES[name])]))
        elif name == "TUPLE":
            self.stack.append(tuple_of(self.down_to_mark()))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL", "INST"):
            self.stack.append(kind_of_name(argument))
        elif name not in IGNORED:
            self.build(name)

    def build(self, name: str) -> None:
        """The instructions that make or change an object."""
        if name in ("APPEND", "BUILD"):
            self.stack.pop()
        elif name == "APPENDS":
            self.down_to_mark()
        elif name == "SETITEM":
            self.stack.pop()
            require(self.stack.pop() == PLAIN, "a key that is neither text nor number")
        elif name == "SETITEMS":
            keys = self.down_to_mark()[::2]
            require(set(keys) <= {PLAIN}, "a key that is neither text nor number")
        elif name == "BINPERSID":
            require(self.stack.pop() == FLAT, "a storage without a plain description")
            self.stack.append(OTHER)
        elif name == "REDUCE":
            arguments, function = self.stack.pop(), self.stack.pop()
            called = function == REBUILD or (function, arguments) == (DICTIONARY, EMPTY)
            require(called, "a call that makes no tensor")
            self.stack.append(OTHER)
        else:
            require(False, f"the instruction {name}")

    def down_to_mark(self) -> list[str]:
        """Take everything above the last mark off the stack, and the mark."""
        items: list[str] = []
        while (item := self.stack.pop()) != MARK:
            items.append(item)
        return items[::-1]


def tuple_of(items: list[str]) -> str:
    return FLAT if set(items) <= {PLAIN} else OTHER


def kind_of_name(argument: object) -> str:
    """What a name stands for.  Raises WeightFileError, which gives it, where it is code."""
    for pattern, kind in NAMES.items():
        if pattern.fullmatch(str(argument)):
            return kind
    called = str(argument or "code").replace(" ", ".")[:100]
    raise WeightFileError(
        f"its pickle calls {called}: only tensors are read; "
        "if it is a whole network, save its state_dict() instead"
    )


def require(met: bool, what: str) -> None:
    if not met:
        raise WeightFileError(f"its pickle is not a state dictionary: it has {what}")
