"""The model card of a Hugging Face repository, written from a model's header.

https://huggingface.co/docs/hub/model-cards: Markdown behind a block of YAML, whose values are
written as JSON, which is YAML too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from googlenet.inference.header import ModelHeader
from googlenet.models.table import variant_name
from googlenet.runtime.errors import printable

# The licences that the hub knows, of those that weights of GoogLeNet come with.
HUB_LICENCES = ("apache-2.0", "bsd-3-clause", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0")
METRIC_NAMES = {
    "top1_error": "top-1 error, %",
    "top5_error": "top-5 error, %",
    "macro_f1": "macro-F1, %",
    "balanced_accuracy": "balanced accuracy, %",
    "mean_average_precision": "mean average precision, %",
    "micro_f1": "micro-F1, %",
    "exact_match": "exact match, %",
}
MAX_CLASSES = 100  # that the card names

USE = """\
```python
from googlenet import Classifier

classifier = Classifier.from_pretrained("THIS_FOLDER_OR_REPOSITORY")
for found in classifier.predict(["photo.jpg"]):
    print(found.label, found.probability)
```"""


def model_card(header: ModelHeader) -> str:
    """README.md of a repository with the model."""
    sections = [
        front_matter(header),
        f"# GoogLeNet ({cell(variant_name(header.variant))}), {len(header.classes)} classes",
        summary(header),
        "## Use\n\n" + USE,
        *titled("Accuracy", metric_table(header.metrics)),
        "## Classes\n\n" + class_list(header),
        "## Licence\n\n" + cell(header.licence or "not known"),
        *titled("Provenance", provenance_table(header.provenance)),
    ]
    return "\n\n".join(sections) + "\n"


def front_matter(header: ModelHeader) -> str:
    """What the hub reads; a licence that it does not know is "other", with its name."""
    values: dict[str, Any] = {
        "library_name": "googlenet",
        "pipeline_tag": "image-classification",
        "tags": ["googlenet", "inception", "image-classification"],
    }
    licence = header.licence
    if licence and licence.lower() in HUB_LICENCES:
        values["license"] = licence.lower()
    elif licence:
        values |= {"license": "other", "license_name": licence}
    lines = [f"{name}: {json.dumps(value)}" for name, value in values.items()]
    return "\n".join(["---", *lines, "---"])


def summary(header: ModelHeader) -> str:
    p, ood = header.preprocessing, header.calibration and header.calibration.ood
    sentences = [
        f"Images of {p.size}×{p.size} pixels, {p.channel_order}, width multiplier "
        f"{header.width:g}, {header.parameters:,} parameters.",
        "An image can have several labels, or none." if header.multilabel else "",
        "Probabilities are calibrated." if header.calibration else "",
        "Images unlike those of the training are marked as unknown." if ood else "",
        "`model.safetensors` holds classes, preprocessing, and calibration.",
    ]
    return " ".join(filter(None, sentences))


def titled(title: str, rows: list[str]) -> Iterator[str]:
    """A section, unless it is empty."""
    if rows:
        yield f"## {title}\n\n" + "\n".join(rows)


def metric_table(by_views: Mapping[str, Any]) -> list[str]:
    """A row for each metric and number of views, with its 95 % interval."""
    rows = []
    for views, found in by_views.items():
        if not isinstance(found, Mapping):
            continue
        intervals = found.get("intervals") or {}
        for name, title in METRIC_NAMES.items():
            if not isinstance(found.get(name), int | float):
                continue
            interval = intervals.get(name) if isinstance(intervals, Mapping) else None
            between = f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "not known"
            images = found.get("images", "not known")
            rows.append(
                f"| {title} | {found[name]:.2f} | {between} | {cell(views)} | {cell(images)} |"
            )
    head = ["| Metric | Value | 95 % interval | Views | Images |", "|---|---|---|---|---|"]
    return head + rows if rows else []


def class_list(header: ModelHeader) -> str:
    names = [cell(c.name) for c in header.classes[:MAX_CLASSES]]
    more = len(header.classes) - len(names)
    return ", ".join(names) + (f", and {more} more, in `config.json`" if more else "")


def provenance_table(provenance: Mapping[str, Any]) -> list[str]:
    """What made the model, and the model that it began with.

    The hashes of its training images stay in the file.
    """
    rows = [f"| {title} | {cell(value)} |" for title, value in facts(provenance)]
    return ["| | |", "|---|---|", *rows] if rows else []


def facts(provenance: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in provenance.items():
        title = f"{prefix}{cell(name.replace('_', ' '))}"
        if isinstance(value, str | int | float):
            yield title, value
        elif isinstance(value, Mapping) and name == "weights" and not prefix:
            yield from facts(value, "weights: ")


def cell(value: object) -> str:
    """A value as text of Markdown, on one line and without markup of its own."""
    text = escape(printable(str(value)), quote=False)
    return "".join("\\" + c if c in "\\`*_[]|" else c for c in text)
