"""Everything that decides a run, to JSON and back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from googlenet.images.preprocess import Preprocessing
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.training.recipe import Recipe
from googlenet.training.recipes import BVLC, MODERN, PAPER
from googlenet.training.settings import DEFAULTS_BEFORE, Settings

FULL = Settings(
    "photos", PAPER.with_settings({"epochs": 3, "crop_scale": "0.1,0.9"}),
    Preprocessing(size=64, resize_size=73, mode="letterbox"),
    width=0.5, seed=2**62, precision="bf16", weights="m.safetensors", workers=5,
)  # fmt: skip


def test_json_round_trip() -> None:
    assert Settings.from_json(json.loads(json.dumps(FULL.to_json()))) == FULL


def test_recipe_that_is_no_longer_there_can_be_resumed() -> None:
    """Settings hold every field: neither a new name nor other values of a recipe matter."""
    values = json.loads(json.dumps(FULL.to_json()))
    values["recipe"] |= {"name": "my-own", "description": "gone"}
    recipe = Settings.from_json(values).recipe
    assert (recipe.name, recipe.description) == ("my-own", "gone")
    assert replace(recipe, name=PAPER.name, description=PAPER.description) == FULL.recipe


def test_field_that_was_not_there_before_has_its_default() -> None:
    values = json.loads(json.dumps(FULL.to_json()))
    del values["recipe"]["no_bn_lr_scale"], values["time_limit"]
    for name in ("decoder", "shuffle", "cache", "augment"):
        del values[name]
    assert Settings.from_json(values) == replace(FULL, time_limit=None, cache="none")


def test_old_names_of_settings_are_read() -> None:
    values = json.loads(json.dumps(FULL.to_json()))
    values["multi_label"] = values.pop("multilabel")
    values["recipe"]["area"] = values["recipe"].pop("crop_scale")
    values["recipe"]["decay_biases"] = False
    assert Settings.from_json(values) == FULL


def test_what_decides_a_run() -> None:
    moved = replace(FULL, data="elsewhere", weights=None, workers=1, cache="none")
    assert moved.affecting_results() == FULL.affecting_results()
    assert replace(FULL, seed=5).affecting_results() != FULL.affecting_results()
    assert replace(FULL, decoder="turbo").affecting_results() != FULL.affecting_results()
    assert replace(FULL, shuffle="blocks").affecting_results() != FULL.affecting_results()
    host, device = (Settings("x", MODERN, Preprocessing(), augment=a) for a in ("host", "device"))
    assert device.affecting_results() != host.affecting_results()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed must be from 0 to 2\\^63 − 1, got -1"),
        ({"seed": 2**63}, "seed must be from 0"),
        ({"precision": "fp16"}, "precision must be one of auto, fp32, bf16, got 'fp16'"),
        ({"decoder": "x"}, "decoder must be one of pillow, turbo, got 'x'"),
        ({"shuffle": "x"}, "shuffle must be one of full, blocks"),
        ({"cache": "x"}, "cache must be one of auto, memory, none"),
        ({"augment": "x"}, "augment must be one of host, device, got 'x'"),
    ],
)
def test_values_outside_their_rules(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Settings("x", PAPER, Preprocessing(), **changes)


@pytest.mark.parametrize(
    "changes",
    [{"recipe": None}, {"recipe": {"name": "best"}}, {"recipe": {}}, {"preprocessing": []},
     {"seed": "one"}, {"seed": -5}, {"seed": True}, {"seed": 1.5}, {"width": "wide"},
     {"width": None}, {"workers": "2"}, {"data": 5}, {"weights": 1}, {"precision": ["fp32"]},
     {"recipe": 5}, {"recipe": FULL.to_json()["recipe"] | {"epochs": float("inf")}},
     {"recipe": FULL.to_json()["recipe"] | {"magic": 1}}],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_one_sentence(changes: dict[str, Any]) -> None:
    with pytest.raises(GoogLeNetError, match=r"settings\.json: cannot be used \(.+\)"):
        Settings.from_json(FULL.to_json() | changes)


def test_settings_of_before_there_was_a_choice() -> None:
    values = json.loads(json.dumps(FULL.to_json()))
    found = Settings.from_json({k: v for k, v in values.items() if k not in DEFAULTS_BEFORE})
    assert found == Settings.from_json(values | DEFAULTS_BEFORE)


@pytest.mark.parametrize("key", [name for name in FULL.to_json() if name not in DEFAULTS_BEFORE])
def test_settings_without_a_value(key: str) -> None:
    values = FULL.to_json()
    del values[key]
    with pytest.raises(GoogLeNetError, match=f"settings.json: cannot be used .*{key}"):
        Settings.from_json(values)


def test_balanced_draws_are_no_order_of_shards() -> None:
    recipe = PAPER.with_settings({"balance": "balanced_sampler"})
    with pytest.raises(
        UsageError, match="shuffle must be full with balance balanced_sampler, got blocks"
    ):
        Settings("x", recipe, Preprocessing(), shuffle="blocks")


@pytest.mark.parametrize(
    ("recipe", "what"),
    [
        (BVLC, "crop bvlc"),
        (PAPER, "interpolations bilinear,area,nearest,bicubic"),
        (MODERN.with_settings({"interpolations": "bicubic"}), "interpolations bicubic"),
        (MODERN.with_settings({"color_jitter": "yes"}), "color_jitter true"),
        (MODERN.with_settings({"pca_noise": 0.1}), "pca_noise 0.1"),
    ],
)
def test_recipes_that_only_the_host_can_follow(recipe: Recipe, what: str) -> None:
    with pytest.raises(UsageError, match=f"^augment must be host with {what}, got device$"):
        Settings("x", recipe, Preprocessing(), augment="device")
    assert Settings("x", recipe, Preprocessing()).augment == "host"
