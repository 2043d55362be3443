"""PyTorch's `.pth`: a state dictionary from torch.save, zip or the older plain pickles.

torch.load(weights_only=True) does the reading.  Before it, the pickle's own instructions are
looked through, none of them carried out: a name outside the few that tensors need, or a number
larger than the file, ends it there.
"""

from __future__ import annotations

import pickletools
import re
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from googlenet.weights.archive import entry_ending, opened
from googlenet.weights.weightfile import WeightFile, WeightFileError

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
LEGACY_PICKLES = 5  # magic, protocol, system, the dictionary, keys of the storages that follow

MAX_INSTRUCTIONS = 500_000
MAX_PICKLE_BYTES = 8 << 20
ALLOWED = re.compile(
    r"collections OrderedDict|torch \w+Storage|torch\._utils _rebuild_(tensor_v2|parameter)"
    r"|torch\.storage UntypedStorage"
)

# Where training scripts put the state dictionary in what they save.
INSIDE = ("state_dict", "model_state_dict", "model")


def read_torch(path: Path, data: memoryview) -> WeightFile:
    """Every tensor of a state dictionary, by its name."""
    if bytes(data[: len(LEGACY_MAGIC)]) == LEGACY_MAGIC:
        pickles = BytesIO(data[len(LEGACY_MAGIC) : MAX_PICKLE_BYTES])
        check_pickles(pickles, len(data), LEGACY_PICKLES - 1)
    else:
        check_zip(path, data)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch.load raises whatever it meets in a damaged file.
        reason = str(error).split("\n", 1)[0][:200]
        raise WeightFileError(f"is a damaged PyTorch file ({reason})") from error
    return state_dictionary(content)


def state_dictionary(content: object) -> WeightFile:
    """The tensors of what torch.load gave, looked for one level down where they usually are."""
    if isinstance(content, dict):
        inside = (content[key] for key in INSIDE if isinstance(content.get(key), dict))
        inner = next(inside, content)
        tensors = {k: v for k, v in inner.items() if isinstance(k, str) and isinstance(v, Tensor)}
        if tensors:
            others = [str(key) for key in inner if key not in tensors]
            return WeightFile("PyTorch file", tensors, dict.fromkeys(others, "is not a tensor"))
    raise WeightFileError("is a PyTorch file without a dictionary of tensors")


def check_zip(path: Path, data: memoryview) -> None:
    """Refuse what torch.save would not have written: packed entries, a huge or foul pickle."""
    with opened(path, data) as archive:
        if any(entry.compress_type for entry in archive.infolist()):
            raise WeightFileError("is no file of torch.save's: it has compressed entries")
        name = entry_ending(archive, "/data.pkl")
        assert name is not None, "recognise.read_zip has seen it"
        if archive.getinfo(name).file_size > MAX_PICKLE_BYTES:
            raise WeightFileError(f"its pickle has more than {MAX_PICKLE_BYTES:,} bytes")
        check_pickles(BytesIO(archive.read(name)), len(data), 1)


def check_pickles(file: BinaryIO, size: int, count: int) -> None:
    """Look through `count` pickles for what a state dictionary of a file this size cannot need."""
    try:
        for _ in range(count):
            opcode = None
            for opcode, argument, _ in islice(pickletools.genops(file), MAX_INSTRUCTIONS):
                check_instruction(opcode.name, argument, size)
            if opcode is None or opcode.name != "STOP":
                raise WeightFileError(f"its pickle has more than {MAX_INSTRUCTIONS:,} instructions")
    except WeightFileError:
        raise
    except Exception as error:
        # pickletools too raises whatever it meets: ValueError, IndexError, UnicodeDecodeError …
        raise WeightFileError(f"is a damaged PyTorch file ({error})") from error


def check_instruction(name: str, argument: object, size: int) -> None:
    if name in ("GLOBAL", "INST", "STACK_GLOBAL") and not ALLOWED.fullmatch(str(argument)):
        called = str(argument or "code").replace(" ", ".")
        raise WeightFileError(
            f"its pickle calls {called[:100]}: only tensors are read; "
            "if it is a whole network, save its state_dict() instead"
        )
    if isinstance(argument, int) and argument > size:
        raise WeightFileError(
            f"is a damaged PyTorch file (it declares {argument:,} of something, has {size:,} bytes)"
        )
