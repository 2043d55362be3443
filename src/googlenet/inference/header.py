"""The header of a model: everything that prediction needs besides the weights.

docs/model-file.md describes every key of its JSON form.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from googlenet.data.dataset import SPLIT_RULES
from googlenet.data.labels import Class
from googlenet.images.preprocess import Preprocessing
from googlenet.inference.calibration import Calibration
from googlenet.models.cost import network_cost
from googlenet.models.table import parse_table, variant_name
from googlenet.runtime.errors import GoogLeNetError, ModelFileError

FORMAT = 1
KEY = "googlenet"  # of the JSON value in a file's metadata

EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class ModelHeader:
    """A network's classes, preprocessing and calibration, and how good it is.

    variant, width, heads: which network it is; a variant is a name, or a table as JSON text.
    multilabel: whether an image can have several labels, or none: each class then has its own
    probability, and is predicted above `threshold`.
    metrics, provenance, licence: for a reader.  export: of an exported file, its format,
    precision and input.
    """

    variant: str
    classes: tuple[Class, ...]
    preprocessing: Preprocessing
    width: float = 1.0
    heads: tuple[str, ...] = ()
    multilabel: bool = False
    threshold: float = 0.5
    calibration: Calibration | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    licence: str | None = None
    export: Mapping[str, Any] | None = None

    @cached_property
    def parameters(self) -> int:
        """Parameters of the network, without auxiliary heads.

        Raises GoogLeNetError for a network that cannot be built.
        """
        p = self.preprocessing
        cost = network_cost(self.variant, p.size, len(self.classes), p.channels, self.width)
        return cost.total.params

    @property
    def split_seed(self) -> int:
        """The seed of the training and validation split of a model that we trained, else 0."""
        seed = self.provenance.get("seed")
        return seed if isinstance(seed, int) and seed >= 0 else 0

    @property
    def split_rule(self) -> str:
        """How that split was made: models of before 2026-12 do not say."""
        ours = "data_fingerprint" in self.provenance
        rule = self.provenance.get("split_rule", "order" if ours else "image")
        return rule if rule in SPLIT_RULES else "image"

    @property
    def takes_raw_image(self) -> bool:
        """Whether an exported file has its preprocessing built in."""
        return self.export is not None and self.export.get("input") == "photo"

    def to_json(self) -> dict[str, Any]:
        """The JSON value, without the format's number, the tensors and `export`."""
        own = {"table": json.loads(self.variant)} if self.variant.startswith("{") else {}
        return {
            "variant": variant_name(self.variant),
            **own,
            "width": self.width,
            "heads": list(self.heads),
            "labels": "multi" if self.multilabel else "single",
            "threshold": self.threshold if self.multilabel else None,
            "classes": [c._asdict() for c in self.classes],
            "preprocessing": self.preprocessing.to_json(),
            "calibration": self.calibration and self.calibration.to_json(),
            "metrics": dict(self.metrics),
            "provenance": dict(self.provenance),
            "licence": self.licence,
        }

    @classmethod
    def from_json(
        cls, value: Mapping[str, Any], ood_tensors: Mapping[str, NDArray[Any]] = EMPTY
    ) -> ModelHeader:
        """What `to_json` wrote; an exported file's `export` holds the tensors.

        Raises GoogLeNetError, ValueError and the like for a value that breaks its rules: call it
        in `header_errors`.
        """
        export, calibration = value.get("export"), value.get("calibration")
        table = value.get("table")
        if "export" in value:
            if not isinstance(export, dict) or not isinstance(export.get("precision"), str):
                raise ValueError(f"export must be an object with a precision, is {export!r}")
            ood_tensors = decode_tensors(export.get("unknown"))
        classes = tuple(Class(str(c["id"]), str(c["name"])) for c in value["classes"])
        if not classes:
            raise ValueError("classes is empty")
        header = cls(
            variant=parse_table(json.dumps(table)).key if table else value["variant"],
            classes=classes,
            preprocessing=Preprocessing.from_json(value["preprocessing"]),
            width=float(value.get("width", 1)),
            heads=tuple(map(str, value.get("heads") or ())),
            calibration=Calibration.from_json(calibration, ood_tensors) if calibration is not None
            else None,
            metrics=dict(value.get("metrics") or {}),
            provenance=dict(value.get("provenance") or {}),
            licence=value.get("licence"),
            export=export,
            **read_labels(value),
        )  # fmt: skip
        _ = header.parameters  # raises for a network that cannot be built
        return header


def read_labels(value: Mapping[str, Any]) -> dict[str, Any]:
    """How many labels an image has; one, in a file that does not say.

    Raises ValueError for impossible values.
    """
    labels, threshold = value.get("labels", "single"), value.get("threshold")
    if labels not in ("single", "multi"):
        raise ValueError(f"labels must be single or multi, is {labels!r}")
    if labels == "single":
        return {}
    if not isinstance(threshold, float) or not 0 < threshold < 1:
        raise ValueError(f"threshold must be a number above 0 and below 1, is {threshold!r}")
    return {"multilabel": True, "threshold": threshold}


def encode_tensors(tensors: Mapping[str, NDArray[Any]]) -> str | None:
    """The tensors as text, None for none."""
    return b64encode(safetensors.numpy.save(dict(tensors))).decode() if tensors else None


def decode_tensors(text: str | None) -> dict[str, NDArray[Any]]:
    """What `encode_tensors` wrote."""
    return safetensors.numpy.load(b64decode(text)) if text else {}


@contextmanager
def header_errors(header: str) -> Iterator[None]:
    """Raises ModelFileError "{header} cannot be used (…)" for whatever a damaged header causes."""
    try:
        yield
    except (
        *(AttributeError, GoogLeNetError, KeyError, OverflowError, RecursionError, RuntimeError),
        *(SafetensorError, TypeError, ValueError),
    ) as error:
        raise ModelFileError(f"{header} cannot be used ({error})") from error


def parse_metadata(source: object, text: str, key: str = KEY) -> dict[str, Any]:
    """The JSON value in a file's metadata.

    Raises ModelFileError for text that is damaged or of a format that this version does not know.
    """
    try:
        value = json.loads(text)
        version = value["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{source}: its {key!r} metadata is damaged ({error})") from error
    if version != FORMAT:
        raise ModelFileError(
            f"{source}: is of format {version!r}, this version reads format {FORMAT}: "
            "a newer googlenet may read it"
        )
    return dict(value)


def parse_header(
    source: object, text: str, ood_tensors: Mapping[str, NDArray[Any]] = EMPTY
) -> ModelHeader:
    """The header from its JSON text.  Raises ModelFileError, which names the source."""
    value = parse_metadata(source, text)
    with header_errors(f"{source}: its header"):
        return ModelHeader.from_json(value, ood_tensors)
