"""All settings of a run, resolved, so that it can be read, repeated and resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from googlenet.data.cache import CACHES
from googlenet.data.dataset import SPLIT_RULES
from googlenet.data.loader import AUGMENTS, DECODERS
from googlenet.data.shuffle import SHUFFLES
from googlenet.images.preprocess import Preprocessing
from googlenet.runtime.device import PRECISIONS
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.training.recipe import Recipe, current_names


def setting(
    default: Any,
    *,
    choices: Sequence[str] = (),
    before: Any = MISSING,
    affects_results: bool = True,
) -> Any:
    """A field of Settings.

    before: its value in runs from before it existed.  affects_results: whether a resumed run must
    keep it.
    """
    metadata = {"choices": choices, "before": before, "affects_results": affects_results}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """A run's settings.  `googlenet train` fills in those that have an option of the same name.

    data: as the user gave it; weights: the model that fine-tuning starts from; time_limit: in
    seconds, for a resumed run or a machine that became slower: the recipe's epochs already fit
    into it; multilabel: force multi-label data; head_only: fit the classifier
    alone (`training.head_only`); decoder and augment change pixels slightly.
    """

    data: str = field(metadata={"affects_results": False})
    recipe: Recipe
    preprocessing: Preprocessing
    width: float = 1.0
    seed: int = 0
    precision: str = setting("auto", choices=PRECISIONS)
    weights: str | None = setting(None, affects_results=False)  # they are in the checkpoint
    workers: int = setting(2, affects_results=False)
    time_limit: float | None = setting(None, before=None)
    multilabel: bool = setting(False, before=False)
    head_only: bool = setting(False, before=False)
    decoder: str = setting("pillow", choices=DECODERS, before="pillow")
    shuffle: str = setting("full", choices=SHUFFLES, before="full")
    cache: str = setting("auto", choices=CACHES, before="none", affects_results=False)
    augment: str = setting("host", choices=AUGMENTS, before="host")
    split_rule: str = setting("image", choices=SPLIT_RULES, before="order")

    def __post_init__(self) -> None:
        for f in fields(self):
            value, choices = getattr(self, f.name), f.metadata.get("choices")
            if choices and value not in choices:
                raise UsageError(f"{f.name} must be one of {', '.join(choices)}, got {value!r}")
        if self.shuffle == "blocks" and self.recipe.balance == "balanced_sampler":
            raise UsageError("shuffle must be full with balance balanced_sampler, got blocks")
        if self.augment == "device":
            require_device_can(self.recipe)
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed must be from 0 to 2^63 − 1, got {self.seed}")

    def to_json(self) -> dict[str, Any]:
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        nested = {"recipe": self.recipe.to_json(), "preprocessing": self.preprocessing.to_json()}
        return plain | nested

    def affecting_results(self) -> dict[str, Any]:
        """What a resumed run must not change, as `to_json` has it."""
        names = [f.name for f in fields(self) if f.metadata.get("affects_results", True)]
        values = self.to_json()
        return {name: values[name] for name in names}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: Path | str = "settings.json") -> Settings:
        """The settings that `to_json` wrote, now or under old names.

        Independent of the recipes in the code.  Raises GoogLeNetError, which names `where`, for
        invalid values.
        """
        try:
            values = DEFAULTS_BEFORE | current_settings(values)
            types = get_type_hints(cls)
            plain = {
                f.name: of_type(f, values[f.name], types[f.name])
                for f in fields(cls)
                if f.name not in ("recipe", "preprocessing")
            }
            return cls(
                recipe=Recipe.from_json(values["recipe"]),
                preprocessing=Preprocessing.from_json(values["preprocessing"]),
                **plain,
            )
        except (
            AttributeError,
            KeyError,
            OverflowError,
            TypeError,
            ValueError,
            UsageError,
        ) as error:
            raise GoogLeNetError(f"{where}: cannot be used ({error})") from error


DEFAULTS_BEFORE = {
    f.name: f.metadata["before"]
    for f in fields(Settings)
    if f.metadata.get("before", MISSING) is not MISSING
}
RENAMED_SETTINGS = {"multi_label": "multilabel"}


def current_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of an earlier version's settings in today's names."""
    found = {RENAMED_SETTINGS.get(name, name): value for name, value in values.items()}
    if found.get("cache") == "disk":  # removed; a cache does not affect results
        found["cache"] = "auto"
    if isinstance(found.get("recipe"), Mapping):
        found["recipe"] = current_names(found["recipe"])
    return found


def of_type(setting: Field[Any], value: Any, hint: Any) -> Any:
    """The value, if it has the field's type; an int is a float, but a bool is not a number."""
    types = get_args(hint) or (hint,)
    if float in types:
        types += (int,)
    if not isinstance(value, types) or isinstance(value, bool) != (bool in types):
        raise TypeError(f"{setting.name} must not be {value!r}")
    return value


# The only values that `augment device` supports.
ON_DEVICE: dict[str, Any] = {
    "crop": "random_resized",
    "interpolations": ("bilinear",),
    "color_jitter": False,
    "pca_noise": 0.0,
}


def require_device_can(recipe: Recipe) -> None:
    """Raises UsageError for augmentation that only the host supports."""
    for name, supported in ON_DEVICE.items():
        value = getattr(recipe, name)
        if value != supported:
            shown = ",".join(value) if isinstance(value, tuple) else str(value).lower()
            raise UsageError(f"augment must be host with {name} {shown}, got device")
