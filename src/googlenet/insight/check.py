"""Are a model's explanations right?  Its maps on labeled images, beside trivial ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from googlenet.data.boxes import Boxes, stem
from googlenet.data.dataset import Samples
from googlenet.evaluation.intervals import Interval, percentile, proportion_interval, resampled
from googlenet.images.decode import ImageError
from googlenet.inference.backends.torch import TorchBackend
from googlenet.insight.explain import Explainer, Question, View
from googlenet.insight.faithfulness import (
    center_map,
    curves,
    random_map,
    rank_correlation,
    shuffled,
)
from googlenet.insight.image_map import Map, to_image
from googlenet.insight.localization import (
    CENTER,
    GRID,
    IOU,
    WHOLE,
    Box,
    localize,
    map_box,
    overlap,
    points_into,
)

# What the trivial maps and boxes and the localizer are called in the table.
CENTER_NAME, RANDOM_NAME, WHOLE_NAME, LOCALIZER = "center", "random", "whole image", "localizer"
METRICS = (
    "insertion", "deletion", "randomization", "pointing", "localization", "top1_localization_error",
    "top5_localization_error",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A mean over images, its 95 % interval, and their number."""

    value: float
    interval: Interval
    images: int


Values = dict[tuple[str, str], list[float]]  # (method, metric) -> a value per image


@dataclass
class Check:
    """Tests of an explainer's methods.

    methods: those of `explain`.  boxes: of the images' objects, where known.  curve_images: how
    many of the images the insertion and deletion curves and the randomization test are made of.
    """

    explainer: Explainer
    methods: Sequence[str]
    boxes: Boxes
    curve_images: int
    seed: int = 0
    values: Values = field(default_factory=lambda: defaultdict(list))
    unreadable: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.untrained = Explainer(self.explainer.classifier, self.explainer.head)
        self.untrained.network.load_state_dict(
            {name: t.clone() for name, t in self.untrained.network.state_dict().items()},
            assign=True,
        )
        shuffled(self.untrained.network.requires_grad_(False), self.seed)

    def run(self, samples: Samples, stop: Callable[[], bool]) -> Iterator[int]:
        """Check every image, in order, until `stop`; yields how many are done."""
        chosen = np.random.default_rng((self.seed, 1)).permutation(len(samples))
        with_curves = set(chosen[: self.curve_images].tolist())
        for index in range(len(samples)):
            if stop():
                return
            try:
                view = self.explainer.load(samples.sources[index])
            except ImageError as error:
                self.unreadable.append(str(error))
                continue
            label = samples.labels[index]
            boxes = self.boxes.get(stem(samples.name(index)))
            if boxes is not None:
                self.localization(view, label, boxes, index)
            if index in with_curves:
                self.curves(view, index)
            yield index + 1

    def maps(self, view: View, target: int, index: int) -> Iterator[tuple[str, Map]]:
        """Each method's map of the view, and the trivial ones."""
        for method in self.methods:
            found = self.explainer.map(view.pixels, method, Question(target))
            # What speaks against the class matters as much to the integral as what speaks for it.
            yield method, np.abs(found) if method == "ig" else found
        yield CENTER_NAME, center_map()
        yield RANDOM_NAME, random_map(hash_of(self.seed, index))

    def localization(self, view: View, label: int, boxes: NDArray[np.float64], index: int) -> None:
        (prediction,) = self.explainer.classifier.predict_batch([view.pixels])
        found: dict[str, Box] = {WHOLE_NAME: WHOLE}
        if self.explainer.why_not("cam") is None:
            found[LOCALIZER] = localize(self.explainer, view.image, label)
        for name, view_map in self.maps(view, label, index):
            level = to_image(
                view_map - min(0.0, float(view_map.min())) * (name == CENTER_NAME),
                view.image.size,
                self.explainer.classifier.preprocessing,
                grid=GRID,
            )
            self.values[name, "pointing"].append(points_into(level, boxes))
            found[name] = CENTER if name == CENTER_NAME else map_box(level)
        for name, box in found.items():
            right = overlap(box, boxes) >= IOU
            self.values[name, "localization"].append(right)
            for top in (1, 5):
                hit = right and label in prediction.indices[:top]
                self.values[name, f"top{top}_localization_error"].append(not hit)

    def curves(self, view: View, index: int) -> None:
        target = self.explainer.predicted(view.pixels)
        x = self.explainer.input(view.pixels)
        for name, view_map in self.maps(view, target, index):
            found = curves(self.probability(target), x, view_map)
            self.values[name, "insertion"].append(found.insertion)
            self.values[name, "deletion"].append(found.deletion)
            if name in self.methods:
                other = self.untrained.map(view.pixels, name, Question(target))
                other = np.abs(other) if name == "ig" else other
                self.values[name, "randomization"].append(rank_correlation(view_map, other))

    def probability(self, target: int) -> Callable[[Tensor], Tensor]:
        """The main head's, by the classifier's fast network; another head's by the plain one."""
        classifier, explainer = self.explainer.classifier, self.explainer
        backend = classifier.backend
        assert isinstance(backend, TorchBackend)

        def probability(x: Tensor) -> Tensor:
            if explainer.head == "main":
                logits = backend.compute(x).logits
            else:
                with torch.no_grad():
                    logits = explainer.network.forward_heads(x)[explainer.head].cpu().numpy()
            return torch.from_numpy(classifier.calibrated(logits)[:, target])

        return probability

    def figures(self) -> Mapping[str, Mapping[str, Figure]]:
        """By method and metric; a metric without images is left out."""
        found: dict[str, dict[str, Figure]] = {}
        for (name, metric), values in self.values.items():
            found.setdefault(name, {})[metric] = figure(values)
        order = [*self.methods, LOCALIZER, CENTER_NAME, RANDOM_NAME, WHOLE_NAME]
        return {name: found[name] for name in order if name in found}


def figure(values: Sequence[float]) -> Figure:
    """Of values per image; of hits and misses, a proportion."""
    array = np.asarray(values, np.float64)
    draws = resampled(lambda indices: {"mean": array[indices].mean(1)}, len(array))["mean"]
    is_proportion = isinstance(values[0], bool)
    interval = (
        proportion_interval(draws, int(array.sum()), len(array))
        if is_proportion
        else percentile(draws)
    )
    return Figure(float(array.mean()), interval, len(array))


def hash_of(seed: int, index: int) -> int:
    """A seed of an image's own."""
    return seed * 1_000_003 + index
