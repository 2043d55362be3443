"""What decides how a network is trained, as a value, and its fields from text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from math import ceil, sqrt
from typing import Any, get_type_hints

from googlenet.images.augment import (
    Lighting,
    Photometric,
    RandomCrop,
    RandomResizedCrop,
    Step,
    mirror_if_allowed,
)
from googlenet.images.preprocess import INTERPOLATIONS, MARGIN, Preprocessing
from googlenet.models.init import INITIALISATIONS
from googlenet.runtime.errors import UsageError
from googlenet.training.balance import BALANCES
from googlenet.training.schedule import SCHEDULES

OPTIMIZERS = ("sgd", "muon")
AVERAGES = ("none", "mean", "ema")
LONGER = 10  # times the recipe's epochs are the most that few photos get
OFTEN = 20  # times that a run shows each photo are enough to learn it by heart
MANY = 100_000  # photos are too many for that
LEAST_SIDE = 32  # pixels of a training crop that is smaller than what the model sees


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a network is trained, but for data, size and seed.

    Every field can be set from the command line with `--set name=value`.  A run's settings hold
    every field: the default of a new one must be what was done before it was there.
    """

    name: str
    about: str  # source, cost and expected result
    variant: str = "bn"
    initialisation: str = "he"
    epochs: int = 20
    fewest_steps: int = 0  # of a run whose epochs nobody set; few photos get more epochs for it
    epoch_share: float = 1.0  # share of the photos that an epoch draws; by seed and epoch, which
    patience: int = 0  # epochs without a better validation after which the run ends; 0: never
    batch: int = 64
    optimizer: str = "sgd"  # with momentum; "muon" turns filters before batch normalisation
    learning_rate: float = 0.05  # at `batch` photos a step; another batch scales it in proportion
    momentum: float = 0.9
    nesterov: bool = False
    turn: float = 0.025  # muon: radians by which a step at the full rate turns a layer's filters
    rest_rate: float = 1.0  # muon: factor on the rate of what it does not turn
    weight_decay: float = 2e-4
    decay_biases: bool = False  # whether biases and normalisation are decayed too
    bias_rate: float = 1.0  # factor on the learning rate of biases
    plain_rate: float = 1.0  # factor on it for networks without batch normalisation
    early_rate: float = 0.1  # fine-tuning: factor on the rate of the tensors brought along
    freeze: str = ""  # the stage up to and including which nothing is trained
    schedule: str = "cosine"
    warmup: float = 0.0  # share of the run in which the rate rises from zero
    # The average of the weights that becomes the model.
    average: str = "ema"
    average_from: float = 0.5  # "mean": share of the run after which it begins
    average_decay: float = 0.998  # "ema": how much of it a step keeps
    # The loss.
    heads: float = 0.3  # weight of each auxiliary head; 0 trains without them
    label_smoothing: float = 0.0
    balance: str = "none"  # "weights" or "sampling": classes of unequal size count the same
    dropout: float = -1.0  # before the classifier; below 0: the variant's own
    head_dropout: float = -1.0  # before the auxiliary heads' classifiers; below 0 likewise
    # Sampling.
    crop: str = "area"  # "area": random area and aspect; "bvlc": random crop of the squashed photo
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    interpolations: tuple[str, ...] = ("bilinear",)
    sides: tuple[float, float] = (1.0, 1.0)  # crops in the first and last epoch, of the size
    photometric: bool = False
    lighting: float = 0.0
    # Share of the steps whose photos get a box of another (CutMix); below 0: `mixed_share`'s.
    mixing: float = 0.0
    # The side to which a photo is resized before the centre view is cut, in sides of that view.
    resize: float = MARGIN

    def __post_init__(self) -> None:
        choices: dict[str, Sequence[str]] = {
            "initialisation": tuple(INITIALISATIONS),
            "optimizer": OPTIMIZERS,
            "schedule": tuple(SCHEDULES),
            "average": AVERAGES,
            "balance": BALANCES,
            "crop": ("area", "bvlc"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                rule = f"{name} must be one of {', '.join(allowed)}"
                raise UsageError(f"{rule}, got {getattr(self, name)!r}")
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            values = value if isinstance(value, tuple) else (value,)
            if not all(low <= v <= high for v in values):
                own = f", or below 0 for {LEFT_OPEN[name]}" if name in LEFT_OPEN else ""
                raise UsageError(f"{name} must be from {max(0, low)} to {high}{own}, got {value}")
        for name in ("area", "aspect"):
            low, high = getattr(self, name)
            if low > high:
                raise UsageError(f"{name} must be a range, low,high, got {low},{high}")
        for interpolation in self.interpolations:
            if interpolation not in INTERPOLATIONS:
                known = ", ".join(INTERPOLATIONS)
                raise UsageError(f"interpolations must be among {known}, got {interpolation!r}")

    def augmentation(self, preprocessing: Preprocessing) -> tuple[Step, ...]:
        """What training does to a photo, in order."""
        size = preprocessing.size
        steps: list[Step] = []
        if self.crop == "bvlc":
            steps.append(RandomCrop(size))
        else:
            steps.append(RandomResizedCrop(size, self.area, self.aspect, self.interpolations))
        steps += mirror_if_allowed(preprocessing)
        if self.photometric:
            steps.append(Photometric())
        if self.lighting:
            steps.append(Lighting(self.lighting))
        return tuple(steps)

    def side(self, epoch: int, size: int) -> int:
        """The side of an epoch's training crops in pixels, where the model sees `size`.

        It goes in even steps from the first epoch's share of the size to the last's, to the
        nearest multiple of 8, and is 32 at least where the size is.
        """
        first, last = self.sides
        passed = min(1.0, epoch / (self.epochs - 1)) if self.epochs > 1 else 1.0
        share = first + (last - first) * passed
        return min(size, max(LEAST_SIDE, 8 * round(size * share / 8))) if share < 1 else size

    def settings(self) -> dict[str, Any]:
        """The fields as plain values, for JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def adapted(
        self, variant: str, batch: int | None = None, *, normalised: bool, heads: bool
    ) -> Recipe:
        """The recipe for a network and a batch, its learning rate worked out.

        The rate is in proportion to the batch (Goyal et al. 2017, arXiv 1706.02677), times
        `plain_rate` without batch normalisation, where Muon has nothing to turn either.
        """
        scaled = self.rescaled(batch or self.batch)
        return replace(
            scaled,
            variant=variant,
            optimizer=self.optimizer if normalised else "sgd",
            learning_rate=scaled.learning_rate * (1.0 if normalised else self.plain_rate),
            heads=self.heads if heads else 0.0,
        )

    def rescaled(self, batch: int, given: Collection[str] = ()) -> Recipe:
        """The recipe for another batch, its learning rate in proportion if it is not `given`.

        A step of Muon has one length whatever the gradient's: its angle goes with the square root
        (Malladi et al. 2022, arXiv 2205.10287, on optimizers that divide by the gradient's size).
        """
        factor = batch / self.batch
        rate, turn = self.learning_rate * factor, min(1.0, self.turn * sqrt(factor))
        return replace(
            self,
            batch=batch,
            learning_rate=self.learning_rate if "learning_rate" in given else rate,
            turn=self.turn if "turn" in given else turn,
        )

    def suited(self, photos: int) -> Recipe:
        """The recipe for so many photos: few get as many epochs as `fewest_steps` take."""
        steps = ceil(max(1, round(self.epoch_share * photos)) / self.batch)
        needed = min(ceil(self.fewest_steps / steps), LONGER * self.epochs)
        return replace(self, epochs=max(self.epochs, needed))

    def mixed_share(self, photos: int) -> float:
        """The share of a run's steps with CutMix, for so many photos to train on.

        Where the recipe leaves it open, half in a run that shows a photo often enough to learn
        it by heart, none in a shorter one, or one of very many photos (docs/study.md).
        """
        if self.mixing >= 0:
            return self.mixing
        often = self.epochs * self.epoch_share >= OFTEN and photos <= MANY
        return 0.5 if often else 0.0

    def lasting(self, epochs: int, epoch_share: float = 1.0) -> Recipe:
        """The recipe for a run of another length: here is what a short run does otherwise."""
        return replace(self, epochs=epochs, epoch_share=epoch_share)

    def with_settings(self, settings: dict[str, Any]) -> Recipe:
        """The recipe with fields replaced; strings become the field's type.

        Raises UsageError for a field that a recipe does not have or a value that does not fit.
        """
        return replace(self, **parsed(settings, "--set"))

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Recipe:
        """The recipe that `settings` wrote, whether or not there is still one of its name.

        Raises UsageError as `with_settings` does, TypeError where name or about are missing.
        """
        return cls(**parsed(settings, "the recipe"))


RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "fewest_steps": (0, 2**31),
    "epoch_share": (1e-6, 1),
    "patience": (0, 100_000),
    "batch": (1, 65_536),
    "learning_rate": (0, 1e4),
    "momentum": (0, 1),
    "turn": (1e-6, 1),
    "weight_decay": (0, 1e4),
    "bias_rate": (0, 1e4),
    "early_rate": (0, 1e4),
    "plain_rate": (0, 1e4),
    "rest_rate": (0, 1e4),
    "warmup": (0, 1),
    "average_from": (0, 1),
    "average_decay": (0, 1),
    "heads": (0, 1e4),
    "label_smoothing": (0, 1),
    "dropout": (-1, 1),
    "head_dropout": (-1, 1),
    "area": (1e-4, 1),
    "aspect": (0.01, 100),
    "sides": (0.1, 1),
    "lighting": (0, 10),
    "mixing": (-1, 1),
    "resize": (1, 4),
}
LEFT_OPEN = {  # what a value below 0 stands for
    "dropout": "the variant's own",
    "head_dropout": "the variant's own",
    "mixing": "what suits the run's length",
}


EXPECTED: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    tuple[float, float]: "two numbers, low,high",
    tuple[str, ...]: "names with commas between them",
}


def parsed(settings: dict[str, Any], where: str) -> dict[str, Any]:
    """Fields of a recipe, each of its type.  Raises UsageError, which says where it was said."""
    kinds = get_type_hints(Recipe)
    for name in sorted(set(settings) - set(kinds)):
        raise UsageError(f"{where} must name one of {', '.join(kinds)}, got {name!r}")
    return {k: parse(k, v, kinds[k]) for k, v in settings.items()}


def parse(name: str, value: Any, kind: Any) -> Any:
    """A field's value from what a user or a JSON file gives for it."""
    try:
        if kind in (tuple[float, float], tuple[str, ...]):
            parts = value.split(",") if isinstance(value, str) else list(value)
            if kind == tuple[str, ...]:
                return tuple(str(part) for part in parts)
            low, high = map(float, parts)
            return (low, high)
        if kind is bool and isinstance(value, str):
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
                value.lower()
            ]
        return kind(value)
    except (ValueError, KeyError, TypeError, OverflowError):
        raise UsageError(f"{name} must be {EXPECTED[kind]}, got {value!r}") from None
