"""The training of a detector: steps, epochs, and a state that a run can go on from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from googlenet.data.loader import epoch_order
from googlenet.detection.annotations import AnnotatedImage
from googlenet.detection.detector import Detector, crop_regions, network_input
from googlenet.detection.recipe import DetectionRecipe
from googlenet.detection.region_network import BACKGROUND
from googlenet.detection.sampling import Regions, mirror, sample
from googlenet.images.turbo_jpeg import load_image
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.memory import available_memory

MAX_GRADIENT = 10.0  # norm of the gradient of a step
MAP_SHARE = 0.25  # of the free memory that maps may take


class StepLoss(NamedTuple):
    """classes: cross-entropy.  boxes: the smooth L1 distance of steps."""

    classes: float
    boxes: float


@dataclass
class TrainingImage:
    """An image, its proposals, and in fast mode its maps, as they are and mirrored."""

    annotated: AnnotatedImage
    proposals: NDArray[np.float32]
    maps: dict[bool, Tensor]


class DetectorTrainer:
    """Trains a detector's network on images whose proposals are known.

    Every random choice is a function of (seed, epoch, image), so an interrupted run goes on as if
    it had not been.
    """

    def __init__(
        self,
        detector: Detector,
        images: Sequence[AnnotatedImage],
        proposals: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
        recipe: DetectionRecipe,
    ) -> None:
        self.detector, self.recipe = detector, recipe
        self.network = detector.network
        self.fast = detector.header.regions.mode == "fast"
        self.images = [TrainingImage(each, np.zeros((0, 4), np.float32), {}) for each in images]
        self.proposals = proposals
        self.map_bytes = int(MAP_SHARE * available_memory())
        self.step = 0
        trained = self.network.trained(whole=not self.fast)
        self.network.requires_grad_(False)
        for _, parameter in trained:
            parameter.requires_grad_(True)
        self.names = {id(p): name for name, p in trained}
        heads = ("body.classifier.", "box_regression.")
        groups = [
            {
                "params": [p for n, p in trained if n.startswith(heads) == head and p.ndim in dims],
                "weight_decay": decay,
                "lr_scale": recipe.head_lr if head else 1.0,
            }
            for head in (False, True)
            for dims, decay in (((1,), 0.0), ((2, 4), recipe.weight_decay))
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.lr)

    @property
    def steps_per_epoch(self) -> int:
        return max(1, len(self.images) // self.recipe.images)

    @property
    def steps(self) -> int:
        return self.recipe.epochs * self.steps_per_epoch

    def prepare(self, index: int) -> None:
        """Find the proposals of an image, and its maps while there is memory for them."""
        image = self.images[index]
        pixels = np.asarray(load_image(image.annotated.path))
        image.proposals = self.proposals(pixels)
        if self.fast:
            for mirrored in (False, True):
                if self.map_bytes > 0:
                    kept = self.compute_map(pixels, mirrored)
                    self.map_bytes -= kept.numel() * 2
                    image.maps[mirrored] = kept

    @torch.no_grad()
    def compute_map(self, pixels: NDArray[np.uint8], mirrored: bool) -> Tensor:
        """In half precision, whether it is kept or not, so that memory does not matter."""
        header = self.detector.header
        x, _ = network_input(pixels, header.regions.side, header.preprocessing, mirrored)
        return self.network.shared_map(x).half()

    def train_step(self) -> StepLoss:
        """One step on the next images.  Raises GoogLeNetError where the loss is not finite."""
        recipe = self.recipe
        epoch, at = divmod(self.step, self.steps_per_epoch)
        order = epoch_order(len(self.images), recipe.seed, epoch)
        chosen = order[at * recipe.images : (at + 1) * recipe.images]
        self.network.train()
        torch.manual_seed(recipe.seed * 1_000_003 + self.step)  # for dropout
        parts = [self.forward(int(index), epoch) for index in chosen]
        logits = torch.cat([found for found, _, _ in parts])
        steps = torch.cat([found for _, found, _ in parts])
        labels = torch.from_numpy(np.concatenate([regions.labels for _, _, regions in parts]))
        targets = torch.from_numpy(np.concatenate([regions.steps for _, _, regions in parts]))
        classes = F.cross_entropy(logits, labels)
        objects = labels != BACKGROUND
        boxes = F.smooth_l1_loss(steps[objects], targets[objects], reduction="sum")
        boxes = boxes / len(labels)
        loss = classes + boxes
        if not torch.isfinite(loss):
            raise GoogLeNetError(
                f"the loss of step {self.step} is not finite: lower the rate, --lr"
            )
        self.set_rate()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT)
        self.optimizer.step()
        self.step += 1
        return StepLoss(classes.item(), boxes.item())

    def forward(self, index: int, epoch: int) -> tuple[Tensor, Tensor, Regions]:
        """Logits and steps of an image's regions, and what they should be."""
        image, recipe = self.images[index], self.recipe
        rng = np.random.default_rng((recipe.seed, epoch, index))
        header = self.detector.header
        mirrored = bool(rng.integers(2)) and header.preprocessing.hflip
        size = (image.annotated.width, image.annotated.height)
        regions = sample(image.annotated.truth, image.proposals, size, recipe, rng)
        if self.fast:
            seen = mirror(regions, size[0]) if mirrored else regions
            scale = self.scale(size)
            shared = image.maps.get(mirrored)
            if shared is None:
                shared = self.compute_map(np.asarray(load_image(image.annotated.path)), mirrored)
            boxes = torch.from_numpy(seen.boxes * scale)
            return *self.network.regions(shared.float(), boxes), seen
        pixels = np.asarray(load_image(image.annotated.path))
        p, context = header.preprocessing, header.regions.context
        crops = crop_regions(pixels, regions.boxes, context, p, mirrored)
        seen = mirror(regions, size[0]) if mirrored else regions
        return *self.network.crops(crops), seen

    def scale(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """What boxes of an image are multiplied by, as in `network_input`."""
        factor = self.detector.header.regions.side / max(size)
        sides = [max(32, round(side * factor)) / side for side in size]
        return np.array(sides * 2, np.float32)

    def set_rate(self) -> None:
        """A linear warmup, then a cosine to 0."""
        recipe = self.recipe
        warm = min(1.0, (self.step + 1) / max(1, min(recipe.warmup, self.steps)))
        cosine = 0.5 * (1 + np.cos(np.pi * self.step / self.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.lr * group["lr_scale"] * warm * float(cosine)

    def state(self) -> dict[str, Tensor]:
        """Network and optimizer: what `restore` takes."""
        found = {f"network/{name}": t for name, t in self.network.state_dict().items()}
        for parameter, values in self.optimizer.state.items():
            for key, value in values.items():
                found[f"optimizer/{key}/{self.names[id(parameter)]}"] = value
        return found

    def restore(self, tensors: dict[str, Tensor], step: int) -> None:
        """Go on from a state.  Raises KeyError, RuntimeError for that of another network."""
        own = {
            n.removeprefix("network/"): t for n, t in tensors.items() if n.startswith("network/")
        }
        self.network.load_state_dict(own)
        self.step = step
        if not step:
            return
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                name = self.names[id(parameter)]
                self.optimizer.state[parameter] = {
                    key: tensors[f"optimizer/{key}/{name}"].clone()
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }
