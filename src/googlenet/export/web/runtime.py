"""The one version of onnxruntime-web that pages are made with, known by its hashes.

Two files of the npm package: the script with the loader inside, and its WebAssembly for the CPU.
"""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from googlenet.runtime.errors import GoogLeNetError

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
# The page's name of each file: its path in the package, and its SHA-256.
FILES = {
    "runtime.mjs": (
        "dist/ort.wasm.bundle.min.mjs",
        "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    ),
    "runtime.wasm": (
        "dist/ort-wasm-simd-threaded.wasm",
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    ),
}
MAX_BYTES = 1 << 26  # of one file


def read_runtime(path: Path) -> dict[str, bytes]:
    """The files by the page's names, from the package's folder or its .tgz.

    A folder that holds the package as `node_modules/onnxruntime-web` will do.
    Raises GoogLeNetError, which names the file, for anything else than this version.
    """
    try:
        found = read_folder(path) if path.is_dir() else read_archive(path)
    except (OSError, EOFError, KeyError, tarfile.TarError) as error:
        reason = " ".join(str(error).split())
        raise GoogLeNetError(
            f"{path}: must be the folder or the .tgz of {PACKAGE} {VERSION} ({reason})"
        ) from error
    for name, (inside, expected) in FILES.items():
        digest = hashlib.sha256(found[name]).hexdigest()
        if digest != expected:
            raise GoogLeNetError(
                f"{path}: must be {PACKAGE} {VERSION}: its {inside} must have SHA-256 {expected}, "
                f"has {digest}"
            )
    return found


def read_folder(path: Path) -> dict[str, bytes]:
    nested = path / "node_modules" / PACKAGE
    root = nested if nested.is_dir() else path
    return {name: (root / inside).read_bytes()[:MAX_BYTES] for name, (inside, _) in FILES.items()}


def read_archive(path: Path) -> dict[str, bytes]:
    """Two members' bytes; nothing is unpacked."""
    found = {}
    with tarfile.open(path, "r:gz") as archive:
        for name, (inside, _) in FILES.items():
            file = archive.extractfile(f"package/{inside}")
            found[name] = file.read(MAX_BYTES) if file else b""
    return found
