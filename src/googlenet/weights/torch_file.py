"""PyTorch's `.pth`: a state dictionary from torch.save, zip or the older plain pickles.

torch.load(weights_only=True) does the reading, after `pickle_check` has found the pickle to have
the form of a state dictionary and nothing else.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from googlenet.weights.archive import entry_ending, open_zip, read_entry
from googlenet.weights.pickle_check import check_pickle
from googlenet.weights.weight_file import WeightFile, WeightFileError

LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
LEGACY_PICKLES = 5  # magic, protocol, system, the dictionary, keys of the storages that follow

MAX_PICKLE_BYTES = 8 << 20
PICKLE = "/data.pkl"
ZIP_ENTRY = re.compile(
    r"/(data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment)"
)

# Where training scripts put the state dictionary in what they save.
STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model")


def read_torch(path: Path, data: memoryview) -> WeightFile:
    """Every tensor of a state dictionary, by its name."""
    checked: Path | BytesIO = path
    if bytes(data[: len(LEGACY_MAGIC)]) == LEGACY_MAGIC:
        pickles = BytesIO(data[len(LEGACY_MAGIC) : MAX_PICKLE_BYTES])
        check_pickles(pickles, LEGACY_PICKLES - 1)
    else:
        checked = checked_zip(path, data)
    try:
        with warnings.catch_warnings(action="ignore"):  # of another pickle protocol, say
            content = torch.load(checked, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch.load raises whatever it meets in a damaged file.
        reason = str(error).split("\n", 1)[0][:200]
        raise WeightFileError(f"is a damaged PyTorch file ({reason})") from error
    return state_dictionary(content)


def state_dictionary(content: object) -> WeightFile:
    """The tensors of what torch.load gave, looked for one level down where they usually are."""
    if isinstance(content, dict):
        inside = (content[key] for key in STATE_DICT_KEYS if isinstance(content.get(key), dict))
        inner = next(inside, content)
        tensors = {k: v for k, v in inner.items() if isinstance(k, str) and isinstance(v, Tensor)}
        if tensors:
            others = [str(key) for key in inner if key not in tensors]
            return WeightFile("PyTorch file", tensors, dict.fromkeys(others, "is not a tensor"))
    raise WeightFileError("is a PyTorch file without a dictionary of tensors")


def checked_zip(path: Path, data: memoryview) -> BytesIO:
    """What torch.save wrote, as an archive made anew of the entries that it needs.

    torch.load reads zip files with another library than the one that looks at them here; of a
    file made to look different to each, it would see unchecked contents.
    """
    with open_zip(path, data) as archive:
        if any(entry.compress_type for entry in archive.infolist()):
            raise WeightFileError("was not written by torch.save: it has compressed entries")
        name = entry_ending(archive, PICKLE)
        assert name is not None, "recognise.read_zip has seen it"
        if archive.getinfo(name).file_size > MAX_PICKLE_BYTES:
            raise WeightFileError(f"its pickle has more than {MAX_PICKLE_BYTES:,} bytes")
        check_pickles(BytesIO(read_entry(archive, name)), 1)
        root = name.removesuffix(PICKLE)
        anew = BytesIO()
        with zipfile.ZipFile(anew, "w") as copy:
            for entry in dict.fromkeys(archive.namelist()):
                if entry.startswith(root) and ZIP_ENTRY.fullmatch(entry.removeprefix(root)):
                    copy.writestr(f"archive{entry.removeprefix(root)}", read_entry(archive, entry))
    anew.seek(0)
    return anew


def check_pickles(file: BinaryIO, count: int) -> None:
    """Look through `count` pickles for what a state dictionary cannot need."""
    try:
        for _ in range(count):
            check_pickle(file)
    except WeightFileError:
        raise
    except Exception as error:
        # pickletools raises whatever it meets: ValueError, IndexError, UnicodeDecodeError …
        raise WeightFileError(f"is a damaged PyTorch file ({error})") from error
