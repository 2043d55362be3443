"""A model of ours as a `.safetensors` under Caffe's names, and back without loss."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from googlenet.inference.classifier import Classifier
from googlenet.inference.model_file import write_tensors
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.weights.schemes import CAFFE
from googlenet.weights.weight_file import WeightFile, WeightFileError

# The metadata key under which the file keeps what Caffe's names cannot say: our own header.
HEADER = "googlenet-header"


def write_caffe_named(classifier: Classifier, path: Path) -> None:
    """Write the file, from which `convert` makes the same classifier again, bit for bit.

    Raises UsageError for a network that Caffe's names do not describe.
    """
    if classifier.variant != CAFFE.variant:
        raise UsageError(
            f"--to caffe needs a model of variant {CAFFE.variant!r}, got {classifier.variant!r}"
        )
    state = classifier.network.state_dict()
    names = CAFFE.names(state)
    tensors = {names[ours]: tensor for ours, tensor in state.items()}
    metadata = {
        "format": "Caffe's blobs: <layer>/weight (OIHW), <layer>/bias",
        HEADER: json.dumps(classifier.header(), ensure_ascii=False),
    }
    write_tensors(path, tensors, metadata)


def described_classifier(file: WeightFile) -> Classifier:
    """The classifier that such a file's header describes, its weights yet to come."""
    try:
        numbers = sum(map(Tensor.numel, file.tensors.values()))
        return Classifier.from_header(json.loads(file.metadata[HEADER]), numbers)
    except (
        *(GoogLeNetError, AttributeError, KeyError, TypeError, ValueError),
        *(RuntimeError, RecursionError),
    ) as error:
        raise WeightFileError(f"its {HEADER!r} metadata cannot be used ({error})") from error
