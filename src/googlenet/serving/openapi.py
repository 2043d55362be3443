"""The OpenAPI 3.1 description of the service: `openapi.json`, completed with its settings."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import resources
from typing import Any

from googlenet import __version__
from googlenet.serving.limits import Limits


def description(limits: Limits, token: bool) -> dict[str, Any]:
    """The document with this service's limits, and without authentication if it has no token."""
    text = resources.files("googlenet.serving").joinpath("openapi.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    document["info"]["version"] = __version__
    predict = document["paths"]["/predict"]["post"]
    predict["description"] = predict["description"].format(**asdict(limits))
    if not token:
        del document["components"]["securitySchemes"], document["components"]["responses"]["401"]
        for path in document["paths"].values():
            for operation in path.values():
                operation.pop("security", None)
                operation["responses"].pop("401", None)
    return document
