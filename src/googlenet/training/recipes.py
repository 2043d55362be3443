"""The training recipes: the paper's, BVLC's, and the recommended one."""

from __future__ import annotations

from dataclasses import replace

from googlenet.runtime.errors import UsageError
from googlenet.training.recipe import Recipe


def prose(text: str) -> str:
    """Join a text of several source lines."""
    return " ".join(text.split())


PAPER = Recipe(
    name="paper",
    description=prose(
        """The paper's own method, section 6: SGD with momentum 0.9, learning rate falling by 4 %
        every 8 epochs, Polyak averaging, crops of 8–100 % of the area with aspect ratios from 3/4
        to 4/3, color jitter after Howard, random interpolation, dropout of 40 % and 70 %, both
        auxiliary heads at 0.3. The paper gives no learning rate, batch size, weight decay or
        initialization: those are ours. It estimates a week on a few GPUs;
        reported there: 10.07 % top-5 error on ILSVRC 2012 from one crop.
        Imagenette, 128 px, 5 epochs: 49.2 % top-1."""
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
        """BVLC's released quick_solver.prototxt and train_val.prototxt: learning rate 0.01 with
        a polynomial schedule of power 0.5 over 60 epochs at batch size 32, weight decay 2e-4 but
        not on biases, whose rate is doubled, "xavier" weights and biases of 0.2, random crops of
        the squashed image and horizontal flips. 2.4 million steps gave 68.7 % top-1
        and 88.9 % top-5 on ILSVRC 2012. Imagenette, 128 px, 5 epochs: 57.4 % top-1."""
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
        """BVLC's other released policy, solver.prototxt: as `bvlc`, but the learning rate falls
        by 4 % every 320,000 steps of batch size 32, i.e. 8 epochs of ILSVRC 2012, for 250 epochs,
        10 million steps. Imagenette, 128 px, 5 epochs: 44.4 % top-1."""
    ),
    schedule="step",
    epochs=250,
)

MODERN = Recipe(
    name="modern",
    description=prose(
        """Recommended: batch normalization; Muon (Jordan et al. 2024) on the filters and SGD
        with Nesterov momentum on the rest; warm-up and cosine schedule (Goyal et al. 2017,
        Loshchilov and Hutter 2016); label smoothing (Szegedy et al. 2015); an exponential moving
        average of the weights with recomputed batch statistics (Izmailov et al. 2018); no weight
        decay on biases and normalization, no dropout, crops of 35–100 % of the area and a center
        view at their scale; CutMix in half of the steps of runs of at least 20 epochs (Yun et al.
        2019).
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
    """The recipe with this name.  Raises UsageError, which lists the names."""
    try:
        return RECIPES[name]
    except KeyError:
        raise UsageError(f"recipe must be one of {', '.join(RECIPES)}, got {name!r}") from None
