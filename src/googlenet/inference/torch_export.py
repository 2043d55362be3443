"""The weights in a `.pt2` file of `googlenet export`, read as bytes.

Such a file is a program: `torch.export.load` unpickles parts of it, evaluates strings of it and
looks up functions by names in it, so a file from a stranger can do anything.  Here nothing of it
runs: the weights lie in the archive as plain bytes under the paper's names, and the network is
built from the header.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from googlenet.inference.exported_file import ZIP_ERRORS
from googlenet.runtime.errors import ModelFileError

WEIGHTS = "data/weights/"
CONFIG = "model_weights_config.json"
# The numbers by which torch.export's files call the types that an export of ours has.
DTYPES = {7: torch.float32, 13: torch.bfloat16}


def read_pt2(path: Path, data: memoryview) -> dict[str, Tensor]:
    """The tensors of the fused network.  Raises ModelFileError for a file that is damaged."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = archive.namelist()
            config = next(name for name in names if name.endswith(WEIGHTS + CONFIG))
            folder = config.removesuffix(CONFIG)
            entries = json.loads(archive.read(config))["config"]
            return {
                name.removeprefix("network."): read_weight(
                    archive.read(folder + entry["path_name"]), entry
                )
                for name, entry in entries.items()
                if name.startswith("network.")
            }
    except (*ZIP_ERRORS, StopIteration, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(
            f"{path}: is not a complete .pt2 file of this program ({error!r})"
        ) from error


def read_weight(data: bytes, entry: Mapping[str, Any]) -> Tensor:
    if entry["use_pickle"]:
        raise ValueError("a weight is pickled")
    meta = entry["tensor_meta"]
    sizes, strides = ([int(n["as_int"]) for n in meta[key]] for key in ("sizes", "strides"))
    flat = torch.frombuffer(bytearray(data), dtype=DTYPES[meta["dtype"]])
    return flat.as_strided(sizes, strides, int(meta["storage_offset"]["as_int"])).contiguous()
