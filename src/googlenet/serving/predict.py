"""One batch through the network, and its answers as the JSON values of /predict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from googlenet.images.views import center_region
from googlenet.inference.classifier import Classifier
from googlenet.inference.prediction import Prediction
from googlenet.insight.cam import class_activation_maps, last_map
from googlenet.serving.input_image import Crop

MAX_CAMS = 5  # class activation maps per image, of its first classes

Json = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """An image, the number of classes wanted, and whether with class activation maps."""

    crop: Crop
    top: int
    cam: bool = False


@dataclass(frozen=True)
class Answer:
    """The prediction for one image, of which `top` has as many classes as were wanted."""

    crop: Crop
    prediction: Prediction
    cam: Json | None = None
    milliseconds: float = 0.0


def supports_cam(classifier: Classifier) -> bool:
    """Whether the network has class activation maps, found by running it once."""
    p = classifier.preprocessing
    with last_map(classifier.backend.network) as seen:
        list(classifier.predict_batch(np.zeros((1, p.size, p.size, p.channels), np.uint8), 1))
    return bool(seen)


def predict_batch(classifier: Classifier, requests: Sequence[Request]) -> list[Answer]:
    """The answers, in order; an image's own does not depend on the rest of the batch."""
    pixels = np.stack([request.crop.pixels for request in requests])
    with_cam = [n for n, request in enumerate(requests) if request.cam]
    with last_map(classifier.backend.network if with_cam else None) as seen:
        predictions = list(
            classifier.predict_batch(pixels, max(request.top for request in requests))
        )
    answers = [answer(*both) for both in zip(requests, predictions, strict=True)]
    if with_cam and seen:
        (features,) = seen.values()
        head = classifier.network.classifier
        assert isinstance(head, nn.Linear)
        classes = torch.tensor([predictions[n].indices[:MAX_CAMS] for n in with_cam])
        with torch.inference_mode():
            maps = class_activation_maps(features[with_cam], head, classes)
        for n, image_maps in zip(with_cam, maps.tolist(), strict=True):
            answers[n] = replace(answers[n], cam=cam(classifier, requests[n], image_maps))
    return answers


def answer(request: Request, prediction: Prediction) -> Answer:
    top, indices = prediction.top[: request.top], prediction.indices[: request.top]
    return Answer(request.crop, replace(prediction, top=top, indices=indices))


def to_json(answer: Answer) -> Json:
    """A result of /predict."""
    prediction, crop = answer.prediction, answer.crop
    top = entries(prediction.top)
    labels = {} if prediction.labels is None else {"labels": entries(prediction.labels)}
    maps = {} if answer.cam is None else {"cam": answer.cam}
    return {
        **top[0],
        "top": top,
        **labels,
        "unknown": prediction.unknown,
        "width": crop.width,
        "height": crop.height,
        **maps,
        "milliseconds": answer.milliseconds,
    }


def entries(classes: Iterable[tuple[str, float]]) -> list[Json]:
    return [{"label": name, "probability": probability} for name, probability in classes]


def cam(classifier: Classifier, request: Request, maps: list[list[list[float]]]) -> Json:
    """The maps of the first classes, and the region of the image that they cover."""
    crop = request.crop
    region = center_region((crop.width, crop.height), classifier.preprocessing)
    rounded = [[[round(value, 3) for value in row] for row in grid] for grid in maps]
    return {"region": [round(value, 5) for value in region], "maps": rounded[: request.top]}
