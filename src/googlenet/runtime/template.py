"""Pages from templates: HTML in which every value is escaped and none may be missing."""

from __future__ import annotations

from typing import Any

import jinja2


def render_template(package: str, template: str, /, **values: Any) -> str:
    """A template in the folder of a package, filled in."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
