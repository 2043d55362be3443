"""Remember the run folder in an elastic launcher's store across restarts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

RUN_DIR_KEY = "googlenet/folder"  # key of the run folder


def record_run_dir(folder: Path) -> None:
    """Record the run's folder for a restart, if the launcher is elastic."""
    store = launcher_store()
    if store is not None:
        store.set(RUN_DIR_KEY, str(folder.absolute()))


def run_dir_before_restart() -> Path | None:
    """The folder that this run recorded before the launcher restarted it, if any."""
    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        return None
    store = launcher_store()
    return (
        Path(store.get(RUN_DIR_KEY).decode())
        if store is not None and store.check([RUN_DIR_KEY])
        else None
    )


def launcher_store() -> Any:
    """The key-value store of an elastic launcher, which outlives its workers; else None."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    try:
        return TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), wait_for_workers=False
        )
    except RuntimeError:
        return None
