"""Table 1 of the paper, and every published variant of the network, as data.

Nothing here imports torch.  The network (`model.py`) and its cost (`cost.py`) are both derived
from these values: input channels, shapes, parameters and multiply-adds are computed, never typed.

Source: Szegedy et al. 2014, "Going Deeper with Convolutions", arXiv 1409.4842, Table 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from googlenet.runtime.errors import UsageError


class Widths(NamedTuple):
    """Filters of one Inception module: the columns "#1×1" to "pool proj" of Table 1."""

    c1: int
    r3: int
    c3: int
    r5: int
    c5: int
    proj: int


# The columns of a table in a JSON file, named like the layers of a module.
COLUMNS = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
MAX_FILTERS = 1 << 16

#                   1x1  3x3r   3x3  5x5r   5x5  proj
TABLE_1 = {
    "3a": Widths(    64,   96,  128,   16,   32,   32),
    "3b": Widths(   128,  128,  192,   32,   96,   64),
    "4a": Widths(   192,   96,  208,   16,   48,   64),
    "4b": Widths(   160,  112,  224,   24,   64,   64),
    "4c": Widths(   128,  128,  256,   24,   64,   64),
    "4d": Widths(   112,  144,  288,   32,   64,   64),
    "4e": Widths(   256,  160,  320,   32,  128,  128),
    "5a": Widths(   256,  160,  320,   32,  128,  128),
    "5b": Widths(   384,  192,  384,   48,  128,  128),
}  # fmt: skip

# Table 1's cost columns sum to 1.5 billion only with these two widths, which are also those of
# the graph that Google released ("inception5h"): 364K/73M for 4a and 54M for 5a.
GOOGLE_2014 = TABLE_1 | {
    "4a": TABLE_1["4a"]._replace(c3=204),
    "5a": TABLE_1["5a"]._replace(r5=48),
}

# The two modules that feed an auxiliary classifier (section 5).
HEADS = ("4a", "4d")

# A separable 7×7 stem multiplies each input channel by this many depthwise filters: 2.7K
# weights and 34M multiply-adds, the figures that Table 1 prints for its first row.
STEM_DEPTH_MULTIPLIER = 8


@dataclass(frozen=True)
class LRN:
    """Local response normalization: x / (k + alpha/size · Σ x²)^beta over `size` channels.

    This is Caffe's and PyTorch's convention, in which alpha is divided by the window's size;
    TensorFlow's alpha is not, and its radius r is a size of 2r + 1.
    """

    size: int
    alpha: float
    beta: float
    k: float


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalization after each convolution, which then has no bias of its own."""

    eps: float
    scale: bool = True


@dataclass(frozen=True)
class Conv:
    name: str
    filters: int
    kernel: int
    stride: int = 1


@dataclass(frozen=True)
class MaxPool:
    name: str
    kernel: int
    stride: int = 2


@dataclass(frozen=True)
class Normalize:
    name: str


@dataclass(frozen=True)
class InceptionModule:
    name: str
    widths: Widths


Stage = Conv | MaxPool | Normalize | InceptionModule


@dataclass(frozen=True)
class Variant:
    """One published form of the network.  A new one is a new value, not new code."""

    name: str
    description: str  # in what it differs from the paper, in a line
    modules: Mapping[str, Widths]
    norm: LRN | BatchNorm
    stem: Literal["dense", "separable"] = "dense"
    has_reductions: bool = True  # False: Figure 2(a), without reductions and pool projection
    large_kernel: int = 5  # of the module's third branch
    last_pool: int = 3  # side of the max pool before 5a
    padding: Literal["symmetric", "same"] = "symmetric"  # "same" is TensorFlow's rule
    aux_pool: Literal["windows", "adaptive"] | None = "windows"  # how a head pools to 4×4
    stem_filters: tuple[int, int, int] = (64, 64, 192)  # conv1, conv2_reduce, conv2
    head_filters: int = 128
    head_units: int = 1024
    dropout: float = 0.4
    head_dropout: float = 0.7
    classes: int = 1000
    table: str = ""  # of a variant that a file of widths describes: its `compact_table`

    @property
    def key(self) -> str:
        """What `variant` takes to give this value: the name, or the table of widths."""
        return self.table or self.name

    def trunk(self) -> tuple[Stage, ...]:
        """The stages from the image to the final average pool, in order."""
        conv1, reduce, conv2 = self.stem_filters
        stages: list[Stage] = [Conv("conv1", conv1, 7, stride=2), MaxPool("pool1", 3)]
        if isinstance(self.norm, LRN):
            stages += [Normalize("norm1")]
        stages += [Conv("conv2_reduce", reduce, 1), Conv("conv2", conv2, 3)]
        if isinstance(self.norm, LRN):
            stages += [Normalize("norm2")]
        stages += [MaxPool("pool2", 3)]
        for row, widths in self.modules.items():
            if row == "4a":
                stages += [MaxPool("pool3", 3)]
            if row == "5a":
                stages += [MaxPool("pool4", self.last_pool)]
            stages += [InceptionModule(f"inception_{row}", widths)]
        return tuple(stages)

    def module_channels(self, widths: Widths, in_channels: int) -> int:
        """Output channels of a module: its branches side by side."""
        pooled = widths.proj if self.has_reductions else in_channels
        return widths.c1 + widths.c3 + widths.c5 + pooled

    def scaled(self, width: float) -> Variant:
        """The same network with every number of filters multiplied by `width`."""
        check_width(width)
        if width == 1:
            return self

        def times(filters: int) -> int:
            return max(1, round(filters * width))

        conv1, reduce, conv2 = self.stem_filters
        return replace(
            self,
            modules={row: Widths(*map(times, widths)) for row, widths in self.modules.items()},
            stem_filters=(times(conv1), times(reduce), times(conv2)),
            head_filters=times(self.head_filters),
            head_units=times(self.head_units),
        )


PAPER = Variant(
    name="paper",
    description="nothing: Table 1's columns, LRN, biases, 5×5, ceil-mode 3×3/2 pools",
    modules=TABLE_1,
    norm=LRN(size=5, alpha=1e-4, beta=0.75, k=1.0),
)
TORCHVISION = replace(
    PAPER,
    name="torchvision",
    description="3×3 in the 5×5 branch, BN (eps 1e-3), 2×2 pool before 5a, adaptive head pool",
    norm=BatchNorm(eps=1e-3),
    large_kernel=3,
    last_pool=2,
    aux_pool="adaptive",
    dropout=0.2,
)
VARIANTS = {
    variant.name: variant
    for variant in (
        PAPER,
        replace(
            PAPER,
            name="google2014",
            description="separable stem, 4a 3×3 = 204, 5a 5×5 reduction = 48: the printed cost",
            modules=GOOGLE_2014,
            stem="separable",
        ),
        replace(
            PAPER,
            name="bn",
            description="batch normalization in place of LRN and biases; the default for training",
            norm=BatchNorm(eps=1e-5),
        ),
        replace(
            PAPER,
            name="inception5h",
            description="google2014's widths with the dense stem, its own LRN, SAME padding",
            modules=GOOGLE_2014,
            norm=LRN(size=11, alpha=1.1e-3, beta=0.5, k=2.0),
            padding="same",
            classes=1008,
        ),
        TORCHVISION,
        replace(
            TORCHVISION,
            name="slim",
            description="torchvision's with SAME padding, BN without scale, no heads, 1001 classes",
            norm=BatchNorm(eps=1e-3, scale=False),
            padding="same",
            aux_pool=None,
            classes=1001,
        ),
        replace(
            PAPER,
            name="naive",
            description="Figure 2(a): no reductions, no pool projection",
            has_reductions=False,
        ),
    )
}


def variant(name: str) -> Variant:
    """The variant of that name, or the one that a table as JSON text describes.

    Raises UsageError, which lists the names there are, or says what is wrong with the table.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    if name.startswith("{"):
        return parse_table(name)
    raise UsageError(f"variant must be one of {', '.join(VARIANTS)}, got {name!r}")


def is_variant(name: str) -> bool:
    """Whether `variant` is for this name: a GoogLeNet, not one of the compared networks."""
    return name in VARIANTS or name.startswith("{")


def variant_name(name: str) -> str:
    """What to call a variant in a message: of a table, its own name."""
    return parse_table(name).name if name.startswith("{") else name


def parse_table(text: str) -> Variant:
    """A variant from a table of widths: `{"variant": NAME, "base": "bn", "rows": [...]}`.

    A row is `{"name": "3a", "widths": {"1x1": 64, ...}}`, with all of `COLUMNS`; everything but
    the widths is that of the variant `base`.  Other keys are ignored.
    Raises UsageError, which says what is wrong.
    """
    try:
        value = json.loads(text)
        name, base, rows = value["variant"], value.get("base", "bn"), value["rows"]
        found = {str(row["name"]): row_widths(row["name"], row["widths"]) for row in rows}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        rule = '{"variant": NAME, "base": "bn", "rows": [{"name": "3a", "widths": {…}}, …]}'
        raise UsageError(f"a table of widths must be {rule} ({error!r})") from None
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]{1,64}", name) or name in VARIANTS:
        raise UsageError(f"a table's variant must be a new name of letters and digits, is {name!r}")
    if not isinstance(base, str) or base not in VARIANTS or not VARIANTS[base].has_reductions:
        raise UsageError(f"a table's base must be a variant with reductions, is {base!r}")
    if tuple(found) != tuple(TABLE_1) or len(rows) != len(TABLE_1):
        raise UsageError(f"a table must have the rows {', '.join(TABLE_1)}, has {', '.join(found)}")
    about = f"the widths of its modules; the rest is {base}'s"
    table = json.dumps(table_json(name, base, found), separators=(",", ":"))
    return replace(VARIANTS[base], name=name, description=about, modules=found, table=table)


def row_widths(row: str, widths: Mapping[str, Any]) -> Widths:
    values = [widths[column] for column in COLUMNS]
    for column, value in zip(COLUMNS, values, strict=True):
        if type(value) is not int or not 1 <= value <= MAX_FILTERS:
            rule = f"must be a whole number from 1 to {MAX_FILTERS}"
            raise UsageError(f"{column} of row {row} {rule}, is {value!r}")
    return Widths(*values)


def table_json(name: str, base: str, modules: Mapping[str, Widths]) -> dict[str, Any]:
    """What `parse_table` reads, as a value."""
    rows = [
        {"name": row, "widths": dict(zip(COLUMNS, widths, strict=True))}
        for row, widths in modules.items()
    ]
    return {"variant": name, "base": base, "rows": rows}


def check_width(width: float) -> None:
    """Raises UsageError for a width multiplier that no network can be built with."""
    if not 0 < width <= 16:
        raise UsageError(f"width must be above 0 and at most 16, got {width}")
