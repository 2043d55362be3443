"""Several processes, on one machine or on many, that do one work together.

`torchrun`, or any launcher that sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, starts the same
command several times.  Within `joined` these processes share out work and agree on what happens;
a process by itself, everywhere else, finds that every function here does nothing, or only what it
was given to do.  PyTorch is imported where a group is joined, not before.

    {place, lost} ← group
    {place, lost} ← tensors ← agreement
    restart
"""

from googlenet.distributed.agreement import (
    any_of,
    exchange,
    first,
    kept,
    require_same,
    settled,
    together,
)
from googlenet.distributed.group import joined, told
from googlenet.distributed.lost import LostError
from googlenet.distributed.place import (
    ALONE,
    Place,
    alone,
    count,
    launched,
    local_count,
    rank,
    share,
)
from googlenet.distributed.restart import folder_made_before, made_folder
from googlenet.distributed.tensors import add_up, added, spread

__all__ = [
    "ALONE",
    "LostError",
    "Place",
    "add_up",
    "added",
    "alone",
    "any_of",
    "count",
    "exchange",
    "first",
    "folder_made_before",
    "joined",
    "kept",
    "launched",
    "local_count",
    "made_folder",
    "rank",
    "require_same",
    "settled",
    "share",
    "spread",
    "together",
    "told",
]
