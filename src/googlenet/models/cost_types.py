"""The units of cost: what a layer, a row of Table 1 and a network cost per image.

Counted as in Table 1:

- multiply-adds are those of convolutions and linear layers; pools, normalization, ReLU and
  softmax count none;
- parameters are weights and biases; batch normalization's scale and shift stand where the
  convolution's bias would;
- activations are the outputs of convolutions, linear layers, pools and LRN in fp32, each once:
  ReLU, batch normalization, concatenation, dropout and softmax are taken to work in place;
- building blocks are convolutions, linear layers, pools, LRN, concatenations, dropouts and
  losses of the training graph, its auxiliary heads included; ReLU and batch normalization
  belong to their convolution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from googlenet.models.table import Widths

BYTES = 4  # of a float32

# The kinds of building block, as a reader counts them.
CONVOLUTIONS, LINEAR, POOLS, LRNS = "convolutions", "linear layers", "pools", "LRN"
CONCATENATIONS, DROPOUTS, LOSSES = "concatenations", "dropouts", "losses"

Shape = tuple[int, int, int]  # height, width, channels: the order of Table 1


@dataclass(frozen=True)
class Cost:
    """The cost of one layer, or of several added together."""

    weights: int = 0
    biases: int = 0
    macs: int = 0
    activations: int = 0  # values, not bytes
    blocks: Counter[str] = field(default_factory=Counter)

    @property
    def params(self) -> int:
        return self.weights + self.biases

    @property
    def activation_bytes(self) -> int:
        return self.activations * BYTES

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.weights + other.weights,
            self.biases + other.biases,
            self.macs + other.macs,
            self.activations + other.activations,
            self.blocks + other.blocks,
        )


def total(costs: Iterable[Cost]) -> Cost:
    return sum(costs, Cost())


def convolution(
    inputs: int, filters: int, kernel: int, side: int, *, groups: int = 1, biases: int = 1
) -> Cost:
    """A square convolution with an output of side×side pixels.

    `biases` counts the values a filter has besides its weights: 0, 1 (a bias, or batch
    normalization's shift) or 2 (scale and shift).
    """
    weights = kernel * kernel * (inputs // groups) * filters
    pixels = side * side
    blocks = Counter([CONVOLUTIONS])
    return Cost(weights, biases * filters, weights * pixels, filters * pixels, blocks)


def linear(inputs: int, units: int) -> Cost:
    """A fully connected layer with biases."""
    return Cost(inputs * units, units, inputs * units, units, Counter([LINEAR]))


def outputs_of(block: str, channels: int, side: int) -> Cost:
    """A layer without parameters and multiply-adds that writes a new map."""
    return Cost(activations=channels * side * side, blocks=Counter([block]))


def in_place(block: str) -> Cost:
    """A layer that costs nothing but is a building block."""
    return Cost(blocks=Counter([block]))


@dataclass(frozen=True)
class Row:
    """One row of Table 1, or one layer of a compared network."""

    name: str
    output: Shape
    cost: Cost
    modules: tuple[str, ...] = ()  # of the built network, by name
    depth: int = 0  # layers with parameters, one behind the other
    pool: bool = False
    widths: Widths | None = None  # of an Inception module

    @property
    def share(self) -> float | None:
        """3×3 and 5×5 filters as a fraction of an Inception module's output channels."""
        return (self.widths.c3 + self.widths.c5) / self.output[2] if self.widths else None

    def joined(self, later: Row, title: Row) -> Row:
        """This row and the next as one, under the name of either."""
        return replace(
            title,
            output=later.output,
            cost=self.cost + later.cost,
            modules=self.modules + later.modules,
            depth=self.depth + later.depth,
        )


@dataclass(frozen=True)
class NetworkCost:
    """A network's rows in order, and its auxiliary heads, which no total includes."""

    name: str
    size: int
    in_channels: int
    classes: int
    rows: tuple[Row, ...]
    heads: tuple[Row, ...] = ()

    @property
    def total(self) -> Cost:
        return total(row.cost for row in self.rows)

    @property
    def training_params(self) -> int:
        """Parameters with the auxiliary heads."""
        return self.total.params + total(row.cost for row in self.heads).params

    @property
    def layers(self) -> int:
        """Layers with parameters from the image to the logits: the paper's 22.

        Inception's branches lie side by side and count once; so do the two halves of a
        separable convolution.
        """
        return sum(row.depth for row in self.rows)

    @property
    def layers_with_pools(self) -> int:
        """The same with the pools between them: the paper's 27."""
        return self.layers + sum(row.pool for row in self.rows)

    @property
    def blocks(self) -> Counter[str]:
        """The building blocks of the training graph by kind: the paper's "about 100"."""
        return total(row.cost for row in self.rows + self.heads).blocks
