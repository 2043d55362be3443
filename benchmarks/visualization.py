"""Feature visualization measured: units that start dead, activations, time; beside torch-lucent.

    python benchmarks/visualization.py MODEL --dead
    python benchmarks/visualization.py MODEL --layer 4b --units 300-307 [--peer DIR]

`--peer` names a folder where torch-lucent and what it imports are installed (kornia 0.4.1).  It
gets the same preprocessing, steps and size and keeps its own image, transformations, rate, and
objective: the mean of a unit's map after the ReLU.  Of both, that mean is told for the final image.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

import torch

from googlenet.bench.peers import declare_operators, find_in
from googlenet.cli.visualize import parse_units
from googlenet.insight.layers import find_layer
from googlenet.insight.objectives import Objective, channel, one_each, unit_count
from googlenet.insight.parameterizations import PARAMETERIZATIONS
from googlenet.insight.render import (
    RenderSettings,
    evaluate,
    frozen,
    maximize,
    seed_of,
    to_inputs,
    to_pixels,
)
from googlenet.load import load_classifier
from googlenet.models.googlenet import Inception


def dead_units(classifier: Any, settings: RenderSettings, batch: int = 8) -> None:
    """How many units of each module have no gradient at the first image."""
    network, p = classifier.network, classifier.preprocessing
    total = dead = 0
    for layer in network.trunk:
        if not isinstance(network.get_submodule(layer), Inception):
            continue
        units = range(unit_count(network, layer))
        without = 0
        for first in range(0, len(units), batch):
            some = units[first : first + batch]
            drawn = [torch.Generator().manual_seed(seed_of(0, layer, unit)) for unit in some]
            made = PARAMETERIZATIONS[settings.parameterization](drawn, settings.size, p.channels)
            objective = one_each([channel(network, layer, unit) for unit in some])
            with frozen(network):
                evaluate(network, objective, to_inputs(made.images(), p)).sum().backward()  # type: ignore[no-untyped-call]
            gradient = made.parameters[0].grad
            assert gradient is not None
            without += int((gradient.flatten(1).abs().amax(1) == 0).sum())
        print(f"{layer}: {without} of {len(units)} units have no gradient at the start", flush=True)
        total, dead = total + len(units), dead + without
    print(f"all: {dead} of {total}")


def compare(classifier: Any, layer: str, units: list[int], settings: RenderSettings) -> list[Any]:
    """Our images of units, and the CPU-seconds per unit."""
    network, p = classifier.network, classifier.preprocessing
    objectives = [channel(network, layer, unit) for unit in units]
    seeds = [seed_of(settings.seed, layer, unit) for unit in units]
    began = process_time()
    made = [*maximize(network, p, objectives, seeds, settings)]
    spent = (process_time() - began) / len(units)
    scores = [
        after_relu(classifier, layer, unit, image)
        for unit, (image, _) in zip(units, made, strict=True)
    ]
    print(f"googlenet: mean activation {mean(scores):.1f}, {spent:.2f} CPU-s per unit")
    return scores


def after_relu(classifier: Any, layer: str, unit: int, image: Any) -> float:
    """The mean of a unit's map after its ReLU, of an image (H, W, 3) uint8."""
    inputs = torch.tensor(image).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        objective = output_mean(layer, unit)
        score = evaluate(classifier.network, objective, to_inputs(inputs, classifier.preprocessing))
    return float(score)


def output_mean(layer: str, unit: int) -> Objective:
    return Objective(frozenset({layer}), lambda found: found[layer][:, unit].flatten(1).mean(1))


def lucent_scores(
    classifier: Any, layer: str, units: list[int], settings: RenderSettings, scores: list[float]
) -> None:
    """The same units by torch-lucent."""
    declare_operators()  # which its torchvision lacks beside a CPU build of PyTorch
    from lucent.optvis import param, transform  # type: ignore[import-not-found]

    network, p = classifier.network, classifier.preprocessing
    found = []
    began = process_time()
    with frozen(network):
        for unit in units:
            objective = output_mean(layer, unit)
            torch.manual_seed(settings.seed)

            parameters, image = param.image(settings.size)
            optimizer = torch.optim.Adam(parameters, lr=5e-2)
            moved = transform.compose(transform.standard_transforms)
            for _ in range(settings.steps):
                optimizer.zero_grad()
                (-evaluate(network, objective, to_inputs(moved(image()), p)).sum()).backward()
                optimizer.step()
            found.append(after_relu(classifier, layer, unit, to_pixels(image()[0])))
    spent = (process_time() - began) / len(units)
    print(f"torch-lucent: mean activation {mean(found):.1f}, {spent:.2f} CPU-s per unit")
    pairs = [*zip(scores, found, strict=True)]
    ratios = sorted(ours / theirs for ours, theirs in pairs if theirs > 0)
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    dead = len(pairs) - len(ratios)  # lucent's objective is taken after the ReLU
    print(
        f"ratio of means {mean(scores) / max(mean(found), 1e-9):.2f}, of single units {shown}; "
        f"torch-lucent leaves {dead} of {len(pairs)} silent"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--dead", action="store_true")
    parser.add_argument("--layer", default="4b")
    parser.add_argument("--units", default="300-307")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--peer", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    classifier = load_classifier(arguments.model)
    settings = RenderSettings(size=arguments.size, steps=arguments.steps)
    if arguments.dead:
        dead_units(classifier, settings)
        return
    layer = find_layer(classifier.network, arguments.layer)
    units = parse_units(arguments.units, unit_count(classifier.network, layer), layer)
    scores = compare(classifier, layer, units, settings)
    if arguments.peer:
        find_in(arguments.peer)
        lucent_scores(classifier, layer, units, settings, scores)


if __name__ == "__main__":
    main()
