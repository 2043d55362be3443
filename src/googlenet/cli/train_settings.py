"""From the options of `train` to what a run is: settings, and a plan for this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from googlenet import parallel
from googlenet.cli.options import read_variant
from googlenet.runtime.errors import UsageError

if TYPE_CHECKING:
    from googlenet.images.preprocess import Preprocessing
    from googlenet.inference.classifier import Classifier
    from googlenet.training.plan import Plan
    from googlenet.training.recipe import Recipe
    from googlenet.training.run_folder import RunFolder
    from googlenet.training.settings import Settings


def resumed_settings(args: argparse.Namespace, folder: RunFolder) -> Settings:
    """The settings of the run to resume.  Raises UsageError if the options would change them."""
    if args.out is None:
        raise UsageError("--resume needs --out, the folder of the run to resume")
    given = [name for name in args.run_options if getattr(args, name) is not None]
    if given:
        option = "--" + given[0].replace("_", "-")
        raise UsageError(
            f"--resume takes the run's own settings, got {option}: leave it out; to train with "
            f"other settings or for more epochs, start a new run from its model: googlenet train "
            f"{quote(args.data)} --weights {quote(str(args.out))} --epochs N --out NEW_RUN"
        )
    return stored_settings(args, folder)


def stored_settings(args: argparse.Namespace, folder: RunFolder) -> Settings:
    """The settings in the folder, with those of the options that do not affect results."""
    from googlenet.images import turbo_jpeg
    from googlenet.training.settings import Settings

    settings = Settings.from_json(folder.read_settings(), folder.settings)
    if settings.decoder == "turbo":
        turbo_jpeg.require()
    cache = args.cache or settings.cache
    return replace(settings, data=args.data, workers=args.workers, cache=cache)


def cache_kind(value: str) -> str:
    """What --cache takes, and "disk" of earlier versions."""
    if value != "disk":
        return value
    print("notice: --cache disk is now --cache auto", file=sys.stderr)
    return "auto"


def resolve(args: argparse.Namespace, source: Classifier | None) -> Settings:
    """The settings that the options mean, with every default filled in."""
    from googlenet.images import turbo_jpeg
    from googlenet.training.settings import Settings

    if args.decoder == "turbo":
        turbo_jpeg.require()
    if args.head_only:
        require_head_only(args, source)
    overrides = recipe_fields(args.set, notice)
    recipe = resolve_recipe(args, overrides, source)
    defaults: dict[str, Any] = {
        "width": source.header.width if source else 1.0,
        "decoder": "turbo" if turbo_jpeg.available() else "pillow",
        "shuffle": default_shuffle(args.data, recipe),
    }
    names = [field.name for field in fields(Settings) if field.name != "preprocessing"]
    given = {
        name: value for name, value in vars(args).items() if name in names and value is not None
    }
    return Settings(
        **(defaults | given | {"recipe": recipe}),
        preprocessing=preprocessing(args, recipe, source.preprocessing if source else None),
    )


# What decides how the whole network is trained; --head-only trains none of it.
TRAINING_OPTIONS = ("recipe", "epochs", "time_limit", "patience", "batch", "width", "balance",
                    "set", "augment", "shuffle")  # fmt: skip


def require_head_only(args: argparse.Namespace, source: Classifier | None) -> None:
    """Raises UsageError for options or weights that --head-only cannot be combined with."""
    from googlenet.models.baselines import Baseline

    for name in TRAINING_OPTIONS:
        if getattr(args, name) is not None:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"--head-only trains no other layers, got {option}: leave it out")
    if source is None:
        raise UsageError("--head-only needs --weights, the model that computes the features")
    if isinstance(source.network, Baseline):
        raise UsageError(f"--head-only needs a GoogLeNet as --weights, got {source.variant}")
    if parallel.world_size() > 1:
        raise UsageError(f"--head-only runs in one process, got {parallel.world_size()}")


def resolve_recipe(
    args: argparse.Namespace, overrides: dict[str, Any], source: Classifier | None
) -> Recipe:
    """The recipe for the network and batch size; `overrides` are not scaled."""
    from googlenet.models.table import variant_name
    from googlenet.training.defaults import head_only_recipe, recipe_for
    from googlenet.training.recipe import current_names
    from googlenet.training.recipes import recipe_named

    recipe = recipe_named(args.recipe or "modern").with_settings(overrides)
    given = overrides.get("variant", args.variant)
    overrides = {name: value for name, value in overrides.items() if name != "variant"}
    of_source = source.header.variant if source else recipe.variant
    network = read_variant(given) if given else of_source
    if source and network != source.header.variant:
        name = variant_name(network)
        raise UsageError(f"--variant must be that of --weights, {source.variant}, got {name}")
    recipe = recipe_for(recipe, source, network, None if args.batch == "auto" else args.batch)
    options = {name: getattr(args, name) for name in ("epochs", "balance", "patience")}
    options = current_names({name: value for name, value in options.items() if value})
    recipe = recipe.with_settings(options | overrides)
    return head_only_recipe(recipe) if args.head_only else recipe


def default_shuffle(data: str, recipe: Recipe) -> str:
    """A few shards at a time if they are downloaded first, unless a sampler needs all of them."""
    return "blocks" if "://" in data and recipe.balance != "balanced_sampler" else "full"


def plan(args: argparse.Namespace, settings: Settings, began: float) -> Plan:
    """What the options leave to be determined on this machine."""
    from googlenet.training.plan import Plan
    from googlenet.training.time_budget import TimeBudget

    fields = recipe_fields(args.set)
    if args.time_limit and "epochs" in fields:
        raise UsageError("--time-limit takes the maximum from --epochs, got --set epochs=…")
    return Plan(
        scale_epochs=not settings.head_only
        and args.epochs is None
        and args.time_limit is None
        and "epochs" not in fields,
        find_batch=args.batch == "auto",
        overrides=frozenset(fields),
        time_budget=TimeBudget(settings.time_limit, began=began) if settings.time_limit else None,
        max_epochs=args.epochs,
        views=args.views,
        label_check_images=args.label_issues,
    )


def preprocessing(
    args: argparse.Namespace, recipe: Recipe, source: Preprocessing | None
) -> Preprocessing:
    """The preprocessing: that of the weights to fine-tune, or the recipe's."""
    from googlenet.data.load_data import BUILT_IN
    from googlenet.training.defaults import preprocessing_for

    built_in = args.data in BUILT_IN and not Path(args.data).exists()
    size = args.size or (64 if built_in and source is None else None)
    return preprocessing_for(
        recipe, source, size, args.mode, mirror=not (args.no_mirror or built_in)
    )


def recipe_fields(
    assignments: list[str] | None, notify: Callable[[str, str], object] = lambda old, new: None
) -> dict[str, Any]:
    """The recipe fields that --set overrides, by their current names."""
    from googlenet.training.recipe import current_names

    return current_names(dict(map(assignment, assignments or [])), notify)


def notice(old: str, new: str) -> None:
    print(f"notice: --set {old} is now --set {new}", file=sys.stderr)


def assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set must be NAME=VALUE, got {text!r}")
    if name in ("name", "description", "about"):  # these identify the recipe
        raise UsageError(f"--set must change what a recipe does, got {text!r}")
    return name, value
