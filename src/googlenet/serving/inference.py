"""One batch through the network: what the service's only thread of inference runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from googlenet.classifier import Classifier
from googlenet.images.views import center_region
from googlenet.insight.cam import class_activation_maps, last_map
from googlenet.serving.photo import Crop

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
        classifier.probabilities(np.zeros((1, p.size, p.size, p.channels), np.uint8))
    return bool(seen)


def answer(classifier: Classifier, questions: Sequence[Question]) -> list[Answer]:
    """The answers, in order; those to photos that came together are those to each alone."""
    wanted = [n for n, question in enumerate(questions) if question.cam]
    pixels = np.stack([question.crop.pixels for question in questions])
    with last_map(classifier.network if wanted else None) as seen:
        probabilities = classifier.probabilities(pixels)
    best = probabilities.topk(min(max(q.top for q in questions), len(classifier.classes)))
    answers = []
    for question, values, indices in zip(questions, best.values, best.indices, strict=True):
        names = (classifier.classes[int(i)].name for i in indices[: question.top])
        top = [
            {"label": name, "probability": value}
            for name, value in zip(names, values.tolist(), strict=False)
        ]
        answers.append(
            {
                **top[0],
                "top": top,
                "unknown": unknown(classifier, top[0]["probability"]),
                "width": question.crop.width,
                "height": question.crop.height,
            }
        )
    if wanted and seen:
        (features,) = seen.values()
        with torch.inference_mode():
            maps = class_activation_maps(
                features[wanted], classifier.network.classifier, best.indices[wanted, :MAPS]
            )
        for n, its_maps in zip(wanted, maps.tolist(), strict=True):
            answers[n]["cam"] = cam(classifier, questions[n], its_maps)
    return answers


def unknown(classifier: Classifier, probability: float) -> bool | None:
    """Whether the answer is too uncertain to be one; None of a model without a threshold."""
    threshold = (classifier.calibration or {}).get("threshold")
    return None if threshold is None else bool(probability < threshold)


def cam(classifier: Classifier, question: Question, maps: list[list[list[float]]]) -> Answer:
    """The maps of the first answers, and the part of the photo over which they lie."""
    crop = question.crop
    region = center_region((crop.width, crop.height), classifier.preprocessing)
    rounded = [[[round(value, 3) for value in row] for row in grid] for grid in maps]
    return {"region": [round(share, 5) for share in region], "maps": rounded[: question.top]}
