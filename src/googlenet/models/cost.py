"""What each network costs per image, counted from its table, without torch.

`network_cost("paper")` has the rows of Table 1 in order.  `cost_types.py` says what counts.
"""

from __future__ import annotations

from googlenet.models import baseline_tables as plain
from googlenet.models import sides, table
from googlenet.models.cost_types import (
    CONCATENATIONS,
    DROPOUTS,
    LOSSES,
    LRNS,
    POOLS,
    Cost,
    NetworkCost,
    Row,
    convolution,
    in_place,
    linear,
    outputs_of,
    total,
)
from googlenet.runtime.errors import UsageError

NAMES = (*table.VARIANTS, *plain.BASELINES)  # of every network of the project


def network_cost(
    name: str,
    size: int | None = None,
    classes: int | None = None,
    in_channels: int | None = None,
    width: float = 1.0,
) -> NetworkCost:
    """The cost of a network of any name, by default at the size for which it was published.

    Raises UsageError for a name that does not exist and for numbers out of range.
    """
    if name in plain.BASELINES:
        return baseline_cost(plain.architecture(name).scaled(width), size, classes, in_channels)
    if table.is_variant(name):
        return variant_cost(table.variant(name).scaled(width), size, classes, in_channels)
    raise UsageError(f"variant must be one of {', '.join(NAMES)}, got {name!r}")


def check_counts(classes: int, in_channels: int) -> None:
    for option, value in (("classes", classes), ("in_channels", in_channels)):
        if value < 1:
            raise UsageError(f"{option} must be at least 1, got {value}")


def variant_cost(
    network: table.Variant,
    size: int | None = None,
    classes: int | None = None,
    in_channels: int | None = None,
) -> NetworkCost:
    """The cost of a value of `table.py`, published for 3 channels at 224×224.

    Raises UsageError for a size that leaves no pixel, or no class or channel at all.
    """
    size = 224 if size is None else size
    classes = network.classes if classes is None else classes
    in_channels = 3 if in_channels is None else in_channels
    check_counts(classes, in_channels)
    final = sides.final_side(network, size)
    trunk = trunk_rows(network, size, in_channels)
    features = trunk[-1].output[2]
    heads = (
        head_row(key, row.output[2], classes, network)
        for row in trunk
        for key in table.HEADS
        if network.aux_pool and row.modules == (f"inception_{key}",)
    )
    rows = (*trunk, *classifier_rows(network, final, features, classes))
    return NetworkCost(network.name, size, in_channels, classes, rows, tuple(heads))


def trunk_rows(network: table.Variant, size: int, in_channels: int) -> tuple[Row, ...]:
    """The rows from the image to the last module.

    As in Table 1, a 1×1 convolution belongs to the row of the convolution that it reduces for,
    and a normalization, which Table 1 leaves out, to the row before it.
    """
    rows: list[Row] = []
    channels, side, reducing = in_channels, size, False
    for stage in network.trunk():
        side = sides.stage_output(stage, side, network.padding)
        row = stage_row(stage, channels, side, network)
        channels = row.output[2]
        if reducing:
            rows[-1] = rows[-1].joined(row, title=row)
        elif isinstance(stage, table.Normalize):
            rows[-1] = rows[-1].joined(row, title=rows[-1])
        else:
            rows.append(row)
        reducing = isinstance(stage, table.Conv) and stage.kernel == 1
    return tuple(rows)


def stage_row(stage: table.Stage, inputs: int, side: int, network: table.Variant) -> Row:
    """One stage by itself, with an output of side×side pixels."""
    match stage:
        case table.Conv(name, filters, kernel, stride):
            separable = name == "conv1" and network.stem == "separable"
            cost = conv_cost(inputs, filters, kernel, side, network, separable=separable)
            title = f"convolution {kernel}×{kernel}/{stride}"
            return Row(title, (side, side, filters), cost, (name,), depth=1)
        case table.MaxPool(name, kernel, stride):
            cost = outputs_of(POOLS, inputs, side)
            title = f"max pool {kernel}×{kernel}/{stride}"
            return Row(title, (side, side, inputs), cost, (name,), pool=True)
        case table.Normalize(name):
            return Row(name, (side, side, inputs), outputs_of(LRNS, inputs, side), (name,))
        case table.InceptionModule(name, widths):
            cost = module_cost(inputs, widths, side, network)
            channels = network.module_channels(widths, inputs)
            title = f"inception ({name.removeprefix('inception_')})"
            depth = 2 if network.has_reductions else 1
            return Row(title, (side, side, channels), cost, (name,), depth, widths=widths)


def conv_cost(
    inputs: int,
    filters: int,
    kernel: int,
    side: int,
    network: table.Variant,
    *,
    separable: bool = False,
) -> Cost:
    """A convolution with the variant's normalization; a separable one has two halves."""
    norm = network.norm
    biases = 1 + norm.scale if isinstance(norm, table.BatchNorm) else 1
    if not separable:
        return convolution(inputs, filters, kernel, side, biases=biases)
    hidden = inputs * table.STEM_DEPTH_MULTIPLIER
    depthwise = convolution(inputs, hidden, kernel, side, groups=inputs, biases=0)
    return depthwise + convolution(hidden, filters, 1, side, biases=biases)


def module_cost(inputs: int, widths: table.Widths, side: int, network: table.Variant) -> Cost:
    """Figure 2(b), or 2(a) for the naive variant: four branches, a pool and a concatenation."""

    def conv(inputs: int, filters: int, kernel: int) -> Cost:
        return conv_cost(inputs, filters, kernel, side, network)

    large = network.large_kernel
    costs = [conv(inputs, widths.c1, 1)]
    if network.has_reductions:
        costs += [conv(inputs, widths.r3, 1), conv(widths.r3, widths.c3, 3)]
        costs += [conv(inputs, widths.r5, 1), conv(widths.r5, widths.c5, large)]
        costs += [conv(inputs, widths.proj, 1)]
    else:
        costs += [conv(inputs, widths.c3, 3), conv(inputs, widths.c5, large)]
    return total([*costs, outputs_of(POOLS, inputs, side), in_place(CONCATENATIONS)])


def classifier_rows(
    network: table.Variant, side: int, features: int, classes: int
) -> tuple[Row, ...]:
    """The rows under the last module: average pool, dropout, linear, softmax."""
    pooled, logits = (1, 1, features), (1, 1, classes)
    average = outputs_of(POOLS, features, 1)
    return (
        Row(f"avg pool {side}×{side}/1", pooled, average, ("avgpool",), pool=True),
        Row(f"dropout ({network.dropout:.0%})", pooled, in_place(DROPOUTS), ("dropout",)),
        Row("linear", logits, linear(features, classes), ("classifier",), depth=1),
        Row("softmax", logits, in_place(LOSSES)),
    )


def head_row(key: str, inputs: int, classes: int, network: table.Variant) -> Row:
    """The auxiliary head on module `key`; it pools a map of any size to 4×4."""
    side = 4
    cost = total(
        [
            outputs_of(POOLS, inputs, side),
            conv_cost(inputs, network.head_filters, 1, side, network),
            linear(network.head_filters * side * side, network.head_units),
            in_place(DROPOUTS),
            linear(network.head_units, classes),
            in_place(LOSSES),
        ]
    )
    return Row(f"auxiliary head ({key})", (1, 1, classes), cost, (f"aux_{key}",), depth=3)


def baseline_cost(
    network: plain.Architecture,
    size: int | None = None,
    classes: int | None = None,
    in_channels: int | None = None,
) -> NetworkCost:
    """The cost of a value of `baseline_tables.py`, by default as published.

    Raises UsageError for a size that leaves no pixel, or no class or channel at all.
    """
    size = network.size if size is None else size
    classes = network.classes if classes is None else classes
    in_channels = network.in_channels if in_channels is None else in_channels
    check_counts(classes, in_channels)
    network.check_size(size)
    rows = []
    inputs, before = in_channels, size
    outputs = network.outputs(size, classes, in_channels)
    for stage, (channels, side) in zip(network.stages, outputs, strict=True):
        if not isinstance(stage, plain.Dropout) or stage.rate:
            rows.append(baseline_row(stage, inputs, before, channels, side))
        inputs, before = channels, side
    rows.append(Row("softmax", (1, 1, classes), in_place(LOSSES)))
    return NetworkCost(network.name, size, in_channels, classes, tuple(rows))


def baseline_row(stage: plain.Stage, inputs: int, before: int, channels: int, side: int) -> Row:
    """One layer, from a map of inputs×before×before to one of channels×side×side."""
    name, output, modules = stage.name, (side, side, channels), (stage.name,)
    match stage:
        case plain.Conv(_, _, kernel, stride, _, groups):
            cost = convolution(inputs, channels, kernel, side, groups=groups)
            return Row(f"{name} {kernel}×{kernel}/{stride}", output, cost, modules, depth=1)
        case plain.Linear():
            cost = linear(inputs * before * before, channels)
            return Row(name, output, cost, modules, depth=1)
        case table.MaxPool(_, kernel, stride):
            cost = outputs_of(POOLS, channels, side)
            return Row(f"{name} {kernel}×{kernel}/{stride}", output, cost, modules, pool=True)
        case plain.GlobalPool():
            cost = outputs_of(POOLS, channels, side)
            return Row(f"{name} {before}×{before}/1", output, cost, modules, pool=True)
        case plain.Normalize():
            return Row(name, output, outputs_of(LRNS, channels, side), modules)
        case plain.Dropout(_, rate):
            return Row(f"{name} ({rate:.0%})", output, in_place(DROPOUTS), modules)
