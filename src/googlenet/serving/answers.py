"""One batch through the network: what the service's only thread of inference runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from googlenet.images.views import center_region
from googlenet.inference.classifier import Classifier
from googlenet.inference.prediction import Prediction
from googlenet.insight.cam import class_activation_maps, last_map
from googlenet.serving.input_image import Crop

MAPS = 5  # of the likeliest classes of a photo


@dataclass(frozen=True)
class Question:
    """A photo, how many answers are wanted, and whether maps of where the network looked."""

    crop: Crop
    top: int
    cam: bool = False


Answer = dict[str, Any]  # the JSON value of one photo


def has_maps(classifier: Classifier) -> bool:
    """Whether the network that answers has class activation maps, found by asking it."""
    p = classifier.preprocessing
    with last_map(classifier.network) as seen:
        list(classifier.judge(np.zeros((1, p.size, p.size, p.channels), np.uint8), 1))
    return bool(seen)


def answer(classifier: Classifier, questions: Sequence[Question]) -> list[Answer]:
    """The answers, in order; those to photos that came together are those to each alone."""
    pixels = np.stack([question.crop.pixels for question in questions])
    wanted = [n for n, question in enumerate(questions) if question.cam]
    with last_map(classifier.network if wanted else None) as seen:
        predictions = list(classifier.judge(pixels, max(question.top for question in questions)))
    answers = [value(*both) for both in zip(questions, predictions, strict=True)]
    if wanted and seen:
        (features,) = seen.values()
        head = classifier.network.classifier
        assert isinstance(head, nn.Linear)
        shown = torch.tensor([predictions[n].indices[:MAPS] for n in wanted])
        with torch.inference_mode():
            maps = class_activation_maps(features[wanted], head, shown)
        for n, its_maps in zip(wanted, maps.tolist(), strict=True):
            answers[n]["cam"] = cam(classifier, questions[n], its_maps)
    return answers


def value(question: Question, prediction: Prediction) -> Answer:
    top = entries(prediction.top[: question.top])
    several = {} if prediction.labels is None else {"labels": entries(prediction.labels)}
    return {
        **top[0],
        "top": top,
        **several,
        "unknown": prediction.unknown,
        "width": question.crop.width,
        "height": question.crop.height,
    }


def entries(answers: Iterable[tuple[str, float]]) -> list[Answer]:
    return [{"label": name, "probability": probability} for name, probability in answers]


def cam(classifier: Classifier, question: Question, maps: list[list[list[float]]]) -> Answer:
    """The maps of the first answers, and the part of the photo over which they lie."""
    crop = question.crop
    region = center_region((crop.width, crop.height), classifier.preprocessing)
    rounded = [[[round(value, 3) for value in row] for row in grid] for grid in maps]
    return {"region": [round(share, 5) for share in region], "maps": rounded[: question.top]}
