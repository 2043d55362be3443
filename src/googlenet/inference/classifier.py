"""A classifier: a model's header, and the backend that computes its network's outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from googlenet.data.labels import Class
from googlenet.images.decode import Source
from googlenet.images.preprocess import Preprocessing
from googlenet.images.turbo_jpeg import DecodedImage, load_image
from googlenet.images.view import load_view, views_of
from googlenet.inference.backends.base import Backend, Pixels
from googlenet.inference.calibration import Calibration
from googlenet.inference.header import ModelHeader
from googlenet.inference.model_file import write_model_file
from googlenet.inference.outputs import Outputs, sigmoid, softmax
from googlenet.inference.prediction import Prediction, postprocess, predictions
from googlenet.models.table import variant_name
from googlenet.runtime.errors import GoogLeNetError, ModelFileError, UsageError

if TYPE_CHECKING:
    from googlenet.models.registry import Network
    from googlenet.runtime.device import ComputeDevice


class Classifier:
    """Says what is in images.

    header: the classes, the preprocessing, the calibration and facts for a reader; frozen, and
    replaced as a whole (`dataclasses.replace`).  backend: what computes the network's outputs.
    """

    def __init__(self, header: ModelHeader, backend: Backend) -> None:
        self.header, self.backend = header, backend

    @classmethod
    def from_network(
        cls,
        network: Network,
        classes: Sequence[Class],
        preprocessing: Preprocessing,
        *,
        device: ComputeDevice | None = None,
        **facts: Any,
    ) -> Self:
        """A classifier from a PyTorch network, moved to the device (by default the CPU, fp32).

        facts: other fields of `ModelHeader`: multilabel, threshold, metrics, provenance ….
        """
        from googlenet.inference.backends.torch import TorchBackend

        header = ModelHeader(
            network.name,
            tuple(classes),
            preprocessing,
            width=network.width,
            heads=network.aux_heads,
            **facts,
        )
        return cls(header, TorchBackend(network, device))

    @property
    def network(self) -> Network:
        """The PyTorch network: tap it, train it.

        Raises GoogLeNetError for a classifier that another engine runs.
        """
        if self.backend.network is None:
            raise GoogLeNetError(
                f"{self.backend.source} runs in {self.backend.name} and cannot be looked into: "
                "use the model file that it came from"
            )
        return self.backend.network

    @property
    def variant(self) -> str:
        return variant_name(self.header.variant)

    @property
    def classes(self) -> tuple[Class, ...]:
        return self.header.classes

    @property
    def preprocessing(self) -> Preprocessing:
        return self.header.preprocessing

    @property
    def calibration(self) -> Calibration | None:
        return self.header.calibration

    @property
    def multilabel(self) -> bool:
        return self.header.multilabel

    @property
    def threshold(self) -> float:
        return self.header.threshold

    @property
    def metrics(self) -> Mapping[str, Any]:
        return self.header.metrics

    @property
    def provenance(self) -> Mapping[str, Any]:
        return self.header.provenance

    @property
    def licence(self) -> str | None:
        return self.header.licence

    def to(self, device: ComputeDevice) -> Self:
        """The same classifier, its network moved to the device."""
        from googlenet.inference.backends.torch import TorchBackend

        return type(self)(self.header, TorchBackend(self.network, device))

    def save(self, path: str | Path) -> None:
        """Write the model file atomically.  Raises GoogLeNetError if that fails."""
        if self.header.export is not None:
            raise GoogLeNetError("an exported model cannot be saved as a model file")
        header = replace(self.header, heads=self.network.aux_heads)
        write_model_file(Path(path), header, self.network.state_dict())

    def load_input(self, source: Source) -> Pixels:
        """The backend's input from an image: (size, size, channels), or the whole image.

        Raises ImageError for an unreadable image.
        """
        if self.backend.takes_raw_image:
            return np.asarray(load_image(source))
        return load_view(source, self.preprocessing)

    def crops(self, image: DecodedImage, views: int = 1) -> list[Pixels]:
        """The views of a decoded image, as `load_input` makes the first: 1, 10 or 144.

        Raises UsageError for more than one if the file has its preprocessing built in.
        """
        if self.backend.takes_raw_image:
            if views != 1:
                raise UsageError(
                    f"views must be 1 for a file with its preprocessing built in, got {views}"
                )
            return [np.asarray(image)]
        return views_of(image, self.preprocessing, views)

    def outputs(self, pixels: Pixels | Sequence[Pixels]) -> Outputs:
        """Logits and OOD features of N inputs, (size, size, channels) uint8 each.

        Raises ModelFileError if they are not those that the header needs.
        """
        found = self.backend.outputs(pixels, self.preprocessing)  # type: ignore[arg-type]
        if found.logits.shape[1] != len(self.classes):
            raise ModelFileError(
                f"{self.backend.source}: its network predicts {found.logits.shape[1]} classes, "
                f"its header names {len(self.classes)}"
            )
        ood = self.calibration and self.calibration.ood
        if ood and not ood.fits_outputs(found):
            raise ModelFileError(
                f"{self.backend.source}: the tensors of unknown do not fit its network"
            )
        return found

    def probabilities(self, pixels: Pixels | Sequence[Pixels]) -> NDArray[np.float32]:
        """(N, size, size, channels) uint8 -> (N, classes) float32.

        The softmax of the logits, divided by the temperature if there is one.  Multilabel: each
        class's own probability, the sigmoid.
        """
        return self.calibrated(self.outputs(pixels).logits)

    def calibrated(self, logits: NDArray[Any]) -> NDArray[Any]:
        """(N, classes) logits -> (N, classes) probabilities."""
        if self.multilabel:
            return sigmoid(logits)
        return (self.calibration or Calibration()).probabilities(logits)

    def raw_probabilities(self, logits: NDArray[Any]) -> NDArray[Any]:
        """The same without the temperature."""
        return sigmoid(logits) if self.multilabel else softmax(logits)

    def predict_batch(
        self, pixels: Pixels | Sequence[Pixels], top: int = 5
    ) -> Iterator[Prediction]:
        """A prediction, its path not yet set, for each of N inputs."""
        outputs = self.outputs(pixels)
        ood = self.calibration and self.calibration.ood
        id_scores = ood.id_scores(outputs) if ood else None
        yield from postprocess(self.header, self.calibrated(outputs.logits), id_scores, top)

    def predict(
        self, sources: Iterable[Source], top: int = 5, batch: int = 32, workers: int = 2
    ) -> Iterator[Prediction]:
        """A prediction per image, in order; an unreadable one has `error` set.

        Sources are paths, bytes, arrays or Pillow images, decoded and preprocessed as in
        training, in `workers` threads; they are read a few batches ahead of the network, so an
        endless iterable is fine.  Raises UsageError for a single path, whose letters would be
        taken for paths.
        """
        return predictions(
            sources,
            self.load_input,
            lambda inputs: self.predict_batch(inputs, top),
            batch,
            workers,
            self.backend.streams if self.backend.streams > 1 else 0,
        )
