"""The settings that the study tries, by name, and the paper's beliefs that pairs of them test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import study_ideas as ideas
import torch
from torch import nn

from googlenet.images.augment import Augmentation
from googlenet.models import table
from googlenet.models.registry import Network
from googlenet.training.loop import Trainer
from googlenet.training.recipe import Recipe


@dataclass(frozen=True)
class Setting:
    """A change to `base`: fields of the recipe, the optimizer, the network, the augmentation.

    during is called before the run and after every step.  variant takes the place of the recipe's.
    predicted: points of accuracy that were expected of it over `muon`, of `now-…` over or
    of `muon` over `base`, written down before its first run; "" where nobody did.  kept: whether
    the recipe `modern` has what it changes.
    """

    idea: str
    recipe: dict[str, Any] = field(default_factory=dict)
    optimizer: Callable[[Network, Recipe], torch.optim.Optimizer] | None = None
    change: Callable[[Network], None] = lambda network: None
    augment: Callable[..., Augmentation] = Augmentation
    during: Callable[[Trainer], None] = lambda trainer: None
    variant: str | table.Variant = "bn"
    predicted: str = ""
    kept: bool = False


BASE: dict[str, Any] = {
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "batch": 64,
    "non_muon_lr_scale": 1.0,
    "nesterov": True,
    "weight_decay": 5e-4,
    "warmup_fraction": 0.2,
    "label_smoothing": 0.1,
    "dropout": 0.0,
    "head_dropout": -1.0,
    "crop_scale": (0.35, 1.0),
    "aux_loss_weight": 0.3,
    "weight_average": "ema",
    "ema_decay": 0.998,
    "schedule": "cosine",
    "cutmix_prob": 0.0,
}
HALF = {"batch": 32, "learning_rate": 0.05, "ema_decay": 0.999}
DOUBLE = {"batch": 128, "learning_rate": 0.2, "ema_decay": 0.996}
FOURFOLD = {"batch": 256, "learning_rate": 0.4, "ema_decay": 0.992}
QUARTER = {"batch": 16, "learning_rate": 0.025}
MUON: dict[str, Any] = {"optimizer": "muon", "muon_lr": 0.025}
NOW = MUON | {
    "learning_rate": 0.02,
    "warmup_fraction": 0.05,
}  # `modern` when `now-…` was first tried
PLAIN_HEADS = NOW | {"head_dropout": 0.0}  # what it is, except for the center view and CutMix
LARGE = MUON | DOUBLE | {"muon_lr": 0.035}

SETTINGS = {
    "base": Setting("SGD with Nesterov momentum, batch 64, cosine, both heads"),
    "batch-32": Setting("batch 32, learning rate in proportion", HALF),
    "batch-32-rate": Setting("batch 32, the same learning rate", HALF | {"learning_rate": 0.1}),
    "batch-16": Setting("batch 16, learning rate in proportion", QUARTER),
    "batch-8": Setting(
        "batch 8, learning rate in proportion", QUARTER | {"batch": 8, "learning_rate": 0.0125}
    ),
    "heads-off": Setting("no auxiliary heads", {"aux_loss_weight": 0.0}),
    "muon-0.05": Setting("Muon, 0.05 rad per step", MUON | {"muon_lr": 0.05}),
    "muon": Setting("Muon, 0.025 rad per step", MUON, predicted="+1 to +2", kept=True),
    "muon-0.0125": Setting("Muon, 0.0125 rad per step", MUON | {"muon_lr": 0.0125}),
    "muon-0.1": Setting("Muon, 0.1 rad per step", MUON | {"muon_lr": 0.1}),
    "muon-3": Setting(
        "three Newton-Schulz steps instead of five", MUON, ideas.newton_schulz(3), predicted="-0.5"
    ),
    "muon-32": Setting(
        "batch 32, 0.018 rad per step", MUON | HALF | {"muon_lr": 0.018}, predicted="+0.3"
    ),
    "muon-128": Setting("batch 128, 0.035 rad per step", LARGE),
    "muon-128-heads-off": Setting("batch 128, no heads", LARGE | {"aux_loss_weight": 0.0}),
    "muon-128-warmup": Setting("batch 128, warm-up 5 %", LARGE | {"warmup_fraction": 0.05}),
    "muon-128-crop-50": Setting("batch 128, crops of 50–100 %", LARGE | {"crop_scale": (0.5, 1.0)}),
    "muon-128-momentum": Setting("batch 128, momentum 0.95", LARGE | {"momentum": 0.95}),
    "muon-128-0.025": Setting("batch 128, 0.025 rad per step", MUON | DOUBLE),
    "muon-128-growing-88": Setting(
        "batch 128, crop size growing from 5/8 to 7/8",
        LARGE | {"progressive_resize": (0.625, 0.875)},
    ),
    "muon-256": Setting("batch 256, 0.05 rad per step", MUON | FOURFOLD | {"muon_lr": 0.05}),
    "muon-rate": Setting(
        "1/2 learning rate for all but filters", MUON | {"learning_rate": 0.05}, predicted="+1"
    ),
    "muon-rate-0.02": Setting(
        "1/5 learning rate for all but filters",
        MUON | {"learning_rate": 0.02},
        predicted="+2",
        kept=True,
    ),
    "muon-rate-0.01": Setting(
        "1/10 learning rate for all but filters", MUON | {"learning_rate": 0.01}, predicted="+2"
    ),
    "muon-rate-0.005": Setting(
        "1/20 learning rate for all but filters", MUON | {"learning_rate": 0.005}, predicted="+1"
    ),
    "muon-rate-0.02-0.05": Setting(
        "1/5 learning rate for all but filters, 0.05 rad per step",
        MUON | {"learning_rate": 0.02, "muon_lr": 0.05},
        predicted="+2",
    ),
    "muon-rate-0.02-warmup": Setting(
        "1/5 learning rate for all but filters, warm-up 5 %",
        NOW,
        predicted="+3",
        kept=True,
    ),
    "now-silu": Setting("SiLU for ReLU", NOW, change=ideas.activation(nn.SiLU), predicted="+0.7"),
    "now-blur": Setting("blur pooling", NOW, change=ideas.blurred, predicted="+0.5"),
    "now-fine-5": Setting(
        "no pool before 5a", NOW, change=ideas.without_pool("pool4"), predicted="+1"
    ),
    "now-gates": Setting(
        "squeeze-and-excitation after each module", NOW, change=ideas.gated, predicted="+0.7"
    ),
    "now-crop-25": Setting(
        "crops of 25–100 %", NOW | {"crop_scale": (0.25, 1.0)}, predicted="-0.3"
    ),
    "now-crop-50": Setting("crops of 50–100 %", NOW | {"crop_scale": (0.5, 1.0)}, predicted="+0.3"),
    "now-32": Setting(
        "batch 32, 0.018 rad per step",
        NOW | HALF | {"learning_rate": 0.01, "muon_lr": 0.018},
        predicted="+0.5",
    ),
    "now-heads-0.1": Setting(
        "loss weight of the heads 0.1", NOW | {"aux_loss_weight": 0.1}, predicted="0"
    ),
    "now-heads-dropout-0": Setting(
        "no dropout in the heads", PLAIN_HEADS, predicted="+0.2", kept=True
    ),
    "now-heads-dropout-0-crop-25": Setting(
        "no dropout in the heads, crops of 25–100 %",
        PLAIN_HEADS | {"crop_scale": (0.25, 1.0)},
        predicted="+0.2",
    ),
    "now-heads-dropout-0-mixing": Setting(
        "no dropout in the heads, CutMix in a quarter of the steps",
        PLAIN_HEADS | {"cutmix_prob": 0.25},
        predicted="+0.2",
    ),
    "now-heads-dropout-0-mixing-half": Setting(
        "no dropout in the heads, CutMix in half of the steps",
        PLAIN_HEADS | {"cutmix_prob": 0.5},
        predicted="0",
        kept=True,
    ),
    "now-heads-dropout-0-0.5": Setting(
        "no dropout in the heads, their loss weight 0.5",
        PLAIN_HEADS | {"aux_loss_weight": 0.5},
        predicted="+0.2",
    ),
    "now-momentum": Setting("momentum 0.95", NOW | {"momentum": 0.95}, predicted="+0.3"),
    "now-momentum-0.8": Setting("momentum 0.8", NOW | {"momentum": 0.8}, predicted="+0.2"),
    "now-linear": Setting("linear decay", NOW | {"schedule": "linear"}, predicted="0"),
    "now-linear-32": Setting(
        "linear decay, batch 32, 0.018 rad per step",
        NOW | HALF | {"learning_rate": 0.01, "muon_lr": 0.018, "schedule": "linear"},
        predicted="+0.5",
    ),
    "now-linear-0.035": Setting(
        "linear decay, 0.035 rad per step",
        NOW | {"muon_lr": 0.035, "schedule": "linear"},
        predicted="+0.3",
    ),
    "now-linear-mixing-half": Setting(
        "linear decay, CutMix in half of the steps",
        NOW | {"schedule": "linear", "cutmix_prob": 0.5},
        predicted="+1 in 20 epochs",
    ),
    "now-trapezium": Setting(
        "half of the run at the full learning rate, then linear decay",
        NOW | {"schedule": "trapezium"},
        predicted="+0.3",
    ),
    "now-0.035": Setting("0.035 rad per step", NOW | {"muon_lr": 0.035}, predicted="0"),
    "now-0.018": Setting("0.018 rad per step", NOW | {"muon_lr": 0.018}, predicted="+0.3"),
    "now-each": Setting(
        "each filter rotated separately",
        NOW,
        optimizer=ideas.each_filter,
        predicted="+0.2",
    ),
    "now-heads-dropout-0-cosines": Setting(
        "no dropout in the heads, conv1 initialized with cosines",
        PLAIN_HEADS,
        change=ideas.cosine_stem,
        predicted="+0.2",
    ),
    "now-flips": Setting(
        "each image mirrored every other epoch",
        NOW,
        augment=ideas.Alternating,
        predicted="+0.3",
    ),
    "now-gentle": Setting(
        "crops of 25–100 %, in the last epoch of 50–100 %",
        NOW | {"crop_scale": (0.25, 1.0)},
        augment=ideas.Gentle,
        predicted="+0.3",
    ),
    "now-heads-dropout-0-fall": Setting(
        "no dropout in the heads, their loss weight falls to zero",
        PLAIN_HEADS,
        during=ideas.falling_heads,
        predicted="+0.3",
    ),
    "now-smoothing-0.2": Setting(
        "label smoothing of 0.2", NOW | {"label_smoothing": 0.2}, predicted="0"
    ),
    "now-smoothing-0": Setting(
        "no label smoothing", NOW | {"label_smoothing": 0.0}, predicted="-0.5"
    ),
    "now-0.05": Setting("0.05 rad per step", NOW | {"muon_lr": 0.05}, predicted="-0.5"),
    "now-heads-dropout-0-orthogonal": Setting(
        "no dropout in the heads, orthogonal initialization",
        PLAIN_HEADS,
        change=ideas.orthogonal_filters,
        predicted="+0.2",
    ),
    "now-mixing-half": Setting(
        "CutMix in half of the steps",
        NOW | {"cutmix_prob": 0.5},
        predicted="+2 in 38 epochs of few images",
        kept=True,
    ),
    "now-mixing": Setting("CutMix in every step", NOW | {"cutmix_prob": 1.0}),
    "muon-heads-off": Setting("no auxiliary heads", MUON | {"aux_loss_weight": 0.0}),
    "muon-silu": Setting("SiLU for ReLU", MUON, change=ideas.activation(nn.SiLU), predicted="+0.5"),
    "muon-blur": Setting("blur pooling", MUON, change=ideas.blurred, predicted="+0.5"),
    "muon-fine-5": Setting(
        "no pool before 5a", MUON, change=ideas.without_pool("pool4"), predicted="+1"
    ),
    "muon-fine-4": Setting("no pool before 4a", MUON, change=ideas.without_pool("pool3")),
    "muon-crop-20": Setting("crops of 20–100 %", MUON | {"crop_scale": (0.2, 1.0)}),
    "muon-crop-50": Setting(
        "crops of 50–100 %", MUON | {"crop_scale": (0.5, 1.0)}, predicted="+0.5"
    ),
    "muon-crop-8": Setting("crops of 8–100 %", MUON | {"crop_scale": (0.08, 1.0)}),
    "muon-crop-8-colour": Setting(
        "and photometric distortions", MUON | {"crop_scale": (0.08, 1.0), "color_jitter": True}
    ),
    "muon-dropout": Setting("dropout of 40 %", MUON | {"dropout": 0.4}),
    "muon-mixing": Setting(
        "CutMix in every step", MUON | {"cutmix_prob": 1.0}, predicted="+3 in 80 epochs"
    ),
    "muon-mixing-half": Setting(
        "CutMix in half of the steps", MUON | {"cutmix_prob": 0.5}, predicted="+3 in 80 epochs"
    ),
    "muon-warmup-10": Setting("warm-up of 10 %", MUON | {"warmup_fraction": 0.1}, predicted="+0.3"),
    "muon-momentum": Setting("momentum 0.95", MUON | {"momentum": 0.95}, predicted="+0.3"),
    "muon-warmup": Setting("warm-up of 5 %", MUON | {"warmup_fraction": 0.05}),
    "muon-16": Setting("batch 16, 0.0125 rad per step", MUON | QUARTER | {"muon_lr": 0.0125}),
    "muon-sides-88": Setting("crop size 7/8", MUON | {"progressive_resize": (0.875, 0.875)}),
    "muon-sides-75": Setting("crop size 3/4", MUON | {"progressive_resize": (0.75, 0.75)}),
    "muon-growing": Setting(
        "crop size growing from 5/8 to full", MUON | {"progressive_resize": (0.625, 1.0)}
    ),
    "muon-growing-88": Setting(
        "crop size growing from 5/8 to 7/8", MUON | {"progressive_resize": (0.625, 0.875)}
    ),
    "muon-linear": Setting("linear decay", MUON | {"schedule": "linear"}, predicted="+0.3"),
    "silu": Setting("SiLU for ReLU", change=ideas.activation(nn.SiLU)),
    "mish": Setting("Mish for ReLU", change=ideas.activation(nn.Mish)),
    "blur": Setting("blur pooling", change=ideas.blurred),
    "fine-5": Setting("no pool before 5a", change=ideas.without_pool("pool4")),
    "fine-4": Setting("no pool before 4a", change=ideas.without_pool("pool3")),
    "fine-3": Setting("no pool before 3a", change=ideas.without_pool("pool2")),
    "fine-2": Setting("no pool after conv1", change=ideas.without_pool("pool1")),
    "crop-20": Setting("crops of 20–100 %", {"crop_scale": (0.2, 1.0)}),
    "crop-50": Setting("crops of 50–100 %", {"crop_scale": (0.5, 1.0)}),
    "decay-2": Setting("twice the weight decay", {"weight_decay": 1e-3}),
}

# What the paper believed, tested with the recipe that is best on few images.
NAIVE = replace(table.VARIANTS["bn"], name="naive-bn", has_reductions=False).scaled(
    ideas.EQUAL_WIDTH
)
SETTINGS |= {
    "muon-connected": Setting("a fully connected layer", MUON, change=ideas.fully_connected),
    "muon-connected-dropout": Setting(
        "and dropout of 40 %", MUON | {"dropout": 0.4}, change=ideas.fully_connected
    ),
    "muon-naive": Setting("modules without reductions, same multiply-adds", MUON, variant=NAIVE),
}
# A tenth of the rate, as `no_bn_lr_scale` has it.
PLAIN: dict[str, Any] = {"learning_rate": 0.01}
SETTINGS |= {
    "plain": Setting("the paper's network: LRN, no batch normalization", PLAIN, variant="paper"),
    "plain-no-lrn": Setting("and no LRN", PLAIN, change=ideas.without_lrn, variant="paper"),
}


@dataclass(frozen=True)
class Belief:
    """A claim, where it is, and two settings: what is claimed to be better, and the other."""

    claim: str
    where: str
    better: str
    other: str


BELIEFS = (
    Belief("auxiliary heads help", "section 5", "muon", "muon-heads-off"),
    Belief("average pooling beats a fully connected layer", "section 5", "muon", "muon-connected"),
    Belief(
        "dropout remains essential without fully connected layers",
        "section 5",
        "muon-dropout",
        "muon",
    ),
    Belief(
        "and with a fully connected layer", "section 5", "muon-connected-dropout", "muon-connected"
    ),
    Belief(
        "local response normalization helps",
        "figure 3",
        "plain",
        "plain-no-lrn",
    ),
    Belief(
        "batch normalization instead, at ten times the learning rate", "later work", "base", "plain"
    ),
    Belief("reductions are worth their cost", "section 4", "muon", "muon-naive"),
)
