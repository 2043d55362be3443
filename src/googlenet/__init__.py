"""GoogLeNet, the network of "Going Deeper with Convolutions" (2014).

from googlenet import Classifier, GoogLeNet
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Classifier", "GoogLeNet", "__version__"]

if TYPE_CHECKING:
    from googlenet.load import Classifier
    from googlenet.models.googlenet import GoogLeNet


def __getattr__(name: str) -> object:
    """The public names, imported when first asked for: `googlenet --help` needs no torch."""
    if name == "Classifier":
        from googlenet.load import Classifier

        return Classifier
    if name == "GoogLeNet":
        from googlenet.models.googlenet import GoogLeNet

        return GoogLeNet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
