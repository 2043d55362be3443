"""Which classes a unit speaks for, and which units speak for a class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from googlenet.insight.microscope.examples import Examples
from googlenet.insight.microscope.plan import Plan

CLASSES = 6  # named per unit, for and against
UNITS = 12  # named per class, for and against
LAYER_UNITS = 6  # named per class and layer
HALF = 0.5  # of the strongest class's mean: a class above it excites the unit

Floats = NDArray[np.floating]
Ranked = list[tuple[int, float]]  # numbers of classes or units, each with its value


class Votes(NamedTuple):
    """The classes that a unit speaks for and against, and how many classes excite it."""

    supports: Ranked
    opposes: Ranked
    excites: int


def votes_of(plan: Plan, examples: Examples, layer: str) -> list[Votes]:
    """For each unit of a layer.

    Of the last map the values are the classifier's weights.  Elsewhere they are the mean
    activations over a class's images, and no class is spoken against.
    """
    means = examples.class_means[:, plan.columns()[layer]]
    weights = classifier_weights(plan)[:, : means.shape[1]] if is_last(plan, layer) else None
    found = []
    for unit in range(means.shape[1]):
        own = np.nan_to_num(means[:, unit], nan=0.0)
        excites = int((own >= HALF * own.max()).sum()) if own.max() > 0 else 0
        supports = highest(own if weights is None else weights[:, unit], CLASSES)
        opposes = [] if weights is None else lowest(weights[:, unit], CLASSES)
        found.append(Votes(supports, opposes, excites))
    return found


class ClassUnits(NamedTuple):
    """The units of the last map that speak for a class and against it, by their part of the logit
    on its images; and in each layer the units that its images excite more than others do.

    typical: whether the last map is on show, without which the first two are empty.
    """

    supports: Ranked
    opposes: Ranked
    layers: dict[str, Ranked]


def units_of(plan: Plan, examples: Examples, index: int) -> ClassUnits:
    """For a class.  The parts of the logit are of the mean of its images; of all if it has none."""
    has_images = examples.class_counts[index] > 0
    means = examples.class_means[index] if has_images else examples.means
    columns, supports, opposes = plan.columns(), Ranked(), Ranked()
    last = plan.layers[-1]
    if is_last(plan, last.name):
        parts = classifier_weights(plan)[index, : last.units] * means[columns[last.name]]
        supports, opposes = highest(parts, UNITS), lowest(parts, UNITS)
    layers = {}
    if has_images:
        spread = np.where(examples.deviations > 0, examples.deviations, np.inf)
        unusual = (means - examples.means) / spread
        layers = {name: highest(unusual[where], LAYER_UNITS) for name, where in columns.items()}
    return ClassUnits(supports, opposes, layers)


def is_last(plan: Plan, layer: str) -> bool:
    """Whether a layer is the map under the average pool and the classifier."""
    return layer == plan.network.trunk[-1]


def classifier_weights(plan: Plan) -> Floats:
    """(classes, channels of the last map)."""
    return plan.network.classifier.weight.detach().float().cpu().numpy()


def highest(values: Floats, count: int) -> Ranked:
    """The highest positive values, the highest first."""
    order = np.argsort(-values, kind="stable")[:count]
    return [(int(i), float(values[i])) for i in order if values[i] > 0]


def lowest(values: Floats, count: int) -> Ranked:
    """The lowest negative values, the lowest first."""
    return [(i, -value) for i, value in highest(-values, count)]
