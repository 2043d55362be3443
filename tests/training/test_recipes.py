"""Recipes as values: what the papers say, what a user may set."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from googlenet.images.augment import Lighting, Mirror, Photometric, RandomCrop, RandomResizedCrop
from googlenet.images.preprocess import Preprocessing
from googlenet.models.cost import NAMES
from googlenet.runtime.errors import UsageError
from googlenet.training.recipe import Recipe
from googlenet.training.recipes import BVLC, BVLC_STEP, MODERN, PAPER, RECIPES, recipe_named

SMALL = Preprocessing(size=32, resize=37)


def test_paper_does_what_section_6_says() -> None:
    assert (PAPER.momentum, PAPER.schedule, PAPER.average) == (0.9, "step", "mean")
    assert (PAPER.variant, PAPER.heads) == ("paper", 0.3)
    crop, mirror, photometric, lighting = PAPER.augmentation(SMALL)
    assert isinstance(crop, RandomResizedCrop)
    assert (crop.area, crop.aspect) == ((0.08, 1.0), (3 / 4, 4 / 3))
    assert set(crop.interpolations) == {"bilinear", "area", "nearest", "bicubic"}
    assert (mirror, photometric) == (Mirror(), Photometric((0.5, 1.5)))
    assert lighting == Lighting(0.1)


def test_bvlc_does_what_its_prototxt_says() -> None:
    """quick_solver.prototxt: base_lr 0.01, "poly" power 0.5, momentum 0.9, weight_decay 2e-4."""
    assert (BVLC.learning_rate, BVLC.schedule, BVLC.momentum) == (0.01, "polynomial", 0.9)
    assert (BVLC.weight_decay, BVLC.decay_biases, BVLC.bias_rate) == (2e-4, False, 2.0)
    assert (BVLC.batch, BVLC.initialisation, BVLC.average) == (32, "bvlc", "none")
    assert BVLC.augmentation(SMALL) == (RandomCrop(32), Mirror())
    assert (BVLC_STEP.schedule, BVLC_STEP.epochs) == ("step", 250)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe(recipe: Recipe) -> None:
    assert RECIPES[recipe.name] is recipe is recipe_named(recipe.name)
    assert recipe.variant in NAMES
    assert recipe.about
    assert MODERN.with_settings(json.loads(json.dumps(recipe.settings()))) == recipe
    without = recipe.augmentation(Preprocessing(size=32, resize=37, mirror=False))
    assert Mirror() in recipe.augmentation(SMALL)
    assert without == tuple(s for s in recipe.augmentation(SMALL) if s != Mirror())


def test_recipe_adapts_to_batch_and_network() -> None:
    """In proportion to the batch (Goyal et al. 2017, arXiv 1706.02677, section 2.1)."""
    recipe = MODERN.with_settings({"plain_rate": 0.25})
    plain = recipe.adapted("paper", 128, normalised=False, heads=False)
    assert (plain.variant, plain.batch, plain.heads) == ("paper", 128, 0)
    assert plain.learning_rate == pytest.approx(MODERN.learning_rate * 128 / 64 * 0.25)
    assert MODERN.adapted("bn", normalised=True, heads=True) == MODERN
    smaller = MODERN.rescaled(MODERN.batch // 4)
    assert (smaller.learning_rate, smaller.turn) == (MODERN.learning_rate / 4, MODERN.turn / 2)
    assert MODERN.rescaled(16, ("turn",)) == replace(MODERN.rescaled(16), turn=MODERN.turn)


def test_few_photos_get_more_epochs() -> None:
    recipe = MODERN.with_settings({"fewest_steps": 300, "epochs": 20, "batch": 64})
    assert recipe.suited(900) == recipe == recipe.suited(1_000_000)  # 15 steps an epoch
    found = {photos: recipe.suited(photos).epochs for photos in (900, 890, 500, 100, 2)}
    assert found == {900: 20, 890: 22, 500: 38, 100: 150, 2: 200}
    assert recipe.suited(500) == replace(recipe, epochs=38)
    assert replace(recipe, epoch_share=0.1).suited(1000).epochs == recipe.suited(100).epochs
    assert PAPER.suited(1) == PAPER
    said = {photos: MODERN.suited(photos).epochs for photos in (100, 500, 1_900, 1_000_000)}
    assert said == {100: 200, 500: 75, 1_900: 20, 1_000_000: 20}  # README.md, docs/study.md


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
def test_long_runs_mix_photos(epochs: int, share: float, photos: int, found: float) -> None:
    recipe = replace(MODERN, epochs=epochs, epoch_share=share)
    assert recipe.mixed_share(photos) == found
    assert replace(recipe, mixing=0.25).mixed_share(photos) == 0.25
    assert PAPER.mixed_share(photos) == 0


def test_crops_go_from_the_first_side_to_the_last_in_even_steps() -> None:
    growing = MODERN.with_settings({"sides": "0.5,0.875", "epochs": 4})
    assert [growing.side(epoch, 128) for epoch in range(4)] == [64, 80, 96, 112]
    assert growing.side(7, 128) == 112  # of a run that is over
    assert [growing.side(epoch, 48) for epoch in range(4)] == [32, 32, 32, 40]
    assert [growing.side(epoch, 28) for epoch in range(4)] == [28] * 4
    falling = MODERN.with_settings({"sides": "1,0.5", "epochs": 3})
    assert [falling.side(epoch, 100) for epoch in range(3)] == [100, 72, 48]
    assert growing.lasting(1).side(0, 128) == 112
    assert [PAPER.side(epoch, 227) for epoch in (0, 30)] == [227, 227]


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
        ("photometric", "TRUE", True),
        ("area", "0.2,0.9", (0.2, 0.9)),
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
        ({"area": "0.5"}, "area must be two numbers, low,high, got '0.5'"),
        ({"area": "0.9,0.2"}, "area must be a range, low,high, got 0.9,0.2"),
        ({"mixing": "2"}, "mixing must be from 0 to 1, or below 0 for what suits the run's length"),
        ({"head_dropout": "2"}, "head_dropout must be from 0 to 1, or below 0 for the variant's"),
        ({"area": "0,1"}, r"area must be from 0.0001 to 1, got \(0.0, 1.0\)"),
        ({"schedule": "wave"}, "schedule must be one of constant, .*, got 'wave'"),
        ({"average": "median"}, "average must be one of none, mean, ema, got 'median'"),
        ({"crop": "none"}, "crop must be one of area, bvlc, got 'none'"),
        ({"initialisation": "zero"}, "initialisation must be one of he, bvlc, got 'zero'"),
        ({"interpolations": "area,best"}, "interpolations must be among .*, got 'best'"),
        ({"interpolations": ""}, "interpolations must be among .*, got ''"),
    ],
)
def test_settings_outside_their_rules(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MODERN.with_settings(settings)


def test_names_of_the_fields_are_frozen() -> None:
    """Users set them with --set, and settings.json of earlier runs holds them."""
    assert [field.name for field in fields(Recipe)] == [
        "name", "about", "variant", "initialisation", "epochs", "fewest_steps", "epoch_share",
        "patience", "batch", "optimizer", "learning_rate", "momentum", "nesterov", "turn",
        "rest_rate", "weight_decay", "decay_biases", "bias_rate", "plain_rate", "early_rate",
        "freeze", "schedule", "warmup", "average", "average_from", "average_decay",
        "heads", "label_smoothing", "balance", "dropout",
        "head_dropout",
        "crop", "area", "aspect", "interpolations", "sides", "photometric", "lighting",
        "mixing", "resize",
    ]  # fmt: skip
