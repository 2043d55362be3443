"""A request to /v2/models/NAME/infer: its images, and which outputs it wants in which form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from googlenet.serving.http_error import HTTPError
from googlenet.serving.input_image import Crop
from googlenet.serving.json_body import image_of, object_in, shown, whole_number
from googlenet.serving.limits import Limits
from googlenet.serving.served_model import ServedModel
from googlenet.serving.tensors import binary_parts, split_body, split_elements

IMAGE, PIXELS = "image", "pixels"  # inputs: encoded images, or what the network sees of them
PROBABILITIES, LABEL, UNKNOWN = "probabilities", "label", "unknown"  # outputs


@dataclass(frozen=True)
class Output:
    """An output that a client wants.

    classes: of the classification extension, 0 for the values themselves.
    """

    name: str
    classes: int
    binary: bool


@dataclass(frozen=True)
class InferRequest:
    images: Sequence[bytes | Crop]
    outputs: Sequence[Output]
    id: str | None


def output_names(model: ServedModel) -> tuple[str, ...]:
    calibration = model.classifier.calibration
    unknown = (UNKNOWN,) if calibration and calibration.ood else ()
    return (PROBABILITIES, LABEL, *unknown)


def parse(
    body: bytes, header_length: str | None, model: ServedModel, limits: Limits
) -> InferRequest:
    """Raises HTTPError: 400 for a request that breaks the protocol or the model's shapes, 413."""
    value, data = split_body(body, header_length)
    own = value.get("id")
    if own is not None and not isinstance(own, str):
        raise HTTPError(400, f"id must be a text, got {shown(own)}")
    inputs = objects(value, "inputs")
    if len(inputs) != 1:
        raise HTTPError(400, f"inputs must be one tensor, {IMAGE} or {PIXELS}, got {len(inputs)}")
    (tensor,), (part,) = inputs, binary_parts(inputs, data)
    name = tensor.get("name")
    if name not in (IMAGE, PIXELS):
        raise HTTPError(400, f"inputs must be {IMAGE} or {PIXELS}, got {shown(name)}")
    expected = "BYTES" if name == IMAGE else "UINT8"
    if tensor.get("datatype") != expected:
        got = shown(tensor.get("datatype"))
        raise HTTPError(400, f"the datatype of {name} must be {expected}, got {got}")
    images: Sequence[bytes | Crop]
    if name == IMAGE:
        images = encoded_images(tensor, part, limits)
    else:
        images = crops(tensor, part, model, limits)
    if not images:
        raise HTTPError(400, "the request contains no image")
    return InferRequest(images, wanted_outputs(value, model), own)


def objects(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The list of objects under that name.  Raises HTTPError (400)."""
    found = value.get(name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise HTTPError(400, f"{name} must be a list of objects, got {shown(found)}")
    return found


def shape_of(tensor: dict[str, Any]) -> list[int]:
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise HTTPError(400, f"shape must be a list of whole numbers, got {shown(shape)}")
    return shape


def encoded_images(tensor: dict[str, Any], part: memoryview | None, limits: Limits) -> list[bytes]:
    """The files in a BYTES tensor of shape (N,) or (N, 1), binary or as base64 text."""
    shape = shape_of(tensor)
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        raise HTTPError(400, f"the shape of {IMAGE} must be [N] or [N, 1], got {shown(shape)}")
    if part is not None:
        images = split_elements(part, limits.max_images)
    else:
        texts = tensor.get("data")
        if not isinstance(texts, list):
            raise HTTPError(400, f"data must be a list of base64 texts, got {shown(texts)}")
        flat = [text for each in texts for text in (each if isinstance(each, list) else [each])]
        check_count(len(flat), limits)
        images = [image_of(text, "each element of data") for text in flat]
    if len(images) != prod(shape):
        raise HTTPError(400, f"the shape of {IMAGE} is {shown(shape)}, its data has {len(images)}")
    return images


def crops(
    tensor: dict[str, Any], part: memoryview | None, model: ServedModel, limits: Limits
) -> list[Crop]:
    """The images in a UINT8 tensor of shape (N, size, size, channels), in binary."""
    p = model.classifier.preprocessing
    shape = shape_of(tensor)
    own = [p.size, p.size, p.channels]
    if len(shape) != 4 or shape[1:] != own:
        expected = ", ".join(map(str, own))
        raise HTTPError(400, f"the shape of {PIXELS} must be [N, {expected}], got {shown(shape)}")
    if part is None:
        raise HTTPError(400, f"{PIXELS} must be sent as binary data")
    check_count(shape[0], limits)
    if len(part) != prod(shape):
        raise HTTPError(
            400, f"{PIXELS} of that shape has {prod(shape)} bytes, this has {len(part)}"
        )
    pixels = np.frombuffer(part, np.uint8).reshape(shape)
    return [Crop(each, p.size, p.size) for each in pixels]


def check_count(images: int, limits: Limits) -> None:
    if images > limits.max_images:
        raise HTTPError(413, f"a request may have {limits.max_images} images, this has more")


def wanted_outputs(value: dict[str, Any], model: ServedModel) -> list[Output]:
    """The outputs that the request names, by default all of the model."""
    known = output_names(model)
    binary = object_in(value, "parameters").get("binary_data_output", False)
    if not value.get("outputs"):
        return [Output(name, 0, binary is True) for name in known]
    outputs: list[Output] = []
    for each in objects(value, "outputs"):
        name, parameters = each.get("name"), object_in(each, "parameters")
        if name not in known:
            raise HTTPError(400, f"the outputs are {', '.join(known)}, got {shown(name)}")
        if any(name == other.name for other in outputs):
            raise HTTPError(400, f"the output {name} must be named only once")
        classes = parameters.get("classification")
        if classes is not None:
            if name != PROBABILITIES:
                raise HTTPError(400, f"classification is of {PROBABILITIES}, got it for {name}")
            classes = whole_number(classes, "classification", len(model.classifier.classes))
        own = parameters.get("binary_data", binary) is True
        outputs.append(Output(str(name), classes or 0, own))
    return outputs
