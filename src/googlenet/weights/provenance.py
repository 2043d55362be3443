"""Where a file's weights come from and how they may be used: what `info` says of it later."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from googlenet import __version__
from googlenet.weights.registry import KNOWN, KnownFile


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """A hash of the weights without the auxiliary heads: the same whatever file they came in."""
    digest = sha256()
    for name, tensor in sorted(tensors.items()):
        if not name.startswith("aux_") and not name.endswith("num_batches_tracked"):
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def known_by(file: str, weights: str) -> KnownFile | None:
    """The known file with this hash, or with these weights."""
    for known in KNOWN.values():
        if file.startswith(known.sha256) or weights == known.fingerprint:
            return known
    return None


def provenance(path: Path, digest: str, scheme: str, known: KnownFile | None) -> dict[str, Any]:
    """The header's `provenance`: the file that was converted and, where known, what it is."""
    found = {
        "file": path.name,
        "sha256": digest,
        "scheme": scheme,
        "converted_by": f"googlenet {__version__}",
    }
    if known:
        found |= {"weights": known.title, "url": known.url}
        found |= {"published": known.published} if known.published else {}
    return found
