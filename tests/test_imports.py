"""Imports point one way: the house of docs/architecture.md, held."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import googlenet

PACKAGE = Path(googlenet.__file__).parent

# A wing imports from itself and from these; siblings never import each other.
FOUNDATION = {"runtime"}
PIXELS = FOUNDATION | {"images"}
READING = PIXELS | {"parallel", "data"}
COMPUTING = FOUNDATION | {"parallel", "models", "kernels"}
INFERENCE = READING | COMPUTING | {"inference"}
ALLOWED: dict[str, set[str]] = {
    "runtime": set(),
    "parallel": FOUNDATION,
    "models": FOUNDATION,
    "kernels": FOUNDATION | {"models"},
    "images": FOUNDATION,
    "data": PIXELS | {"parallel"},
    "checks": READING,
    "inference": READING | COMPUTING,
    "weights": INFERENCE,
    "export": INFERENCE,
    "hub": INFERENCE,
    "load": INFERENCE | {"weights", "export", "hub"},
    "evaluation": INFERENCE,
    "insight": INFERENCE | {"evaluation"},
    "training": INFERENCE | {"load", "evaluation"},
    "estimator": INFERENCE | {"load", "training"},
    "report": INFERENCE | {"evaluation", "training", "insight"},
    "topology": INFERENCE | {"training"},
    "detection": INFERENCE | {"load", "evaluation", "insight", "training"},
    "serving": INFERENCE | {"insight", "detection"},
    "bench": INFERENCE | {"export"},
    "cli": INFERENCE
    | {"weights", "export", "load", "checks", "evaluation", "training", "report"}
    | {"serving", "bench", "insight", "topology", "detection"},
    "__main__": {"cli"},
    "__init__": {"models", "load"},
}


def imports() -> Iterator[tuple[str, str]]:
    """Every import of a module of ours by a module of ours, wherever in the file it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(("googlenet", *path.relative_to(PACKAGE).with_suffix("").parts))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("googlenet"):
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield module, whole if exists(whole) else str(node.module)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.startswith("googlenet"):
                        yield module, alias.name


def exists(module: str) -> bool:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


def wing(module: str) -> str:
    """The room at the top level that a module is in; "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


def test_every_wing_is_in_the_plan() -> None:
    found = {p.stem for p in PACKAGE.iterdir() if p.is_dir() or p.suffix == ".py"}
    assert found - {"__pycache__", "py"} == set(ALLOWED)
    assert len(found) <= 24


def test_imports_point_one_way() -> None:
    wrong = sorted(
        f"{by} imports {what}"
        for by, what in imports()
        if wing(what) not in {"", wing(by), *ALLOWED[wing(by)]}
    )
    assert wrong == []


def test_no_circle() -> None:
    """No module is reached from itself, in whatever function the imports stand."""
    graph: dict[str, set[str]] = {}
    for by, what in imports():
        graph.setdefault(by.removesuffix(".__init__"), set()).add(what)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path[path.index(module) :], module))
        if module not in done:
            for each in sorted(graph.get(module, set()) - {"googlenet"}):
                visit(each, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())
