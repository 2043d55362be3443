"""What the launcher's store keeps of a run, for when it is restarted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

FOLDER = "googlenet/folder"  # where the launcher's store keeps the folder that its run has made


def record_run_dir(folder: Path) -> None:
    """Let the launcher know, if it can restart this run, that it has made this folder."""
    store = launcher_store()
    if store is not None:
        store.set(FOLDER, str(folder.absolute()))


def run_dir_before_restart() -> Path | None:
    """The folder that this run has made before the launcher restarted its processes.

    A launcher's first start never finds one, nor does a start after one that was refused.
    """
    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        return None
    store = launcher_store()
    return Path(store.get(FOLDER).decode()) if store is not None and store.check([FOLDER]) else None


def launcher_store() -> Any:
    """The keys and values that outlive the processes of an elastic launcher; None without one."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    try:
        return TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), wait_for_workers=False
        )
    except RuntimeError:
        return None
