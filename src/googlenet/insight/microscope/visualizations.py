"""The visualization of each unit, its opposite, and those of an atlas's cells, on sheets."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from googlenet.insight.chunks import Chunk
from googlenet.insight.microscope.atlas import GRID
from googlenet.insight.microscope.plan import Layer, Plan
from googlenet.insight.objectives import Objective, channel, direction
from googlenet.insight.render import MIN_SIZE, RenderSettings, maximize, seed_of
from googlenet.runtime.files import write_bytes
from googlenet.runtime.watchdog import beat

COLUMNS, ROWS = 4, 4  # of images on a sheet
PER_SHEET = COLUMNS * ROWS
SIDE, SMALL_SIDE = 128, 96  # pixels: of a visualization; of an opposite or a cell
SMALL_STEPS = 2 / 3  # of the steps, for these
QUALITY = 75  # of the WebP files
COST = 0.04  # CPU-seconds per image and step of SIDE pixels, about


def visualization_chunks(plan: Plan) -> list[Chunk]:
    """The deepest layers first, and the opposites last; made after an atlas's layout."""
    if not plan.settings.steps:
        return []
    return [
        *sheets(plan, plan.layers, "", write_units, SIDE),
        *atlases(plan),
        *sheets(plan, plan.layers, "-opposite", write_opposites, SMALL_SIDE),
    ]


def sheets(
    plan: Plan, layers: tuple[Layer, ...], kind: str, make: Callable[..., None], side: int
) -> list[Chunk]:
    cost = COST * plan.settings.steps * (side / SIDE) ** 3
    return [
        Chunk(
            plan.folder / "visualizations" / f"{layer.name}{kind}-{number:03}.webp",
            make,
            (layer.name, number),
            cost * min(PER_SHEET, layer.units - PER_SHEET * number),
        )
        for layer in reversed(layers)
        for number in range(-(-layer.units // PER_SHEET))
    ]


def atlases(plan: Plan) -> list[Chunk]:
    cost = COST * plan.settings.steps * (SMALL_SIDE / SIDE) ** 3 * GRID**2 / 2
    return [
        Chunk(atlas_path(plan, layer), write_atlas, (layer,), cost)
        for layer in reversed(plan.settings.atlas)
    ]


def atlas_path(plan: Plan, layer: str) -> Path:
    return plan.folder / "visualizations" / f"atlas-{layer}.webp"


def write_units(plan: Plan, layer: str, number: int) -> None:
    units = units_of(plan, layer, number)
    images = rendered(plan, layer, unit_objectives(plan, layer, units), units, small=False)
    write_sheet(plan, f"{layer}-{number:03}", images)


def write_opposites(plan: Plan, layer: str, number: int) -> None:
    units = units_of(plan, layer, number)
    opposites = [-objective for objective in unit_objectives(plan, layer, units)]
    images = rendered(plan, layer, opposites, units, small=True)
    write_sheet(plan, f"{layer}-opposite-{number:03}", images)


def units_of(plan: Plan, layer: str, number: int) -> range:
    """The units on a sheet."""
    return range(plan.layer(layer).units)[PER_SHEET * number :][:PER_SHEET]


def unit_objectives(plan: Plan, layer: str, units: Sequence[int]) -> list[Objective]:
    return [channel(plan.network, layer, unit) for unit in units]


def rendered(
    plan: Plan, layer: str, objectives: Sequence[Objective], numbers: Sequence[int], *, small: bool
) -> NDArray[np.uint8]:
    """(N, side, side, channels), RGB, of units or cells of these numbers.

    small: with fewer pixels and steps.
    """
    p, steps = plan.header.preprocessing, plan.settings.steps
    settings = RenderSettings(
        size=max(MIN_SIZE, min(p.size, SMALL_SIDE if small else SIDE) // 2 * 2),
        steps=max(1, round(steps * SMALL_STEPS)) if small else steps,
        seed=plan.settings.seed,
    )
    seeds = [seed_of(settings.seed, layer, number) for number in numbers]
    images = []
    for image, _ in maximize(plan.network, p, objectives, seeds, settings):
        images.append(image.reshape(*image.shape[:2], -1))
        beat()
    return np.stack(images)


def write_sheet(plan: Plan, name: str, images: NDArray[np.uint8]) -> None:
    places = [divmod(at, COLUMNS) for at in range(len(images))]
    path = plan.folder / "visualizations" / f"{name}.webp"
    write_bytes(path, as_webp(images, places, ROWS, COLUMNS))


def write_atlas(plan: Plan, layer: str) -> None:
    """visualizations/atlas-LAYER.webp: each cell at its place, for the mean of its activations."""
    with np.load(plan.work / f"cells-{layer}.npz") as arrays:
        means, places, side = torch.from_numpy(arrays["means"]), arrays["at"], int(arrays["side"])
    directions = means / means.norm(dim=1, keepdim=True)
    if not len(means):
        write_bytes(atlas_path(plan, layer), as_webp(np.zeros((0, 1, 1, 1), np.uint8), [], 1, 1))
        return
    objectives = [direction(plan.network, layer, vector) for vector in directions]
    images = rendered(plan, layer, objectives, range(len(objectives)), small=True)
    write_bytes(atlas_path(plan, layer), as_webp(images, places, side, side))


def as_webp(images: NDArray[np.uint8], places: Any, rows: int, columns: int) -> bytes:
    """Images at their places (row, column) on one."""
    side, channels = images.shape[1], images.shape[3]
    sheet = np.zeros((rows * side, columns * side, channels), np.uint8)
    for image, (row, column) in zip(images, places, strict=True):
        sheet[row * side :, column * side :][:side, :side] = image
    stream = io.BytesIO()
    Image.fromarray(sheet.squeeze()).convert("RGB").save(stream, "WEBP", quality=QUALITY)
    return stream.getvalue()
