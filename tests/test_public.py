"""The public names, frozen: a change here is a change for users."""

from __future__ import annotations

import subprocess
import sys

import pytest

import googlenet

HEAVY = (
    "torch",
    "numpy",
    "PIL",
    "safetensors",
    "matplotlib",
    "sklearn",
    "jinja2",
    "tqdm",
    "starlette",
)


def test_public_names() -> None:
    assert googlenet.__all__ == ["Classifier", "GoogLeNet", "__version__"]
    assert googlenet.Classifier.__module__ == "googlenet.load"
    assert googlenet.GoogLeNet.__module__ == "googlenet.models.googlenet"


def test_name_that_does_not_exist() -> None:
    with pytest.raises(AttributeError, match="'googlenet' has no attribute 'Inception'"):
        googlenet.Inception  # noqa: B018


def imported_by(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter has imported after `code`."""
    probe = f"{code}\nimport sys\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(run.stdout.split("\n")[-2].split())


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert imported_by("import googlenet") == set()
    assert imported_by("import numpy") == {"numpy"}  # the probe can see


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["serve", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert (
        imported_by(
            "from googlenet.cli import main\n"
            f"try: main({arguments!r})\n"
            "except SystemExit as end: assert end.code == 0"
        )
        == set()
    )
