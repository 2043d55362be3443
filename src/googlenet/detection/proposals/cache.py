"""Proposals kept on disk: a file per image, so that an interrupted run goes on."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from googlenet.detection.proposals.sources import source
from googlenet.runtime.files import write_bytes

VERSION = 1  # of the sources: another number makes other names


class ProposalCache:
    """The proposals of images by one source; with a folder, each is computed once.

    A file is named after the image's pixels, so that images may be moved and renamed.
    """

    def __init__(self, name: str, count: int, folder: Path | None = None) -> None:
        self.name, self.count, self.folder = name, count, folder
        self.find = source(name)

    def boxes(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W, 3) uint8 RGB -> (N, 4), best first."""
        if self.folder is None:
            return self.find(image, self.count)
        path = self.folder / f"{self.key(image)}.npy"
        try:
            kept = np.load(path, allow_pickle=False)
            if kept.dtype == np.float32 and kept.ndim == 2 and kept.shape[1] == 4:
                return np.asarray(kept)
        except (OSError, ValueError, EOFError):  # not there, or damaged: found again
            pass
        found = self.find(image, self.count)
        content = BytesIO()
        np.save(content, found)
        write_bytes(path, content.getvalue())
        return found

    def key(self, image: NDArray[np.uint8]) -> str:
        digest = sha256(f"{VERSION} {self.name} {self.count} {image.shape}".encode())
        digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()[:32]
