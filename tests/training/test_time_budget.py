"""A time limit on a clock that only work moves."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from googlenet.data.dataset import Samples
from googlenet.evaluation import accuracy
from googlenet.runtime.console import Console
from googlenet.runtime.errors import UsageError
from googlenet.training import epochs, run, timing
from googlenet.training.loop import Trainer
from googlenet.training.plan import Plan
from googlenet.training.run import train
from googlenet.training.run_folder import RunFolder
from googlenet.training.settings import Settings
from googlenet.training.setup import Run, prepare
from googlenet.training.time_budget import (
    PLANNED_FRACTION,
    Costs,
    RunLength,
    TimeBudget,
    fit_epochs,
    format_duration,
)
from tests.fixtures import photo_folder
from tests.training.small_runs import QUICK, same_bits, settings, state, trainer


class Clock:
    """Seconds that pass only where they are spent."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limited(seconds: float, clock: Clock, costs: Costs) -> TimeBudget:
    limit = TimeBudget(seconds, clock)
    limit.costs = costs
    return limit


COSTS = Costs(step=2, validation=10, end=30)


@pytest.mark.parametrize(
    ("seconds", "most", "expected"),
    [
        (30 + 110 / PLANNED_FRACTION, None, RunLength(1)),  # 50 steps and a validation
        (30 + 1100 / PLANNED_FRACTION, None, RunLength(10)),
        (30 + 1100 / PLANNED_FRACTION, 4, RunLength(4)),
        (30 + 109 / PLANNED_FRACTION, None, RunLength(1, 49 / 50)),
        (30 + 31 / PLANNED_FRACTION, None, RunLength(1, 10 / 50)),
    ],
)
def test_epochs_that_fit(seconds: float, most: int | None, expected: RunLength) -> None:
    assert fit_epochs(limited(seconds, Clock(), COSTS), 50, most) == expected


def test_what_does_not_fit_says_what_would() -> None:
    clock = Clock()
    limit = limited(60, clock, COSTS)
    clock.now += 12  # for loading and measuring
    with pytest.raises(UsageError) as caught:
        fit_epochs(limit, 50)
    # 12 s gone, 30 for the end, and with a margin 10 for validation and 20 for ten steps
    assert str(caught.value) == (
        "--time-limit must leave time for 10 steps of training, validation and report: "
        "76s here, got 60s"
    )
    assert fit_epochs(limited(76 - 12, clock, COSTS), 50) == RunLength(1, 10 / 50)


def test_time_that_is_left_and_reserved() -> None:
    clock = Clock()
    limit = limited(100, clock, COSTS)
    limit.spent = 20
    clock.now += 35
    due = limit.steps()
    clock.now += 2
    assert (limit.left, limit.reserve, due()) == (43, 40, False)
    clock.now += 2
    assert due()  # 41 s are left, and another step would take 2
    stop = limit.stopwatch()
    clock.now += 5  # half of what was measured: so will the end be
    stop()
    assert (limit.left, limit.reserve, due()) == (36, 20, False)


@pytest.mark.parametrize(
    ("seconds", "text"), [(90, "90s"), (1800, "30m"), (5400, "90m"), (9000, "2.5h")]
)
def test_times_are_shown_as_they_are_given(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images to train on, in three steps of four, and six to validate on."""
    parts = {f"train/{c}": 4 for c in ("red", "green", "blue")}
    parts |= {f"val/{c}": 2 for c in ("red", "green", "blue")}
    return photo_folder(tmp_path_factory.mktemp("data"), parts)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A step takes 2 seconds, or what `clock.step` says, and every view of an image one."""
    ticking: Any = Clock()
    ticking.step = 2.0
    learn, evaluate = Trainer.train_step, accuracy.score

    def train_step(self: Trainer, batch: Any) -> None:
        ticking.now += ticking.step
        learn(self, batch)

    def score(classifier: Any, samples: Samples, views: int = 1, *rest: Any, **more: Any) -> Any:
        ticking.now += views * len(samples)
        return evaluate(classifier, samples, views, *rest, **more)

    monkeypatch.setattr(Trainer, "train_step", train_step)
    monkeypatch.setattr(timing, "score", score)
    monkeypatch.setattr(epochs, "score", score)
    monkeypatch.setattr(run, "score", score)
    return ticking  # type: ignore[no-any-return]


def prepared(
    options: Settings, out: Path, clock: Clock, *, resume: bool = False, **plan: Any
) -> tuple[Run, io.StringIO]:
    said = io.StringIO()
    assert options.time_limit
    limit = TimeBudget(options.time_limit, clock)
    return prepare(
        options, RunFolder(out), Console(said), resume, Plan(time_budget=limit, **plan)
    ), said


@pytest.mark.slow
def test_measured_costs_are_those_of_the_clock(data: Path, tmp_path: Path, clock: Clock) -> None:
    began = clock.now
    prepared_run, _ = prepared(
        settings(data, time_limit=900), tmp_path / "run", clock, views=(1, 10), label_check_images=5
    )
    limit = prepared_run.time_budget
    assert limit
    # validation: six images; the end: the same, once more with ten views, five more images
    assert limit.costs == Costs(2.0, 6.0, timing.REPORT_SECONDS + 6 + 60 + 5)
    assert limit.began == began
    assert limit.left < 900


@pytest.mark.slow
def test_run_is_over_within_its_limit_and_repeats_by_its_epochs(
    data: Path, tmp_path: Path, clock: Clock
) -> None:
    began = clock.now
    timed, said = prepared(settings(data, time_limit=300), tmp_path / "timed", clock)
    epochs = timed.settings.recipe.epochs
    assert epochs > 3
    costs = "6.0 s per epoch, 6.0 s per validation, 16.0 s at the end"
    assert f"time limit 5m: {costs}: {epochs} epochs" in said.getvalue()
    assert json.loads(timed.folder.settings.read_text())["recipe"]["epochs"] == epochs
    train(timed)
    assert 0.8 * 300 < clock.now - began < 300
    plain = settings(data, recipe=QUICK.with_settings({"epochs": epochs}))
    again = prepare(plain, RunFolder(tmp_path / "plain"), Console(io.StringIO()), False)
    train(again)
    assert same_bits(state(timed.trainer.network), state(again.trainer.network))
    assert same_bits(state(timed.trainer.averaged_model()), state(again.trainer.averaged_model()))


@pytest.mark.slow
def test_machine_that_becomes_slower_still_ends_in_time(
    data: Path, tmp_path: Path, clock: Any
) -> None:
    began = clock.now
    slow, said = prepared(settings(data, time_limit=300), tmp_path / "slow", clock)
    clock.step = 11.0
    trained = train(slow)
    assert clock.now - began <= 300
    rows = slow.progress.history
    assert rows[-1]["out_of_time"] == 1
    assert all("out_of_time" not in row for row in rows[:-1])
    assert len(rows) < slow.settings.recipe.epochs
    assert "time limit reached: training ends after " in said.getvalue()
    assert len(trained.scores[1]) == 6
    assert slow.folder.last.is_file()
    # It has ended: resumed, it is evaluated and no more.
    options = Settings.from_json(slow.folder.read_settings())
    resumed, _ = prepared(options, tmp_path / "slow", clock, resume=True)
    train(resumed)
    assert resumed.progress.history == rows
    assert resumed.trainer.step == slow.trainer.step


@pytest.mark.slow
def test_part_of_an_epoch_where_a_whole_one_does_not_fit(tmp_path: Path, clock: Clock) -> None:
    parts = {f"train/{c}": 40 for c in ("red", "green")} | {f"val/{c}": 1 for c in ("red", "green")}
    data = photo_folder(tmp_path / "data", parts)
    short, said = prepared(settings(data, time_limit=66), tmp_path / "run", clock)
    assert "one epoch of " in said.getvalue()
    assert 0.5 <= short.settings.recipe.epoch_fraction < 1
    assert short.settings.recipe.epochs == 1
    train(short)
    assert short.trainer.finished
    assert short.trainer.step == round(short.settings.recipe.epoch_fraction * 20)


def test_nothing_is_written_where_the_limit_is_too_short(
    data: Path, tmp_path: Path, clock: Clock
) -> None:
    with pytest.raises(UsageError, match=r"--time-limit must leave time for 3 steps .* got 25s"):
        prepared(settings(data, time_limit=25), tmp_path / "run", clock)
    assert not list(tmp_path.iterdir())


def test_limit_that_is_over_while_it_is_measured(data: Path, tmp_path: Path, clock: Any) -> None:
    """On a machine that has so much else to do that the first steps take longer."""
    clock.step = 40.0
    with pytest.raises(UsageError, match="must leave time for training, got 60s: loading the data"):
        prepared(settings(data, time_limit=60), tmp_path / "run", clock)
    assert clock.now - 1000 <= 120  # two steps and no more
    assert not list(tmp_path.iterdir())


def test_share_of_an_epoch_is_a_function_of_seed_and_epoch() -> None:
    """A part of the order of a whole epoch, another one in the next."""
    part, whole = trainer(QUICK.with_settings({"epoch_fraction": 0.5})), trainer()
    drawn = [[int(i) for b in part.epoch_batches(e) for i in b] for e in (0, 1)]
    assert drawn[0] == [int(i) for b in whole.epoch_batches(0) for i in b][:5]
    assert len(drawn[1]) == 5
    assert drawn[0] != drawn[1]
