"""Runs of little work: a few noisy images, a twentieth of the width, 32 pixels."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from googlenet.data.cache import MemoryCache
from googlenet.data.dataset import Samples
from googlenet.data.loader import TrainingLoader
from googlenet.images.augment import Augmentation
from googlenet.images.preprocess import Preprocessing, resize_size
from googlenet.models.registry import build_network
from googlenet.runtime.console import Console
from googlenet.runtime.device import ComputeDevice
from googlenet.training.loop import Trainer
from googlenet.training.recipe import Recipe
from googlenet.training.recipes import MODERN
from googlenet.training.run_folder import RunFolder
from googlenet.training.settings import Settings
from googlenet.training.setup import Run, prepare
from tests.fixtures import COLOURS, pixels, tinted

SIZE = 32
SMALL = Preprocessing(size=SIZE, resize_size=resize_size(SIZE))
QUICK = MODERN.with_settings({"epochs": 2, "batch": 4, "learning_rate": 0.05})
VARYING = {"seconds", "images_per_second", "data_wait"}  # a resumed run takes another time


def samples(photos: int = 10) -> Samples:
    """Images in memory, of the classes in turn."""
    names = list(COLOURS)
    labels = tuple(i % len(names) for i in range(photos))
    return Samples(tuple(pixels(tinted(names[k], i)) for i, k in enumerate(labels)), labels)


def trainer(
    recipe: Recipe = QUICK,
    data: Samples | None = None,
    *,
    seed: int = 0,
    workers: int = 1,
    shuffle: str = "full",
    decoder: str = "pillow",
    cache: MemoryCache | None = None,
    carried: tuple[str, ...] = (),
    augment: str = "host",
    size: int = SIZE,
    **network: Any,
) -> Trainer:
    built = build_network(
        recipe.variant,
        len(COLOURS),
        size=size,
        with_aux_heads=recipe.aux_loss_weight > 0,
        generator=torch.Generator().manual_seed(seed),
        **{"width": 0.05, **network},
    )
    preprocessing = replace(SMALL, size=size, resize_size=resize_size(size))
    augmentation = Augmentation(recipe.augmentation(preprocessing), seed)
    loader = TrainingLoader(data or samples(), preprocessing, augmentation, decoder, cache, augment)
    return Trainer(
        built,
        recipe,
        loader,
        seed=seed,
        machine=ComputeDevice(),
        workers=workers,
        shuffle=shuffle,
        pretrained_params=carried,
    )


def nothing() -> None:
    """What a run does after a step when nobody watches."""


def settings(data: Path | str, **changes: Any) -> Settings:
    values: dict[str, Any] = {"recipe": QUICK, "preprocessing": SMALL, "width": 0.05}
    return Settings(str(data), **(values | {"precision": "fp32"} | changes))


def prepared(options: Settings, out: Path, *, resume: bool = False) -> tuple[Run, io.StringIO]:
    """A run that is ready to go on, and what it says."""
    said = io.StringIO()
    return prepare(options, RunFolder(out), Console(said), resume), said


def same_bits(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def state(network: nn.Module) -> dict[str, Tensor]:
    """A copy of a network's tensors as they are now."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def tensors(run: Run) -> dict[str, dict[str, torch.Tensor]]:
    """Every tensor of the run's models and checkpoint."""
    return {p.name: load_file(p) for p in (run.folder.last, run.folder.best, run.folder.checkpoint)}


def log(run: Run) -> list[dict[str, float]]:
    lines = (run.folder.path / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in VARYING} for line in lines]
