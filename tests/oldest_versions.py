"""The oldest versions that pyproject.toml allows, as constraints for pip.

python tests/oldest_versions.py > oldest.txt
pip install --constraint oldest.txt --editable '.[dev]'

The project's own dependencies and those of its extras; what only its tests use is left free.
"""

from __future__ import annotations

import tomllib
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def oldest() -> dict[str, str]:
    """The lower bound of each package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {n: lines for n, lines in project["optional-dependencies"].items() if n != "dev"}
    bounds = {}
    for requirement in map(Requirement, chain(project["dependencies"], *extras.values())):
        (bound,) = requirement.specifier
        bounds[requirement.name] = bound.version
    return bounds


if __name__ == "__main__":
    for name, version in sorted(oldest().items()):
        print(f"{name}=={version}")
