"""Collective operations for several processes, on one machine or many.

`torchrun`, or any launcher that sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, starts the same
command several times.  Within `process_group` these processes shard work and synchronize.  Outside
of it, and in a single process, every function is a no-op or just calls what it is given.
PyTorch is imported only when a group is joined.

    {ranks, peer_failure} ← process_group
    {ranks, peer_failure} ← tensors ← objects
    restart
"""

from googlenet.parallel.objects import (
    all_gather,
    any_rank,
    on_all_ranks,
    on_rank0,
    on_rank0_only,
    require_equal_across_ranks,
    unwrap,
)
from googlenet.parallel.peer_failure import PeerLostError
from googlenet.parallel.process_group import process_group, reported_elsewhere
from googlenet.parallel.ranks import (
    SINGLE_PROCESS,
    RankInfo,
    as_single_process,
    local_world_size,
    rank,
    rank_info_from_env,
    shard,
    world_size,
)
from googlenet.parallel.restart import record_run_dir, run_dir_before_restart
from googlenet.parallel.tensors import all_reduce, all_reduce_coalesced_, broadcast_

__all__ = [
    "SINGLE_PROCESS",
    "PeerLostError",
    "RankInfo",
    "all_gather",
    "all_reduce",
    "all_reduce_coalesced_",
    "any_rank",
    "as_single_process",
    "broadcast_",
    "local_world_size",
    "on_all_ranks",
    "on_rank0",
    "on_rank0_only",
    "process_group",
    "rank",
    "rank_info_from_env",
    "record_run_dir",
    "reported_elsewhere",
    "require_equal_across_ranks",
    "run_dir_before_restart",
    "shard",
    "unwrap",
    "world_size",
]
