"""The interface between a classifier and what computes its network's outputs.

Each backend uses as many threads as PyTorch does or would (`torch.set_num_threads`,
OMP_NUM_THREADS), divided among the batches that it computes at the same time.  Only PyTorch's
own backend imports PyTorch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from googlenet.images.preprocess import Preprocessing
from googlenet.images.view import to_nchw
from googlenet.inference.outputs import Outputs, concatenate
from googlenet.runtime.errors import GoogLeNetError, ModelFileError, UsageError

if TYPE_CHECKING:
    from googlenet.models.registry import Network

ENGINES = ("torch", "onnxruntime", "openvino")
ENGINE_PREFERENCE = ("openvino", "onnxruntime", "torch")  # the fastest first: docs/deploy.md
EXTRAS = {
    "huggingface_hub": "hub",
    "nncf": "openvino",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "openvino": "openvino",
}

Pixels = NDArray[np.uint8]


class Backend(ABC):
    """A network that is ready to run.

    name: one of ENGINES.  precision: what it computes in.  streams: how many threads may call it
    at the same time and all be served.  takes_raw_image: whether the preprocessing is part of
    the graph, which then takes one image of any size.  source: the file, for messages.
    """

    name: str
    precision: str
    streams: int = 1
    takes_raw_image: bool = False
    source: str = "the model"
    network: Network | None = None  # in PyTorch
    warm: bool = False

    @abstractmethod
    def run(self, x: NDArray[Any]) -> Outputs:
        """(N, C, H, W) float32, normalized, or one (H, W, 3) uint8 image where it takes these.

        As many threads as there are streams may call it; the first call is computed alone
        (`first_call_alone`).
        """

    def outputs(self, pixels: Sequence[Pixels], preprocessing: Preprocessing) -> Outputs:
        """The outputs for N crops (size, size, channels) uint8, or for N raw images.

        Raises ModelFileError if the engine refuses them.
        """
        try:
            if not self.takes_raw_image:
                x = to_nchw(pixels, preprocessing)
                if self.streams > 1 and len(x) > 1 and not self.warm:
                    self.run(x[:1])  # alone, while the other streams wait: a short first call
                    self.warm = True
                return self.run(x)
            return concatenate([self.run(image) for image in pixels])
        except Exception as error:  # each engine has its own kinds
            raise refused(self.source, self.name, error) from error


def refused(source: object, name: str, error: Exception) -> ModelFileError:
    """The error for a model that an engine does not run."""
    reason = " ".join(str(error).split())[:300]
    return ModelFileError(f"{source}: {name} cannot run it ({reason})")


def require(package: str) -> None:
    """Raises GoogLeNetError, with the command that installs it, for a missing package."""
    if find_spec(package) is None:
        raise GoogLeNetError(
            f"the package {package} must be installed: pip install 'googlenet[{EXTRAS[package]}]'"
        )


def select_engine(engine: str, supported: tuple[str, ...] = ENGINES) -> str:
    """The engine of that name; for "auto" the fastest installed one of those supported.

    Raises UsageError for a name that does not exist or is not supported, GoogLeNetError for an
    engine that is not installed.
    """
    if engine == "auto":
        installed = (name for name in ENGINE_PREFERENCE if name in supported and find_spec(name))
        return next(installed, supported[0])
    if engine not in ENGINES:
        raise UsageError(f"engine must be auto or one of {', '.join(ENGINES)}, got {engine!r}")
    if engine not in supported:
        raise UsageError(
            f"engine must be one of {', '.join(supported)} for this file, got {engine!r}"
        )
    require(engine)
    return engine
