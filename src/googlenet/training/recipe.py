"""A training recipe: its fields, their ranges, and parsing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import ceil, sqrt
from typing import Any, get_type_hints

from googlenet.images.augment import (
    ColorJitter,
    PCANoise,
    RandomCrop,
    RandomResizedCrop,
    Step,
    flip_if_allowed,
)
from googlenet.images.preprocess import INTERPOLATIONS, RESIZE_RATIO, Preprocessing
from googlenet.models.init import INITIALIZATIONS
from googlenet.runtime.errors import UsageError
from googlenet.training.balance import BALANCES
from googlenet.training.schedule import SCHEDULES

OPTIMIZERS = ("sgd", "muon")
WEIGHT_AVERAGES = ("none", "mean", "ema")
CROPS = ("random_resized", "bvlc")
MAX_EPOCHS_FACTOR = 10  # a small dataset gets at most this many times the recipe's epochs
MEMORIZATION_EPOCHS = 20  # epochs after which a run has memorized its training images
MEMORIZATION_IMAGES = 100_000  # a larger dataset is not memorized
MIN_PROGRESSIVE_SIZE = 32  # pixels


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a network is trained except data, image size and seed.

    Every field can be set on the command line with `--set name=value`.  settings.json holds every
    field, so the default of a new field must reproduce the behavior from before it existed.
    """

    name: str
    description: str  # source, cost and expected result
    variant: str = "bn"
    initialization: str = "he"
    epochs: int = 20
    min_steps: int = 0  # a small dataset gets more epochs until the run has this many steps
    epoch_fraction: float = 1.0  # of the training images, drawn anew in each epoch
    patience: int = 0  # epochs without improvement before early stopping; 0: never
    batch: int = 64
    optimizer: str = "sgd"  # with momentum; "muon" orthogonalizes steps of normalized filters
    learning_rate: float = 0.05  # at batch size `batch`; scales linearly with --batch
    momentum: float = 0.9
    nesterov: bool = False
    muon_lr: float = 0.025  # radians by which a step rotates a layer's filters at the peak rate
    non_muon_lr_scale: float = 1.0  # with muon: factor on learning_rate for the other parameters
    weight_decay: float = 2e-4
    bias_lr_scale: float = 1.0
    no_bn_lr_scale: float = 1.0  # factor on learning_rate for networks without batch normalization
    pretrained_lr_scale: float = 0.1  # fine-tuning: factor on it for pretrained tensors
    freeze: str = ""  # every stage up to and including this one is frozen
    schedule: str = "cosine"
    warmup_fraction: float = 0.0  # of the run: linear warm-up from zero
    # The weight average that becomes the model.
    weight_average: str = "ema"
    polyak_start: float = 0.5  # "mean": fraction of the run after which averaging starts
    ema_decay: float = 0.998  # "ema": per step
    # Loss.
    aux_loss_weight: float = 0.3  # of each auxiliary head; 0 trains without them
    label_smoothing: float = 0.0
    balance: str = "none"  # for imbalanced classes: "class_weights" or "balanced_sampler"
    dropout: float = -1.0  # before the classifier; below 0: the variant's own
    head_dropout: float = -1.0  # before the auxiliary classifiers; below 0: the variant's own
    # Augmentation.
    crop: str = "random_resized"  # or "bvlc": random crop of the squashed image
    crop_scale: tuple[float, float] = (0.08, 1.0)  # fraction of the image's area
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width / height
    interpolations: tuple[str, ...] = ("bilinear",)
    progressive_resize: tuple[float, float] = (1.0, 1.0)  # first and last crop size / image size
    color_jitter: bool = False
    pca_noise: float = 0.0  # standard deviation
    cutmix_prob: float = 0.0  # per step; below 0: by the length of the run, see `cutmix_prob_for`
    resize_ratio: float = RESIZE_RATIO  # evaluation: resize size / center view size

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                rule = f"{name} must be one of {', '.join(allowed)}"
                raise UsageError(f"{rule}, got {getattr(self, name)!r}")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            values = value if isinstance(value, tuple) else (value,)
            if not all(low <= v <= high for v in values):
                own = f", or below 0 for {DEFAULT_BELOW_0[name]}" if name in DEFAULT_BELOW_0 else ""
                raise UsageError(f"{name} must be from {max(0, low)} to {high}{own}, got {value}")
        for name in ("crop_scale", "crop_ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise UsageError(f"{name} must be a range, low,high, got {low},{high}")
        for interpolation in self.interpolations:
            if interpolation not in INTERPOLATIONS:
                known = ", ".join(INTERPOLATIONS)
                raise UsageError(f"interpolations must be among {known}, got {interpolation!r}")

    def augmentation(self, preprocessing: Preprocessing) -> tuple[Step, ...]:
        """The augmentation of a training image, in order."""
        size = preprocessing.size
        steps: list[Step] = []
        if self.crop == "bvlc":
            steps.append(RandomCrop(size))
        else:
            crop = RandomResizedCrop(size, self.crop_scale, self.crop_ratio, self.interpolations)
            steps.append(crop)
        steps += flip_if_allowed(preprocessing)
        if self.color_jitter:
            steps.append(ColorJitter())
        if self.pca_noise:
            steps.append(PCANoise(self.pca_noise))
        return tuple(steps)

    def crop_size(self, epoch: int, image_size: int) -> int:
        """Side of an epoch's training crops in pixels (progressive resizing).

        Interpolated linearly between the first and last epoch and rounded to a multiple of 8;
        at least 32, at most image_size.
        """
        first, last = self.progressive_resize
        progress = min(1.0, epoch / (self.epochs - 1)) if self.epochs > 1 else 1.0
        ratio = first + (last - first) * progress
        if ratio >= 1:
            return image_size
        return min(image_size, max(MIN_PROGRESSIVE_SIZE, 8 * round(image_size * ratio / 8)))

    def to_json(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def for_model(
        self, variant: str, batch: int | None = None, *, batch_norm: bool, aux_heads: bool
    ) -> Recipe:
        """The recipe for a network and batch size, with the learning rate worked out.

        The rate scales linearly with the batch size (Goyal et al. 2017, arXiv 1706.02677) and by
        `no_bn_lr_scale` without batch normalization, where Muon has nothing to rotate either.
        """
        scaled = self.with_batch_size(batch or self.batch)
        return replace(
            scaled,
            variant=variant,
            optimizer=self.optimizer if batch_norm else "sgd",
            learning_rate=scaled.learning_rate * (1.0 if batch_norm else self.no_bn_lr_scale),
            aux_loss_weight=self.aux_loss_weight if aux_heads else 0.0,
        )

    def with_batch_size(self, batch: int, overrides: Collection[str] = ()) -> Recipe:
        """The recipe for another batch size; learning rates in `overrides` stay as they are.

        `learning_rate` scales linearly.  A Muon step has the same length for any gradient, so
        `muon_lr` scales with the square root (Malladi et al. 2022, arXiv 2205.10287, for
        optimizers that divide by the gradient's magnitude).
        """
        factor = batch / self.batch
        muon_lr = min(1.0, self.muon_lr * sqrt(factor))
        return replace(
            self,
            batch=batch,
            learning_rate=self.learning_rate * (1 if "learning_rate" in overrides else factor),
            muon_lr=self.muon_lr if "muon_lr" in overrides else muon_lr,
        )

    def with_min_steps(self, images: int) -> Recipe:
        """The recipe for this many training images: few get more epochs, to reach `min_steps`."""
        epoch_steps = ceil(max(1, round(self.epoch_fraction * images)) / self.batch)
        needed = min(ceil(self.min_steps / epoch_steps), MAX_EPOCHS_FACTOR * self.epochs)
        return replace(self, epochs=max(self.epochs, needed))

    def cutmix_prob_for(self, images: int) -> float:
        """The fraction of a run's steps with CutMix, for this many training images.

        Unless the recipe sets it: 0.5 in a run long enough to memorize its images, else 0
        (docs/ablations.md).
        """
        if self.cutmix_prob >= 0:
            return self.cutmix_prob
        long = self.epochs * self.epoch_fraction >= MEMORIZATION_EPOCHS
        return 0.5 if long and images <= MEMORIZATION_IMAGES else 0.0

    def with_epochs(self, epochs: int, epoch_fraction: float = 1.0) -> Recipe:
        """The recipe for a run of another length: whatever a short run does differently."""
        return replace(self, epochs=epochs, epoch_fraction=epoch_fraction)

    def with_settings(self, settings: Mapping[str, Any]) -> Recipe:
        """The recipe with fields replaced; strings are parsed to the field's type.

        Raises UsageError for an unknown field or an invalid value.
        """
        return replace(self, **parse_fields(settings, "--set"))

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_json` wrote, now or under the fields' old names.

        Raises UsageError like `with_settings`, TypeError if name or description is missing.
        """
        return cls(**parse_fields(current_names(settings), "the recipe"))


CHOICES: dict[str, Sequence[str]] = {
    "initialization": tuple(INITIALIZATIONS),
    "optimizer": OPTIMIZERS,
    "schedule": tuple(SCHEDULES),
    "weight_average": WEIGHT_AVERAGES,
    "balance": BALANCES,
    "crop": CROPS,
}
RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "min_steps": (0, 2**31),
    "epoch_fraction": (1e-6, 1),
    "patience": (0, 100_000),
    "batch": (1, 65_536),
    "learning_rate": (0, 1e4),
    "momentum": (0, 1),
    "muon_lr": (1e-6, 1),
    "weight_decay": (0, 1e4),
    "bias_lr_scale": (0, 1e4),
    "pretrained_lr_scale": (0, 1e4),
    "no_bn_lr_scale": (0, 1e4),
    "non_muon_lr_scale": (0, 1e4),
    "warmup_fraction": (0, 1),
    "polyak_start": (0, 1),
    "ema_decay": (0, 1),
    "aux_loss_weight": (0, 1e4),
    "label_smoothing": (0, 1),
    "dropout": (-1, 1),
    "head_dropout": (-1, 1),
    "crop_scale": (1e-4, 1),
    "crop_ratio": (0.01, 100),
    "progressive_resize": (0.1, 1),
    "pca_noise": (0, 10),
    "cutmix_prob": (-1, 1),
    "resize_ratio": (1, 4),
}
DEFAULT_BELOW_0 = {  # what a value below 0 stands for
    "dropout": "the variant's own",
    "head_dropout": "the variant's own",
    "cutmix_prob": "a default that fits the run's length",
}

# Names of before, in scripts and in the settings.json of earlier runs.
RENAMED_FIELDS = {
    "about": "description",
    "initialisation": "initialization",
    "fewest_steps": "min_steps",
    "epoch_share": "epoch_fraction",
    "turn": "muon_lr",
    "rest_rate": "non_muon_lr_scale",
    "bias_rate": "bias_lr_scale",
    "plain_rate": "no_bn_lr_scale",
    "early_rate": "pretrained_lr_scale",
    "warmup": "warmup_fraction",
    "average": "weight_average",
    "average_from": "polyak_start",
    "average_decay": "ema_decay",
    "heads": "aux_loss_weight",
    "area": "crop_scale",
    "aspect": "crop_ratio",
    "sides": "progressive_resize",
    "photometric": "color_jitter",
    "lighting": "pca_noise",
    "mixing": "cutmix_prob",
    "resize": "resize_ratio",
}
RENAMED_VALUES = {
    ("balance", "weights"): "class_weights",
    ("balance", "sampling"): "balanced_sampler",
    ("crop", "area"): "random_resized",
}
REMOVED_FIELDS: dict[str, Any] = {"decay_biases": False}  # and the only value still accepted


def current_names(
    settings: Mapping[str, Any], notify: Callable[[str, str], object] = lambda old, new: None
) -> dict[str, Any]:
    """A recipe's fields with old names and values translated; `notify` is called for each."""
    found = {}
    for old, value in settings.items():
        if old in REMOVED_FIELDS and value == REMOVED_FIELDS[old]:
            continue
        name = RENAMED_FIELDS.get(old, old)
        if name != old:
            notify(old, name)
        new = RENAMED_VALUES.get((name, value), value) if isinstance(value, str) else value
        if new != value:
            notify(f"{name}={value}", f"{name}={new}")
        found[name] = new
    return found


EXPECTED: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    tuple[float, float]: "two numbers, low,high",
    tuple[str, ...]: "names with commas between them",
}


def parse_fields(settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Fields of a recipe, each of its type.  Raises UsageError, which names `where`."""
    types = get_type_hints(Recipe)
    for name in sorted(set(settings) - set(types)):
        raise UsageError(f"{where} must name one of {', '.join(types)}, got {name!r}")
    return {k: parse(k, v, types[k]) for k, v in settings.items()}


def parse(name: str, value: Any, type_: Any) -> Any:
    """A field's value from what a user or a JSON file gives for it."""
    try:
        if type_ in (tuple[float, float], tuple[str, ...]):
            parts = value.split(",") if isinstance(value, str) else list(value)
            if type_ == tuple[str, ...]:
                return tuple(str(part) for part in parts)
            low, high = map(float, parts)
            return (low, high)
        if type_ is bool and isinstance(value, str):
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
                value.lower()
            ]
        return type_(value)
    except (ValueError, KeyError, TypeError, OverflowError):
        raise UsageError(f"{name} must be {EXPECTED[type_]}, got {value!r}") from None
