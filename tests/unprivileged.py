"""Programs that may not read everything, also where the tests run as root."""

from __future__ import annotations

import subprocess
import sys

DROP = """
import os
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""


def unprivileged(imports: str, program: str) -> str:
    """What a Python program prints that has imported and then, if it is root, becomes nobody.

    What it imports later, it must be allowed to read.
    """
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}\n{DROP}\n{program}"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout
