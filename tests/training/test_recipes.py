"""Recipes as values: what the papers say, what a user may set."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from googlenet.images.augment import (
    ColorJitter,
    HorizontalFlip,
    PCANoise,
    RandomCrop,
    RandomResizedCrop,
)
from googlenet.images.preprocess import Preprocessing
from googlenet.models.cost import NAMES
from googlenet.runtime.errors import UsageError
from googlenet.training.recipe import REMOVED_FIELDS, RENAMED_FIELDS, Recipe
from googlenet.training.recipes import BVLC, BVLC_STEP, MODERN, PAPER, RECIPES, recipe_named

SMALL = Preprocessing(size=32, resize_size=37)


def test_paper_does_what_section_6_says() -> None:
    assert (PAPER.momentum, PAPER.schedule, PAPER.weight_average) == (0.9, "step", "mean")
    assert (PAPER.variant, PAPER.aux_loss_weight) == ("paper", 0.3)
    crop, mirror, photometric, lighting = PAPER.augmentation(SMALL)
    assert isinstance(crop, RandomResizedCrop)
    assert (crop.scale, crop.ratio) == ((0.08, 1.0), (3 / 4, 4 / 3))
    assert set(crop.interpolations) == {"bilinear", "area", "nearest", "bicubic"}
    assert (mirror, photometric) == (HorizontalFlip(), ColorJitter((0.5, 1.5)))
    assert lighting == PCANoise(0.1)


def test_bvlc_does_what_its_prototxt_says() -> None:
    """quick_solver.prototxt: base_lr 0.01, "poly" power 0.5, momentum 0.9, weight_decay 2e-4."""
    assert (BVLC.learning_rate, BVLC.schedule, BVLC.momentum) == (0.01, "polynomial", 0.9)
    assert (BVLC.weight_decay, BVLC.bias_lr_scale) == (2e-4, 2.0)
    assert (BVLC.batch, BVLC.initialization, BVLC.weight_average) == (32, "bvlc", "none")
    assert BVLC.augmentation(SMALL) == (RandomCrop(32), HorizontalFlip())
    assert (BVLC_STEP.schedule, BVLC_STEP.epochs) == ("step", 250)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe(recipe: Recipe) -> None:
    assert RECIPES[recipe.name] is recipe is recipe_named(recipe.name)
    assert recipe.variant in NAMES
    assert recipe.description
    assert MODERN.with_settings(json.loads(json.dumps(recipe.to_json()))) == recipe
    without = recipe.augmentation(Preprocessing(size=32, resize_size=37, hflip=False))
    assert HorizontalFlip() in recipe.augmentation(SMALL)
    assert without == tuple(s for s in recipe.augmentation(SMALL) if s != HorizontalFlip())


def test_recipe_adapts_to_batch_and_network() -> None:
    """In proportion to the batch (Goyal et al. 2017, arXiv 1706.02677, section 2.1)."""
    recipe = MODERN.with_settings({"no_bn_lr_scale": 0.25})
    plain = recipe.for_model("paper", 128, batch_norm=False, aux_heads=False)
    assert (plain.variant, plain.batch, plain.aux_loss_weight) == ("paper", 128, 0)
    assert plain.learning_rate == pytest.approx(MODERN.learning_rate * 128 / 64 * 0.25)
    assert MODERN.for_model("bn", batch_norm=True, aux_heads=True) == MODERN
    smaller = MODERN.with_batch_size(MODERN.batch // 4)
    assert (smaller.learning_rate, smaller.muon_lr) == (
        MODERN.learning_rate / 4,
        MODERN.muon_lr / 2,
    )
    assert MODERN.with_batch_size(16, ("muon_lr",)) == replace(
        MODERN.with_batch_size(16), muon_lr=MODERN.muon_lr
    )


def test_few_images_get_more_epochs() -> None:
    recipe = MODERN.with_settings({"min_steps": 300, "epochs": 20, "batch": 64})
    assert (
        recipe.with_min_steps(900) == recipe == recipe.with_min_steps(1_000_000)
    )  # 15 steps an epoch
    found = {photos: recipe.with_min_steps(photos).epochs for photos in (900, 890, 500, 100, 2)}
    assert found == {900: 20, 890: 22, 500: 38, 100: 150, 2: 200}
    assert recipe.with_min_steps(500) == replace(recipe, epochs=38)
    assert (
        replace(recipe, epoch_fraction=0.1).with_min_steps(1000).epochs
        == recipe.with_min_steps(100).epochs
    )
    assert PAPER.with_min_steps(1) == PAPER
    said = {photos: MODERN.with_min_steps(photos).epochs for photos in (100, 500, 1_900, 1_000_000)}
    assert said == {100: 200, 500: 75, 1_900: 20, 1_000_000: 20}  # docs/ablations.md


@pytest.mark.parametrize(
    ("epochs", "share", "photos", "found"),
    [
        (20, 1.0, 500, 0.5),
        (20, 1.0, 100_000, 0.5),
        (20, 1.0, 100_001, 0.0),
        (19, 1.0, 500, 0.0),
        (39, 0.5, 500, 0.0),
        (40, 0.5, 500, 0.5),
    ],
)
def test_long_runs_mix_images(epochs: int, share: float, photos: int, found: float) -> None:
    recipe = replace(MODERN, epochs=epochs, epoch_fraction=share)
    assert recipe.cutmix_prob_for(photos) == found
    assert replace(recipe, cutmix_prob=0.25).cutmix_prob_for(photos) == 0.25
    assert PAPER.cutmix_prob_for(photos) == 0


def test_crops_go_from_the_first_side_to_the_last_in_even_steps() -> None:
    growing = MODERN.with_settings({"progressive_resize": "0.5,0.875", "epochs": 4})
    assert [growing.crop_size(epoch, 128) for epoch in range(4)] == [64, 80, 96, 112]
    assert growing.crop_size(7, 128) == 112  # of a run that is over
    assert [growing.crop_size(epoch, 48) for epoch in range(4)] == [32, 32, 32, 40]
    assert [growing.crop_size(epoch, 28) for epoch in range(4)] == [28] * 4
    falling = MODERN.with_settings({"progressive_resize": "1,0.5", "epochs": 3})
    assert [falling.crop_size(epoch, 100) for epoch in range(3)] == [100, 72, 48]
    assert growing.with_epochs(1).crop_size(0, 128) == 112
    assert [PAPER.crop_size(epoch, 227) for epoch in (0, 30)] == [227, 227]


def test_recipe_that_does_not_exist() -> None:
    with pytest.raises(
        UsageError, match="recipe must be one of modern, paper, bvlc, bvlc-step, got"
    ):
        recipe_named("best")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("epochs", "7", 7),
        ("learning_rate", "1e-3", 1e-3),
        ("nesterov", "no", False),
        ("color_jitter", "TRUE", True),
        ("crop_scale", "0.2,0.9", (0.2, 0.9)),
        ("interpolations", "area,nearest", ("area", "nearest")),
        ("freeze", "inception_3a", "inception_3a"),
    ],
)
def test_settings_from_text(name: str, text: str, value: Any) -> None:
    assert getattr(MODERN.with_settings({name: text}), name) == value


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": "1"}, "--set must name one of .*learning_rate.*, got 'rate'"),
        ({"epochs": "many"}, "epochs must be a whole number, got 'many'"),
        ({"epochs": "1.5"}, "epochs must be a whole number, got '1.5'"),
        ({"epochs": "0"}, "epochs must be from 1 to 100000, got 0"),
        ({"learning_rate": "-1"}, "learning_rate must be from 0 to 10000.0, got -1"),
        ({"learning_rate": "nan"}, "learning_rate must be from 0 to 10000.0, got nan"),
        ({"momentum": "inf"}, "momentum must be from 0 to 1, got inf"),
        ({"nesterov": "perhaps"}, "nesterov must be true or false, got 'perhaps'"),
        ({"crop_scale": "0.5"}, "crop_scale must be two numbers, low,high, got '0.5'"),
        ({"crop_scale": "0.9,0.2"}, "crop_scale must be a range, low,high, got 0.9,0.2"),
        (
            {"cutmix_prob": "2"},
            "cutmix_prob must be from 0 to 1, or below 0 for a default that fits",
        ),
        ({"head_dropout": "2"}, "head_dropout must be from 0 to 1, or below 0 for the variant's"),
        ({"crop_scale": "0,1"}, r"crop_scale must be from 0.0001 to 1, got \(0.0, 1.0\)"),
        ({"schedule": "wave"}, "schedule must be one of constant, .*, got 'wave'"),
        (
            {"weight_average": "median"},
            "weight_average must be one of none, mean, ema, got 'median'",
        ),
        ({"crop": "none"}, "crop must be one of random_resized, bvlc, got 'none'"),
        ({"initialization": "zero"}, "initialization must be one of he, bvlc, got 'zero'"),
        ({"interpolations": "area,best"}, "interpolations must be among .*, got 'best'"),
        ({"interpolations": ""}, "interpolations must be among .*, got ''"),
    ],
)
def test_settings_outside_their_rules(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MODERN.with_settings(settings)


def test_names_of_the_fields_are_frozen() -> None:
    """Users set them with --set, and settings.json of earlier runs holds them.

    A field that is renamed or removed goes into RENAMED_FIELDS or REMOVED_FIELDS.
    """
    assert [field.name for field in fields(Recipe)] == [
        "name", "description", "variant", "initialization", "epochs", "min_steps", "epoch_fraction",
        "patience", "batch", "optimizer", "learning_rate", "momentum", "nesterov", "muon_lr",
        "non_muon_lr_scale", "weight_decay", "bias_lr_scale", "no_bn_lr_scale",
        "pretrained_lr_scale", "freeze", "schedule", "warmup_fraction", "weight_average",
        "polyak_start", "ema_decay",
        "aux_loss_weight", "label_smoothing", "balance", "dropout",
        "head_dropout",
        "crop", "crop_scale", "crop_ratio", "interpolations", "progressive_resize",
        "color_jitter", "pca_noise", "cutmix_prob", "resize_ratio",
    ]  # fmt: skip


OLD_SETTINGS: dict[str, Any] = {
    "name": "mine", "about": "as it was", "variant": "bn", "initialisation": "bvlc", "epochs": 3,
    "fewest_steps": 7, "epoch_share": 0.5, "patience": 0, "batch": 32, "optimizer": "muon",
    "learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "turn": 0.02, "rest_rate": 0.2,
    "weight_decay": 5e-4, "decay_biases": False, "bias_rate": 2.0, "plain_rate": 0.1,
    "early_rate": 0.3, "freeze": "", "schedule": "cosine", "warmup": 0.05, "average": "mean",
    "average_from": 0.6, "average_decay": 0.99, "heads": 0.2, "label_smoothing": 0.1,
    "balance": "sampling", "dropout": 0.0, "head_dropout": 0.0, "crop": "area",
    "area": [0.35, 1.0], "aspect": [0.8, 1.25], "interpolations": ["bilinear"],
    "sides": [0.5, 1.0], "photometric": True, "lighting": 0.1, "mixing": 0.5, "resize": 1.07,
}  # fmt: skip


def test_a_recipe_with_the_old_names_is_read() -> None:
    """As a settings.json of 2026-11-30 holds it, every value other than its default."""
    recipe = Recipe.from_json(OLD_SETTINGS)
    expected = {
        "name": "mine", "description": "as it was", "variant": "bn", "initialization": "bvlc",
        "epochs": 3, "min_steps": 7, "epoch_fraction": 0.5, "patience": 0, "batch": 32,
        "optimizer": "muon", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True,
        "muon_lr": 0.02, "non_muon_lr_scale": 0.2, "weight_decay": 5e-4, "bias_lr_scale": 2.0,
        "no_bn_lr_scale": 0.1, "pretrained_lr_scale": 0.3, "freeze": "", "schedule": "cosine",
        "warmup_fraction": 0.05, "weight_average": "mean", "polyak_start": 0.6,
        "ema_decay": 0.99, "aux_loss_weight": 0.2, "label_smoothing": 0.1,
        "balance": "balanced_sampler", "dropout": 0.0, "head_dropout": 0.0,
        "crop": "random_resized", "crop_scale": (0.35, 1.0), "crop_ratio": (0.8, 1.25),
        "interpolations": ("bilinear",), "progressive_resize": (0.5, 1.0), "color_jitter": True,
        "pca_noise": 0.1, "cutmix_prob": 0.5, "resize_ratio": 1.07,
    }  # fmt: skip
    assert recipe.to_json() == expected
    assert set(RENAMED_FIELDS) | set(REMOVED_FIELDS) <= set(OLD_SETTINGS)


def test_a_removed_field_keeps_its_only_value() -> None:
    with pytest.raises(UsageError, match=r"the recipe must name one of .*, got 'decay_biases'"):
        Recipe.from_json(OLD_SETTINGS | {"decay_biases": True})
