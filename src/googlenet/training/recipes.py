"""The recipes: what the paper did, what BVLC released, what we recommend."""

from __future__ import annotations

from dataclasses import replace

from googlenet.runtime.errors import UsageError
from googlenet.training.recipe import Recipe


def prose(text: str) -> str:
    """Text of several source lines as one line."""
    return " ".join(text.split())


PAPER = Recipe(
    name="paper",
    description=prose(
        """The paper's own method, section 6: SGD with momentum 0.9, the rate falling by 4 % every
        8 epochs, the Polyak average of the weights as the model, crops of 8–100 % of the area
        with aspect ratios from 3/4 to 4/3, photometric distortions after Howard, a random
        interpolation, dropout of 40 % and 70 %, both heads at 0.3. The paper gives no rate,
        batch, weight decay or initialisation: those are ours. It estimates a week on a few
        GPUs; expected there: 10.07 % top-5 error on ILSVRC 2012 from one crop. Imagenette, 128
        px, 5 epochs: 49.2 % top-1."""
    ),
    variant="paper",
    epochs=60,
    batch=32,
    learning_rate=0.01,
    schedule="step",
    weight_average="mean",
    color_jitter=True,
    pca_noise=0.1,
    interpolations=("bilinear", "area", "nearest", "bicubic"),
)

BVLC = Recipe(
    name="bvlc",
    description=prose(
        """BVLC's released quick_solver.prototxt and train_val.prototxt: rate 0.01 falling to zero
        as the square root of what is left over 60 epochs at batch 32, weight decay 2e-4 but not
        on biases, whose rate is double, "xavier" weights and biases of 0.2, random crops of the
        squashed image and mirroring. 2.4 million steps gave 68.7 % top-1 and 88.9 % top-5 on
        ILSVRC 2012. Imagenette, 128 px, 5 epochs: 57.4 % top-1."""
    ),
    variant="paper",
    initialization="bvlc",
    epochs=60,
    batch=32,
    learning_rate=0.01,
    bias_lr_scale=2.0,
    schedule="polynomial",
    weight_average="none",
    crop="bvlc",
)

BVLC_STEP = replace(
    BVLC,
    name="bvlc-step",
    description=prose(
        """BVLC's other released policy, solver.prototxt: as `bvlc`, but the rate falls by 4 %
        every 320,000 steps of 32 images, which are 8 epochs of ILSVRC 2012, for 250 epochs, 10
        million steps. Imagenette, 128 px, 5 epochs: 44.4 % top-1."""
    ),
    schedule="step",
    epochs=250,
)

MODERN = Recipe(
    name="modern",
    description=prose(
        """What we recommend: batch normalisation; Muon (Jordan et al. 2024) on the filters, SGD
        with Nesterov momentum on the rest, a warm-up and a cosine (Goyal et al. 2017, Loshchilov
        and Hutter 2016); label smoothing (Szegedy et al. 2015); an exponential average of the
        weights with its batch statistics recomputed (Izmailov et al. 2018); no decay on biases and
        normalisation, none of the heads' dropout, crops of 35–100 %, a centre view at the scale of
        these; in runs of 20 epochs and more CutMix in half of the steps (Yun et al. 2019).
        Imagenette, 128 px, 5 epochs: 87.6 % top-1, the mean of three seeds, in 11 minutes of two
        cores with bfloat16, an hour of one with AVX2; 20 epochs: 92.1 %."""
    ),
    optimizer="muon",
    min_steps=600,
    learning_rate=0.1,
    no_bn_lr_scale=0.1,
    non_muon_lr_scale=0.2,
    nesterov=True,
    weight_decay=5e-4,
    warmup_fraction=0.05,
    label_smoothing=0.1,
    dropout=0.0,
    head_dropout=0.0,
    crop_scale=(0.35, 1.0),
    cutmix_prob=-1.0,
    resize_ratio=1.07,
)

RECIPES = {recipe.name: recipe for recipe in (MODERN, PAPER, BVLC, BVLC_STEP)}


def recipe_named(name: str) -> Recipe:
    """The recipe of that name.  Raises UsageError, which lists the names there are."""
    try:
        return RECIPES[name]
    except KeyError:
        raise UsageError(f"recipe must be one of {', '.join(RECIPES)}, got {name!r}") from None
