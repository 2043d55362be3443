"""The page's files: one HTML file with everything inside, or a folder for any static host."""

from __future__ import annotations

import gzip
import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from googlenet.export.web.graph import has_maps
from googlenet.export.web.runtime import PACKAGE, VERSION
from googlenet.inference.classifier import Classifier
from googlenet.runtime.template import render_template

SCRIPTS = ("resize.js", "network.js", "pictures.js", "app.js")
NETWORK = "network.onnx"
INDEX = "index.html"
NAMED_CLASSES = 8  # at most, in the page's title


def write_page(
    classifier: Classifier, network: bytes, runtime: Mapping[str, bytes], out: Path, single: bool
) -> None:
    """Write the page: `out` is the HTML file if `single`, else a folder, which is made.

    network: the .onnx file's bytes.  runtime: the files of `read_runtime`.
    """
    large = {
        name: gzip.compress(content, 9, mtime=0)
        for name, content in {**runtime, NETWORK: network}.items()
    }
    value = model_value(classifier) | {"serviceWorker": not single}
    scripts = {name: asset(name) for name in SCRIPTS}
    style = asset("page.css")
    digest = hashlib.sha256(json.dumps([value, scripts, style]).encode())
    for content in large.values():
        digest.update(content)
    version = digest.hexdigest()[:16]
    inside = {name: b64encode(content).decode() for name, content in large.items()}
    page = render_template(
        __package__, "page.html",
        model=value | {"version": version},
        title=title(classifier),
        about=about(classifier),
        has_maps=value["hasMaps"],
        megabytes=f"{sum(map(len, large.values())) / 1e6:.1f}",
        style=Markup(style),
        scripts={name: Markup(text) for name, text in scripts.items()},
        inside={name: Markup(text) for name, text in inside.items()} if single else {},
    )  # fmt: skip
    if single:
        out.write_text(page, encoding="utf-8")
        return
    # The large files are asked for by the version too, so that no host's cache mixes two of them.
    addresses = ["./", INDEX, "page.css", *SCRIPTS, *(f"{name}.gz?{version}" for name in large)]
    offline = render_template(__package__, "offline.js", files=addresses, version=version)
    write_folder(out, {INDEX: page, "page.css": style, "offline.js": offline, **scripts}, large)


def write_folder(out: Path, texts: Mapping[str, str], large: Mapping[str, bytes]) -> None:
    out.mkdir()
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
    for name, content in large.items():
        (out / f"{name}.gz").write_bytes(content)


def asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def model_value(classifier: Classifier) -> dict[str, Any]:
    """What the page's programs need to know of the model."""
    p = classifier.preprocessing
    ood = classifier.calibration and classifier.calibration.ood
    return {
        "classes": [one.name for one in classifier.classes],
        "preprocessing": {
            **p.to_json(),
            "padding": p.padding_color(),
            "rowsFirst": pillow_takes_rows_first(),
        },
        "multilabel": classifier.multilabel,
        "threshold": classifier.threshold if classifier.multilabel else None,
        "unknownBelow": ood.threshold if ood else None,
        "hasMaps": has_maps(classifier),
    }


@cache
def pillow_takes_rows_first() -> bool:
    """Whether this Pillow resizes rows before columns where an image loses far more of them.

    Pillow 13 does, of images that lose more than twice as many rows as columns; before it,
    columns always came first.  The two orders round differently.
    """
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 16, 3), np.uint8))
    whole = image.resize((12, 16), Image.Resampling.BILINEAR)
    rows = image.resize((16, 16), Image.Resampling.BILINEAR)
    return whole.tobytes() == rows.resize((12, 16), Image.Resampling.BILINEAR).tobytes()


def title(classifier: Classifier) -> str:
    names = [one.name.split(",")[0] for one in classifier.classes]
    some = "" if len(names) > NAMED_CLASSES else f": {', '.join(names)}"
    return f"GoogLeNet “{classifier.variant}”, {len(names):,} classes{some}"


def about(classifier: Classifier) -> str:
    licence = f"Model licence: {classifier.licence}. " if classifier.licence else ""
    return f"{licence}Runs with {PACKAGE} {VERSION}, © Microsoft Corporation, MIT License."
