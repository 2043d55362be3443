"""The cost of a network as sections of text."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from googlenet.cli.columns import aligned
from googlenet.models import table
from googlenet.models.baseline_tables import BASELINES
from googlenet.models.cost import network_cost
from googlenet.models.cost_types import Cost, NetworkCost, Row
from googlenet.models.paper_claims import Printed, claims, printed, printed_total, unexplained

LINE_LENGTH = 100
REFERENCE = "paper"  # the network that the baselines are compared with


def report(cost: NetworkCost, networks: Sequence[NetworkCost], width: float) -> str:
    """Everything that `googlenet table` prints."""
    sections = [heading(cost, width), rows(cost), modules(cost), counts(cost), notes(cost)]
    sections += [baselines(networks), paper_claims()]
    return "\n\n".join("\n".join(section) for section in sections if section)


def heading(cost: NetworkCost, width: float) -> list[str]:
    if cost.name in table.VARIANTS:
        about = f"Difference from the paper: {table.variant(cost.name).description}"
    elif cost.name in BASELINES:
        about = BASELINES[cost.name].source
    else:
        about = "A table of widths; the rest is that of the variant that it is based on"
    scale = "" if width == 1 else f", width {width:g}"
    shape = f"{cost.size}×{cost.size}×{cost.in_channels}, {cost.classes} classes{scale}"
    return [*wrap(f"{cost.name}. {about}.", LINE_LENGTH), f"Input {shape}"]


def rows(cost: NetworkCost) -> list[str]:
    """Table 1, the totals, and the auxiliary heads, which no total includes."""
    lines = [["", "output", "params", "multiply-adds", "activ., KiB", "printed params", "ops"]]
    for row in cost.rows:
        lines += [[*row_cells(row), *printed_cells(printed(cost.name, row), row.cost)]]
    known = printed_total() if cost.name in table.VARIANTS else None
    lines += [["total", "", *cost_cells(cost.total), *printed_cells(known, cost.total)]]
    lines += [[*row_cells(head), "", ""] for head in cost.heads]
    if cost.heads:
        lines += [["total in training", "", f"{cost.training_params:,}", "", "", "", ""]]
    return aligned(lines if known else [line[:5] for line in lines])


def row_cells(row: Row) -> list[str]:
    height, width, channels = row.output
    return [row.name, f"{height}×{width}×{channels}", *cost_cells(row.cost)]


def cost_cells(cost: Cost) -> list[str]:
    """Parameters, multiply-adds and KiB of activations; zeros are left blank."""
    memory = f"{cost.activation_bytes / 1024:,.1f}" if cost.activations else ""
    return [f"{value:,}" if value else "" for value in (cost.params, cost.macs)] + [memory]


def printed_cells(known: Printed | None, cost: Cost) -> list[str]:
    """The two printed numbers, each marked if it does not follow from the count."""
    if known is None:
        return ["", ""]
    params = known.params_text + (" " if known.params_follow(cost) else "!")
    return [params, known.ops_text + (" " if known.ops_follow(cost) else "!")]


def modules(cost: NetworkCost) -> list[str]:
    """The filters of each Inception module and the fraction of large ones."""
    if cost.name in BASELINES:
        return []
    network = table.VARIANTS.get(cost.name, table.PAPER)
    large = f"{network.large_kernel}×{network.large_kernel}"
    title = ["filters", "1×1", "3×3 reduce", "3×3", f"{large} reduce", large, "pool proj", "output"]
    lines = [[*title, "3×3 and 5×5"]]
    for row in cost.rows:
        if row.widths:
            widths = (
                row.widths if network.has_reductions else row.widths._replace(r3=0, r5=0, proj=0)
            )
            filters = [str(number or "-") for number in (*widths, row.output[2])]
            lines += [[row.name, *filters, f"{row.share:.1%}"]]
    return aligned(lines)


def counts(cost: NetworkCost) -> list[str]:
    blocks = ", ".join(f"{kind} {number}" for kind, number in cost.blocks.items())
    layers = f"{cost.layers} layers with parameters, {cost.layers_with_pools} with pools; "
    text = f"{layers}{cost.blocks.total()} building blocks in training ({blocks})."
    return wrap(text, LINE_LENGTH)


def notes(cost: NetworkCost) -> list[str]:
    """What is known of the printed numbers."""
    if cost.name not in table.VARIANTS:
        return []
    paper, released = table.PAPER, table.variant("google2014")
    marks = (
        "printed: params and ops in Table 1, for 224×224 and 1000 classes. ! marks a number that "
        "does not follow from the filters here: params are weights in K = 1024, within one; ops "
        "are multiply-adds in M = 10⁶, rounded."
    )
    changes = " and ".join(
        f"{now} filters for {then} in {row}"
        for row in paper.modules
        for then, now in zip(paper.modules[row], released.modules[row], strict=True)
        if then != now
    )
    origin = (
        f"With a separable stem, {changes} ({released.name}) every printed ops figure follows, "
        f"and the counts sum to {network_cost(released.name).total.macs:,}. The printed params of "
        f"{', '.join(unexplained())} stay unexplained."
    )
    return [*wrap(marks, LINE_LENGTH), *wrap(origin, LINE_LENGTH)]


def baselines(networks: Sequence[NetworkCost]) -> list[str]:
    """All networks as published, beside the paper's."""
    reference = network_cost(REFERENCE).total
    ratio = f"÷ {REFERENCE}"
    lines = [["network", "input", "layers", "params", ratio, "multiply-adds", ratio, "activ., KiB"]]
    for network in networks:
        params, macs, memory = cost_cells(network.total)
        size = f"{network.size}×{network.size}×{network.in_channels}"
        by_params = f"{network.total.params / reference.params:.2f}"
        by_macs = f"{network.total.macs / reference.macs:.2f}"
        cells = [size, str(network.layers), params, by_params, macs, by_macs, memory]
        lines += [[network.name, *cells]]
    return aligned(lines)


def paper_claims() -> list[str]:
    """The paper's claims, each beside the count."""
    lines = [["the paper says", "counted"], *([claim, computed] for claim, computed in claims())]
    return aligned(lines, left=2)
