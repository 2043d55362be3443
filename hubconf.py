"""Entry points of torch.hub: torch.hub.load(FOLDER, "classifier", source="local")."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

dependencies = ["torch", "numpy", "PIL", "safetensors", "filelock", "tqdm"]

sys.path.insert(0, str(Path(__file__).parent / "src"))  # the package need not be installed

from googlenet import Classifier, GoogLeNet  # noqa: E402


def googlenet(variant: str = "bn", classes: int | None = None, **options: Any) -> GoogLeNet:
    """The network of a variant of `googlenet table`, initialized, not trained."""
    return GoogLeNet(variant, classes, **options)


def classifier(source: str, **options: Any) -> Classifier:
    """A trained classifier: a folder, a repository, a model file, or a known name ("bvlc")."""
    return Classifier.from_pretrained(source, **options)
