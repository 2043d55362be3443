"""What happens to runs: interruptions, full disks, vanished folders, files that others changed.

`test_killed.py` has what happens to those that are killed.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from googlenet.runtime.errors import GoogLeNetError, UsageError
from googlenet.runtime.files import WriteError
from googlenet.training import run_folder
from googlenet.training.epochs import Interrupted
from googlenet.training.run import train
from googlenet.training.run_folder import NumberedRunFolder, RunFolder
from googlenet.training.settings import Settings
from googlenet.training.setup import Run
from tests.cli.conftest import command
from tests.fixtures import photo_folder, slow
from tests.training.small_runs import QUICK, prepared, same_bits, settings

COLOURS = ("red", "green", "blue")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = {f"{part}/{c}": count for part, count in (("train", 3), ("val", 2)) for c in COLOURS}
    return photo_folder(tmp_path_factory.mktemp("survival") / "data", parts)


@pytest.fixture(scope="module")
def options(data: Path) -> Settings:
    """Two epochs of three steps."""
    return settings(data, recipe=QUICK.with_settings({"batch": 3}))


@pytest.fixture(scope="module")
def done(options: Settings, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The undisturbed run."""
    run, _ = prepared(options, tmp_path_factory.mktemp("runs") / "straight")
    train(run)
    return run


@pytest.fixture
def copy(done: Run, tmp_path: Path) -> Path:
    """A copy of the undisturbed run's folder, to spoil."""
    return Path(shutil.copytree(done.folder.path, tmp_path / "copy"))


def is_undisturbed(folder: Path, done: Run) -> bool:
    same = [
        (folder / name).read_bytes() == (done.folder.path / name).read_bytes()
        for name in ("last.safetensors", "best.safetensors")
    ]
    checkpoints = (load_file(f / "checkpoint.safetensors") for f in (folder, done.folder.path))
    return all(same) and same_bits(*checkpoints)


def interrupt_in(
    monkeypatch: pytest.MonkeyPatch, place: str, nth: int, signals: tuple[signal.Signals, ...]
) -> None:
    """Have real signals arrive the nth time that a function is called."""
    module, name = place.rsplit(".", 1)
    owner: Any = sys.modules.get(module)
    if owner is None:
        parent, kind = module.rsplit(".", 1)
        owner = getattr(sys.modules[parent], kind)
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def called(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            for number in signals:
                os.kill(os.getpid(), number)
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, called)


@pytest.mark.parametrize(
    ("number", "place", "nth", "step"),
    [
        (signal.SIGTERM, "googlenet.training.loop.Trainer.train_step", 2, 2),
        slow(signal.SIGINT, "googlenet.training.loop.recompute_bn_stats", 1, 3),
        slow(
            signal.SIGTERM, "googlenet.training.epochs.score", 1, 3
        ),  # the first epoch's validation
        slow(signal.SIGINT, "googlenet.training.epochs.score", 2, 6),  # the second
        (signal.SIGTERM, "googlenet.training.run.score", 1, 6),  # the last evaluation
    ],
)
def test_stops_soon_wherever_it_is_and_goes_on_to_the_same_bits(
    number: signal.Signals, place: str, nth: int, step: int,
    options: Settings, done: Run, tmp_path: Path,
) -> None:  # fmt: skip
    run, said = prepared(options, tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        interrupt_in(patch, place, nth, (number,))
        with pytest.raises(Interrupted, match=rf"stopped at step {step} of 6, saved; resume with"):
            train(run)
    validated = {"epochs.score": nth - 1, "run.score": 2}
    done_before = next((n for name, n in validated.items() if place.endswith(name)), 0)
    assert said.getvalue().count("validation top-1") == done_before
    resumed, said = prepared(options, tmp_path / "run", resume=True)
    ended = place.endswith("run.score")
    place_in_run = "all 2 epochs are done" if ended else f"resuming at step {step} (epoch"
    assert place_in_run in said.getvalue()
    train(resumed)
    assert is_undisturbed(tmp_path / "run", done)


def test_second_ctrl_c_stops_at_once_and_says_from_where_it_goes_on(
    options: Settings, done: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = prepared(options, tmp_path / "run")
    with monkeypatch.context() as patch:
        interrupt_in(patch, "googlenet.training.epochs.score", 2, (signal.SIGINT, signal.SIGINT))
        with pytest.raises(
            Interrupted, match=r"stopped immediately; .* is of step 3; resume with: .*"
        ):
            train(run)
    resumed, said = prepared(options, tmp_path / "run", resume=True)
    assert "resuming at step 3 (epoch 2)" in said.getvalue()
    train(resumed)
    assert is_undisturbed(tmp_path / "run", done)


def test_two_processes_cannot_have_one_folder(options: Settings, tmp_path: Path) -> None:
    run, _ = prepared(options, tmp_path / "run")
    with pytest.raises(GoogLeNetError, match="in use by another process"):
        prepared(options, tmp_path / "run", resume=True)
    with pytest.raises(UsageError, match="--out must be a new or empty folder"):
        prepared(options, tmp_path / "run")
    assert run.folder.lock is not None
    run.folder.release()
    prepared(options, tmp_path / "run", resume=True)


def test_folder_is_free_again_after_a_start_that_fails(done: Run, options: Settings) -> None:
    with pytest.raises(UsageError, match="different images"):
        prepared(replace(options, data="digits"), done.folder.path, resume=True)
    folder = RunFolder(done.folder.path)
    folder.lock_existing()
    folder.release()


def test_two_that_start_at_once_get_a_folder_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (NumberedRunFolder(tmp_path, "photos") for _ in range(2))
    assert first.path == second.path
    first.create({"seed": 1})
    second.create({"seed": 2})
    assert (first.path.name, second.path.name) == ("photos-1", "photos-2")
    assert second.read_settings() == {"seed": 2}
    # Another process makes the folder after we have looked.
    looked = iter([tmp_path / "photos-2", tmp_path / "photos-9"])
    third = NumberedRunFolder(tmp_path, "photos")
    monkeypatch.setattr(run_folder, "next_folder", lambda root, name: next(looked))
    third.create({"seed": 3})
    assert third.path.name == "photos-9"


def test_what_a_kill_left_is_cleared_away(options: Settings, copy: Path) -> None:
    (copy / ".checkpoint.safetensors.123.part").write_bytes(bytes(100))
    (copy / ".log.csv.99.part").write_text("epo")
    (copy / "notes.part").write_text("the user's own")
    prepared(options, copy, resume=True)
    assert {p.name for p in copy.iterdir() if p.name.endswith(".part")} == {"notes.part"}


def test_killed_before_its_settings_were_written_it_begins_like_new(
    options: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / ".lock").touch()
    (out / ".settings.json.77.part").write_text('{"da')
    prepared(options, out)
    assert not list(out.glob(".*.part"))


def test_logs_follow_the_checkpoint(options: Settings, done: Run, copy: Path) -> None:
    """A row that the checkpoint does not know, or lacks, is gone or there when it is resumed."""
    rows = (done.folder.path / "log.jsonl").read_text()
    for rubbish in ("", rows + rows, rows[:50]):
        (copy / "log.jsonl").write_text(rubbish)
        (copy / "log.csv").write_text(rubbish)
        run, _ = prepared(options, copy, resume=True)
        run.folder.release()
        assert (copy / "log.jsonl").read_text() == rows
        assert (copy / "log.csv").read_bytes() == (done.folder.path / "log.csv").read_bytes()


@pytest.mark.slow
def test_fine_tuning_goes_on_without_the_weights_that_it_began_with(
    options: Settings, data: Path, done: Run, tmp_path: Path
) -> None:
    weights = Path(shutil.copy(done.folder.last, tmp_path / "weights.safetensors"))
    tuning = replace(options, weights=str(weights))
    straight, _ = prepared(tuning, tmp_path / "straight")
    train(straight)
    run, _ = prepared(tuning, tmp_path / "run")
    run.console.interrupted = True
    with pytest.raises(Interrupted):
        train(run)
    weights.unlink()
    resumed, _ = prepared(tuning, tmp_path / "run", resume=True)
    model = train(resumed).classifier
    assert is_undisturbed(tmp_path / "run", straight)
    assert model.provenance["weights"]["recipe"] == "modern"
    # What was brought along still learns slowly, and its filters turn at the root of that.
    rates = {group["initial_lr"] for group in resumed.trainer.optimizer.param_groups}
    early, rest = QUICK.pretrained_lr_scale, QUICK.learning_rate * QUICK.non_muon_lr_scale
    assert rates == {QUICK.muon_lr, QUICK.muon_lr * sqrt(early), rest, early * rest}


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """The system refuses what would make a file longer than that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_disk_that_is_full_from_the_beginning(options: Settings, tmp_path: Path) -> None:
    """Told before anything is trained: the first checkpoint is written at once."""
    with full_disk(100_000), pytest.raises(WriteError, match=r"checkpoint\.safetensors: cannot be"):
        prepared(options, tmp_path / "run")


@pytest.mark.parametrize("size", [390_000, 90_000, 300])
def test_disk_that_is_full_in_mid_run(
    size: int, options: Settings, done: Run, tmp_path: Path
) -> None:
    """Too little for the checkpoint, for a model, for a line of the log: in two epochs' time."""
    out = tmp_path / "run"
    run, _ = prepared(options, out)
    with full_disk(size), pytest.raises(WriteError) as caught:
        train(run)
    message = str(caught.value)
    assert "cannot be written" in message
    assert "File too large" in message
    assert message.endswith(f"--out {out} --resume")
    assert "\n" not in message
    assert not list(out.glob(".*.part"))
    resumed, _ = prepared(options, out, resume=True)
    train(resumed)
    assert is_undisturbed(out, done)


def test_tensorboard_s_file_on_a_full_disk(
    options: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = prepared(options, tmp_path / "run")
    assert run.tensorboard.file is not None
    with (
        full_disk(run.tensorboard.file.stat().st_size),
        pytest.raises(WriteError, match="tensorboard:"),
    ):
        run.tensorboard.write({"epoch": 1, "loss": 1.0})


def test_too_little_room_is_told_at_the_start(
    options: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 50_000, 50_000))
    with pytest.raises(GoogLeNetError, match=r"run needs \d+ MB of disk, 0 MB are free"):
        prepared(options, tmp_path / "runs" / "run")
    assert not (tmp_path / "runs").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 0))  # it does not say
    prepared(options, tmp_path / "runs" / "run")


@pytest.mark.parametrize("gone", ["removed", "moved"])
def test_folder_that_vanishes_in_mid_run(
    gone: str, options: Settings, done: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    run, _ = prepared(options, out)
    learn = run.trainer.train_step

    def train_step(batch: Any) -> None:
        learn(batch)
        if run.trainer.step == 4:
            shutil.move(out, elsewhere)

    monkeypatch.setattr(run.trainer, "train_step", train_step)
    with pytest.raises(GoogLeNetError, match="disappeared during the run; if it was moved, resume"):
        train(run)
    assert not out.exists()
    if gone == "moved":
        resumed, said = prepared(options, elsewhere, resume=True)
        assert "resuming at step 3 (epoch 2)" in said.getvalue()
        train(resumed)
        assert is_undisturbed(elsewhere, done)


def test_models_that_somebody_protected_are_not_replaced(options: Settings, tmp_path: Path) -> None:
    run, _ = prepared(options, tmp_path / "run")
    run.folder.best.write_text("mine")
    run.folder.best.chmod(0o444)
    with pytest.raises(WriteError, match=r"best\.safetensors: exists and is read-only"):
        train(run)
    assert run.folder.best.read_text() == "mine"


# Nobody may not even look into the folder of the interpreter, so all is imported first.
AS_NOBODY = """
import os, sys
import torch, googlenet.cli.train, googlenet.report.page
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.exit(googlenet.cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("locked", "message"),
    [
        slow("", "run: cannot be locked ([Errno 13] Permission denied"),
        slow("settings.json", "run/settings.json: cannot be read ([Errno 13] Permission denied"),
        ("checkpoint.safetensors", "run/checkpoint.safetensors: is not a complete safetensors"),
    ],
)
def test_folder_of_somebody_else(locked: str, message: str, done: Run, data: Path) -> None:
    """A folder that may not be written to, files in it that may not be read."""
    # Not in pytest's own folder, into which nobody may look either.
    with TemporaryDirectory() as place:
        refused_by_permission(Path(place), locked, message, done, data)


def refused_by_permission(place: Path, locked: str, message: str, done: Run, data: Path) -> None:
    out = Path(shutil.copytree(done.folder.path, place / "run"))
    shutil.copytree(data, place / "data")
    for path in (place, *place.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    (out / locked).chmod(0 if locked else 0o555)
    (out / ".lock").unlink()
    found = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, "train", "data", "--out", "run", "--resume"],
        capture_output=True, text=True, check=False, cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert found.returncode == 1, found.stderr
    assert found.stderr.startswith(f"googlenet train: {message}")
    assert found.stderr.count("\n") == 1


def test_checkpoint_that_has_gone_never_restarts_a_run_over_its_models(
    options: Settings, copy: Path
) -> None:
    before = (copy / "last.safetensors").read_bytes()
    (copy / "checkpoint.safetensors").unlink()
    with pytest.raises(GoogLeNetError, match=r"is missing; .*last\.safeten.*--wei"):
        prepared(options, copy, resume=True)
    assert (copy / "last.safetensors").read_bytes() == before


def test_damaged_checkpoint_tells_what_there_is_instead(options: Settings, copy: Path) -> None:
    content = (copy / "checkpoint.safetensors").read_bytes()
    for damaged in (b"", content[:1000], content[:-1], content[:-100] + bytes(100)):
        (copy / "checkpoint.safetensors").write_bytes(damaged)
        with pytest.raises(GoogLeNetError) as caught:
            prepared(options, copy, resume=True)
        assert str(caught.value).startswith(f"{copy / 'checkpoint.safetensors'}: is ")
        assert f"{copy / 'last.safetensors'}, the model of the last complete" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_settings_that_were_changed_are_refused_by_name(options: Settings, copy: Path) -> None:
    longer = replace(options, recipe=options.recipe.with_settings({"epochs": 9}))
    with pytest.raises(
        UsageError, match=r"settings\.json: must not change .*: recipe.epochs was 2, got 9"
    ):
        prepared(longer, copy, resume=True)


def test_image_that_went_from_training_to_validation_is_noticed(
    options: Settings, data: Path, copy: Path, tmp_path: Path
) -> None:
    """Names and classes are the same, but each image's index is another."""
    other = Path(shutil.copytree(data, tmp_path / "data"))
    (other / "train" / "red" / "2.png").rename(other / "val" / "red" / "2.png")
    (other / "val" / "red" / "1.png").rename(other / "train" / "red" / "2.png")
    (other / "val" / "red" / "2.png").rename(other / "val" / "red" / "1.png")
    prepared(replace(options, data=str(other)), copy, resume=True)[0].folder.release()  # as before
    (other / "train" / "red" / "2.png").rename(other / "val" / "red" / "2.png")
    with pytest.raises(UsageError, match="a different order or split of these images"):
        prepared(replace(options, data=str(other)), copy, resume=True)


def test_recipe_that_is_no_more_goes_on(options: Settings, done: Run, tmp_path: Path) -> None:
    gone = replace(options, recipe=replace(options.recipe, name="of-last-year"))
    run, _ = prepared(gone, tmp_path / "run")
    run.folder.release()
    read = Settings.from_json(run.folder.read_settings())
    resumed, _ = prepared(read, tmp_path / "run", resume=True)
    train(resumed)
    assert same_bits(load_file(resumed.folder.last), load_file(done.folder.last))


def test_another_machine_is_told(
    options: Settings, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, said = prepared(options, copy, resume=True)
    run.folder.release()
    assert "another machine" not in said.getvalue()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 12)
    _, said = prepared(options, copy, resume=True)
    assert "on another machine before (threads 1, now 12): results" in said.getvalue()


@pytest.mark.parametrize("name", [slow("naïve — 犬 🐕"), slow('-r "it\'s" $HOME'), "caf\udce9"])
def test_odd_names(name: str, data: Path, tmp_path: Path) -> None:
    """Run folder and data folder of that name, also one that is no text, from end to end."""
    named, out = tmp_path / name, tmp_path / "runs" / name
    named.symlink_to(data)
    small = ["--size", "32", "--width", "0.05", "--epochs", "1", "--batch", "9"]
    for more in ([*small, "--precision", "fp32"], ["--resume"]):
        found = command("train", named, "--out", out, *more, "--json")
        assert found.code == 0, found.err
    assert found.json()["run"] == str(out)
    assert (out / "report.html").stat().st_size > 10_000
    assert command("info", out).code == 0


WATCHED = """
import sys
def refuse(event, arguments):
    if event.startswith(("os.fork", "os.posix_spawn", "subprocess.", "os.exec", "os.system")):
        raise RuntimeError(f"a process is started: {event}")
    if event == "open" and str(arguments[0]).startswith("/dev/shm"):
        raise RuntimeError("shared memory is used")
sys.addaudithook(refuse)
import _multiprocessing
class Full:
    SEM_VALUE_MAX = 1
    def __init__(self, *arguments):
        raise OSError(28, "No space left on device")
_multiprocessing.SemLock = Full
from googlenet.cli import main
code = main(sys.argv[1:])
print(code, open("/proc/self/maps").read().count("/dev/shm"))
"""


@pytest.mark.slow
def test_no_process_is_started_and_no_shared_memory_used(data: Path, tmp_path: Path) -> None:
    """Images are read in threads: there is no worker to be killed and no /dev/shm to be full."""
    small = ["--size", "32", "--width", "0.05", "--epochs", "1", "--batch", "9", "--workers", "3"]
    small += ["--precision", "fp32"]
    found = subprocess.run(
        [sys.executable, "-c", WATCHED, "train", str(data), "--out", str(tmp_path / "r"), *small],
        capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "0 0"


def test_lock_that_the_file_system_does_not_have(
    options: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def acquire(self: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(GoogLeNetError, match=r"run: cannot be (locked|made) \(.*No locks"):
        prepared(options, tmp_path / "run")
