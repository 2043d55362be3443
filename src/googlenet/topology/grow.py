"""Layer by layer: train the network so far a little, measure its last map, append a module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from googlenet.data.dataset import DataSet
from googlenet.data.loader import TrainingLoader
from googlenet.images import turbo_jpeg
from googlenet.images.augment import Augmentation
from googlenet.images.preprocess import Preprocessing, resize_size
from googlenet.kernels.optimize import restore
from googlenet.models.googlenet import GoogLeNet
from googlenet.models.table import Variant
from googlenet.runtime.console import Console
from googlenet.runtime.device import ComputeDevice
from googlenet.runtime.files import write_atomically
from googlenet.topology.gather import features_before
from googlenet.training.loop import Trainer
from googlenet.training.recipes import recipe_named


class InterruptedTraining(Exception):  # noqa: N818 - not an error
    """Training was asked to stop."""


class Growing:
    """The network so far.  `before` trains it for `epochs`, then gives its last map.

    size: of the training crops, in pixels.  Each finished training is kept in `folder`.
    """

    def __init__(
        self, data: DataSet, size: int, epochs: int, seed: int, folder: Path, console: Console
    ) -> None:
        self.data, self.epochs, self.seed = data, epochs, seed
        self.preprocessing = Preprocessing(size=size, resize_size=resize_size(size))
        self.folder, self.console = folder, console
        self.weights: dict[str, Tensor] = {}  # of the stages that are trained already

    def before(self, variant: Variant, row: str) -> Callable[[Tensor], Tensor] | None:
        """The map before module `row`; None where the training was interrupted."""
        generator = torch.Generator().manual_seed(self.seed)
        network = GoogLeNet(variant, len(self.data.classes), generator=generator)
        path = self.folder / f"before-{row}.safetensors"
        if path.is_file():
            network.load_state_dict(load_file(path))
        else:
            kept = {k: v for k, v in self.weights.items() if not k.startswith("classifier.")}
            network.load_state_dict(kept, strict=False)
            if not self.train(network, row):
                return None
            self.folder.mkdir(parents=True, exist_ok=True)
            state = {name: value.contiguous() for name, value in network.state_dict().items()}
            write_atomically(path, lambda target: save_file(state, target))
        self.weights = {k: v.clone() for k, v in network.state_dict().items()}
        return features_before(network.eval().requires_grad_(False), row)

    def train(self, network: GoogLeNet, row: str) -> bool:
        """Whether it came to the end."""
        p = self.preprocessing
        recipe = recipe_named("modern").for_model("bn", batch_norm=True, aux_heads=False)
        recipe = replace(recipe.with_epochs(self.epochs), weight_average="none", min_steps=0)
        decoder = "turbo" if turbo_jpeg.available() else "pillow"
        augmentation = Augmentation(recipe.augmentation(p), self.seed)
        loader = TrainingLoader(self.data.train, p, augmentation, decoder)
        trainer = Trainer(network, recipe, loader, seed=self.seed, machine=ComputeDevice())
        with self.console.bar(
            self.epochs * trainer.epoch_steps, f"train before {row}", unit="step"
        ) as bar:

            def after_step() -> None:
                bar.update()
                if self.console.interrupted:
                    raise InterruptedTraining

            try:
                while not trainer.finished:
                    trainer.train_epoch(after_step)
            except InterruptedTraining:
                return False
        restore(network)
        return True

    def remove(self) -> None:
        """The kept weights, once the table is written."""
        for path in self.folder.glob("before-*.safetensors"):
            path.unlink()
