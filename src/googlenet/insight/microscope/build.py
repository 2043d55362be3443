"""Makes a microscope, part by part, so that it can be stopped and resumed at any time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from time import perf_counter
from typing import Any

from googlenet.insight.chunks import Chunk, Workers
from googlenet.insight.microscope.atlas import layout_chunks, vector_chunks
from googlenet.insight.microscope.connections import connection_chunks, pairs_of
from googlenet.insight.microscope.data import (
    write_classes,
    write_data,
    write_images,
    write_layers,
    write_site,
)
from googlenet.insight.microscope.examples import example_chunks, merge, save
from googlenet.insight.microscope.images import image_chunks
from googlenet.insight.microscope.plan import Plan
from googlenet.insight.microscope.visualizations import COLUMNS, ROWS, visualization_chunks
from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.files import LEFT_BEHIND, remove_stale_temp, write_bytes, write_text

MARK = "microscope.json"  # what ties a folder to a plan
PAGE = ("index.html", "style.css", "app.js", "views.js", "parts.js")


@dataclass(frozen=True)
class Result:
    """How many chunks are made, of how many; why images could not be read, by their numbers."""

    done: int
    chunks: int
    unreadable: dict[int, str]
    bytes: int

    @property
    def complete(self) -> bool:
        return self.done == self.chunks


@dataclass
class Progress:
    """Told what is done: `begin` of how many CPU-seconds and how many of these are done already,
    `advance` of a chunk's."""

    begin: Callable[[float, float], object] = lambda total, done: None
    advance: Callable[[float], object] = lambda cost: None


def build(
    plan: Plan,
    processes: int = 1,
    should_stop: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
) -> Result:
    """Make what is missing of a plan's site, the deepest layers first, until `should_stop`.

    The site can be looked at at any moment and shows what is there.  Made in one go or in
    several, by one process or more, it has the same bytes.  Raises UsageError where the folder
    holds something else, GoogLeNetError where no image can be read.
    """
    progress = progress or Progress()
    open_folder(plan)
    first = [*example_chunks(plan), *vector_chunks(plan)]
    tables = [*image_chunks(plan), *connection_chunks(plan), *layout_chunks(plan)]
    later = [*tables, *visualization_chunks(plan)]
    everything = [*first, *later]
    mark = read_mark(plan)
    if mark["complete"]:
        errors = {int(image): text for image, text in mark["unreadable"].items()}
        return Result(len(everything), len(everything), errors, size_of(plan.folder))
    done = sum(chunk.cost for chunk in everything if chunk.done)
    progress.begin(sum(chunk.cost for chunk in everything), done)
    errors = {}
    with Workers(plan, processes) as workers:
        run(workers, first, should_stop, progress)
        if all(chunk.done for chunk in first):
            errors = write_statistics(plan)
            write_status(plan, later)
            run(workers, tables, should_stop, progress, lambda: write_status(plan, later))
        if all(chunk.done for chunk in tables):
            run(workers, later, should_stop, progress, lambda: write_status(plan, later))
    made = sum(chunk.done for chunk in everything)
    if made == len(everything):
        finish(plan, errors)
    return Result(made, len(everything), errors, size_of(plan.folder))


def run(
    workers: Workers,
    chunks: Sequence[Chunk],
    should_stop: Callable[[], bool],
    progress: Progress,
    after: Callable[[], object] = lambda: None,
) -> None:
    for chunk in workers.run(chunks, should_stop):
        progress.advance(chunk.cost)
        after()


def open_folder(plan: Plan) -> None:
    """Make the site's folder and put the page there.

    Raises UsageError for a folder with the microscope of another model or other settings, and for
    one with anything else in it.
    """
    mark = plan.folder / MARK
    if mark.exists():
        try:
            key = json.loads(mark.read_text(encoding="utf-8"))["key"]
        except (ValueError, KeyError, TypeError) as error:
            raise GoogLeNetError(f"{mark}: is damaged ({error!r})") from error
        if key != plan.key:
            raise UsageError(
                f"--out must be a new folder, got {plan.folder}, which holds the microscope of "
                "another model, data set or settings"
            )
    else:
        if plan.folder.exists() and not is_empty(plan.folder):
            raise UsageError(f"--out must be a new or an empty folder, got {plan.folder}")
        plan.folder.mkdir(parents=True, exist_ok=True)
        write_text(mark, json.dumps({"key": plan.key, "complete": False}) + "\n")
    for name in ("data", "images", "visualizations"):
        (plan.folder / name).mkdir(exist_ok=True)
    for folder in (plan.folder, *plan.folder.glob("*/")):
        remove_stale_temp(folder)
    if not read_mark(plan)["complete"]:
        plan.work.mkdir(exist_ok=True)
    for name in PAGE:
        content = files("googlenet.insight.microscope").joinpath("page", name).read_bytes()
        write_bytes(plan.folder / name, content)


def is_empty(path: Path) -> bool:
    """Whether a folder has nothing in it but what a kill leaves behind before there is a mark."""
    return path.is_dir() and all(inside.match(LEFT_BEHIND) for inside in path.iterdir())


def read_mark(plan: Plan) -> dict[str, Any]:
    """key; complete; and if it is, unreadable: errors by the images' numbers."""
    mark: dict[str, Any] = json.loads((plan.folder / MARK).read_text(encoding="utf-8"))
    return mark


def write_statistics(plan: Plan) -> dict[int, str]:
    """What is known once all images have been read.  Returns the errors of unreadable ones."""
    examples = merge(plan)
    if not len(examples.images):
        raise GoogLeNetError(f"no image could be read: {next(iter(examples.errors.values()))}")
    write_layers(plan, examples)
    write_images(plan, examples)
    write_classes(plan, examples)
    sheet = {"columns": COLUMNS, "rows": ROWS} if plan.settings.steps else None
    write_site(plan, examples, connections=pairs_of(plan), atlas=plan.settings.atlas, sheet=sheet)
    save(plan.work / "scales.npz", scales=examples.scales)
    return examples.errors


def write_status(plan: Plan, chunks: Sequence[Chunk]) -> None:
    """data/status.js: which parts are there yet."""
    there = sorted(c.path.relative_to(plan.folder).as_posix() for c in chunks if c.done)
    write_data(plan.folder, "status", {"parts": len(chunks), "there": there})


def finish(plan: Plan, errors: dict[int, str]) -> None:
    """Remove what only the making needed, once everything is there."""
    mark = {"key": plan.key, "complete": True, "unreadable": errors}
    write_text(plan.folder / MARK, json.dumps(mark) + "\n")
    shutil.rmtree(plan.work, ignore_errors=True)


def size_of(folder: Path) -> int:
    """The bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Deadline:
    """Whether the time is over; without a limit never."""

    def __init__(self, seconds: float | None, clock: Callable[[], float] = perf_counter) -> None:
        self.clock, self.end = clock, None if seconds is None else clock() + seconds

    def __call__(self) -> bool:
        return self.end is not None and self.clock() >= self.end
