"""What follows from a recipe and the model to begin with: the values that nobody gives."""

from __future__ import annotations

from dataclasses import replace

from googlenet.images.preprocess import LUMA_MEAN, LUMA_SCALE, Preprocessing, resize_size
from googlenet.inference.classifier import Classifier
from googlenet.models.registry import default_channels, default_size, has_batch_norm
from googlenet.training.recipe import Recipe


def recipe_for(
    recipe: Recipe, source: Classifier | None, variant: str | None = None, batch: int | None = None
) -> Recipe:
    """The recipe for a network and batch size; `source`: the model to fine-tune."""
    network = variant or (source.header.variant if source else recipe.variant)
    recipe = recipe.for_model(
        network,
        batch,
        batch_norm=has_batch_norm(network),
        # Untrained heads would disturb a trained network.
        aux_heads=source is None or bool(source.header.heads),
    )
    if source is None:
        return recipe
    p = source.preprocessing
    return replace(recipe, resize_ratio=p.resize_size / p.size)


def head_only_recipe(recipe: Recipe) -> Recipe:
    """One epoch without auxiliary classifiers, weight average, or augmentation."""
    return replace(
        recipe,
        name="head-only",
        description="logistic regression on the features of the center views",
        epochs=1,
        aux_loss_weight=0.0,
        weight_average="none",
        patience=0,
    )


def preprocessing_for(
    recipe: Recipe,
    source: Preprocessing | None,
    size: int | None = None,
    mode: str | None = None,
    mirror: bool = True,
) -> Preprocessing:
    """The preprocessing: that of the weights to fine-tune, or the recipe's."""
    size = size or (source.size if source else default_size(recipe.variant))
    base = source or Preprocessing(mode="squash" if recipe.crop == "bvlc" else "crop")
    if source is None and default_channels(recipe.variant) == 1:
        base = replace(base, channel_order="L", mean=LUMA_MEAN, scale=LUMA_SCALE)
    return replace(
        base,
        size=size,
        resize_size=resize_size(size, recipe.resize_ratio),
        mode=mode or base.mode,
        hflip=base.hflip and mirror,
    )
