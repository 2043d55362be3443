"""Every command and every Python block of the README and of docs/ is right, and is run.

A block that is not run says why in its title, `title="Not run by the tests: …"`; its commands are
parsed all the same.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from safetensors.torch import load_file

from tests.documents import NOT_RUN, PAGES, ROOT, Block, blocks, check
from tests.weights.protos import caffe_model

README = ROOT / "README.md"
LANGUAGES = {"", "console", "python", "text"}
TRAIN, VAL = 12, 3  # images per class


def name_of(page: Path) -> str:
    return page.stem


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_of_a_known_kind_and_its_commands_parse(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, block
        assert block.runs or NOT_RUN.fullmatch(block.title), block.title
        assert block.language != "console" or block.commands(), block.text
        if block.language == "python":
            compile(block.text, page.name, "exec")
        for command in block.commands():
            check(command)


@pytest.mark.parametrize(
    "command",
    ["googlenet train", "googlenet fly photos", "googlenet train photos --sise 3", "make coffee",
     "python benchmarks/none.py", "torchrun -m googlenet predict", "wget x"],
)  # fmt: skip
def test_a_wrong_command_is_noticed(command: str) -> None:
    with pytest.raises((SystemExit, ValueError, FileNotFoundError)):
        check(command)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_needs_nothing_that_only_its_author_has(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "../shared" not in text
    for link in re.findall(r"\]\(((?!http)[^)#\s]+)", text):
        assert (page.parent / link).exists() or link == "cli.md", f"{page.name}: {link}"


def test_the_readme_shows_what_a_user_needs() -> None:
    verbs = {command.split()[1] for block in blocks(README) for command in block.commands()}
    assert {"train", "evaluate", "predict", "export", "serve", "info", "table", "convert"} <= verbs
    assert all(block.runs for block in blocks(README))
    assert len(README.read_text(encoding="utf-8").split()) < 900  # three minutes


@pytest.fixture(scope="session")
def public(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data that the commands name."""
    imagenette = shared_data / "imagenette2-160"
    root = tmp_path_factory.mktemp("documents")
    classes = sorted(path.name for path in (imagenette / "train").iterdir())[:4]
    for part, count in (("train", TRAIN), ("val", VAL)):
        for wnid in classes:
            target = root / "photos" / part / wnid
            target.mkdir(parents=True)
            for photo in sorted((imagenette / part / wnid).iterdir())[:count]:
                shutil.copy(photo, target)
    shutil.copy(next((root / "photos" / "val" / classes[0]).iterdir()), root / "photo.jpg")
    weights = load_file(shared_data / "bvlc-googlenet" / "weights.safetensors")
    model = caffe_model(weights).SerializeToString()
    (root / "bvlc_googlenet.caffemodel").write_bytes(model)
    copy_some(shared_data / "ilsvrc2012-val-650", root / "ilsvrc")
    shutil.copytree(root / "ilsvrc" / "images", root / "images")
    shutil.copy(root / "ilsvrc" / "labels.csv", root)
    return root


@pytest.fixture(scope="session")
def trained(public: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a small trained model in runs/photos, as a reader of the quickstart has it."""
    root = tmp_path_factory.mktemp("trained") / "here"
    shutil.copytree(public, root)
    command = "googlenet train photos --size 64 --width 0.25 --epochs 1 --out runs/photos"
    run(as_modules(command), root)
    return root


def copy_some(source: Path, target: Path, photos: int = 8) -> None:
    """The first images of a CSV data set."""
    lines = (source / "labels.csv").read_text(encoding="utf-8").splitlines()[: photos + 1]
    (target / "images").mkdir(parents=True)
    (target / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for line in lines[1:]:
        shutil.copy(source / line.split(",")[0], target / "images")


def as_modules(command: str, *, quick: bool = False) -> list[str]:
    """What Python runs for a command; of a benchmark little, and if quick, of a training too."""
    program, *arguments = shlex.split(command)
    if program == "torchrun":
        program = "torch.distributed.run"
    return ["-m", program, *arguments, *fewer(arguments, quick=quick)]


def fewer(arguments: list[str], *, quick: bool) -> list[str]:
    """The options that make a command's work small; the last of two equal ones counts."""
    if arguments[0] == "bench":
        few = ["--photos", "4"] if arguments[1] == "input" else ["--batch", "2"]
        return ["--repeats", "1", "--size", "64", *few]
    if not quick or "train" not in arguments or "--resume" in arguments:
        return []
    few = [] if "--weights" in arguments else ["--width", "0.25"]
    return ["--epochs", "1", "--size", "64", *few]


def run(arguments: list[str], folder: Path) -> str:
    if "serve" in arguments[:3]:
        return serve(arguments, folder)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "error"},
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done.stdout


def serve(arguments: list[str], folder: Path) -> str:
    """A service, on a free port, as far as its readiness; then it is stopped."""
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    with subprocess.Popen(
        [sys.executable, *arguments, "--port", "0"],
        cwd=folder, stderr=subprocess.PIPE, text=True, env=environment,
    ) as service:  # fmt: skip
        assert service.stderr
        lines = [service.stderr.readline()]
        found = re.search(r" on (http://\S+)$", lines[0])
        assert found, lines
        with urlopen(f"{found[1]}/ready", timeout=60) as answer:
            assert answer.status == 200
        service.send_signal(signal.SIGINT)
        lines += service.stderr
    assert service.returncode == 0, lines
    return "".join(lines)


def work_through(page: Path, folder: Path, *, quick: bool) -> None:
    """Run a page's blocks in their order; all its Python is one program."""
    program = ""
    for block in filter(lambda block: block.runs, blocks(page)):
        for command in block.commands():
            if not command.startswith("make "):  # by .ci/run
                run(as_modules(command, quick=quick), folder)
        if block.language == "python":
            program += block.text
            assert run(["-c", program], folder)


@pytest.mark.slow
@pytest.mark.timeout(2400)  # several trainings, among others
def test_every_block_of_the_readme_runs_as_it_is(public: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    shutil.copytree(public, folder)
    work_through(README, folder, quick=False)
    assert (folder / "runs/photos/report.html").stat().st_size > 50_000
    assert len((folder / "answers.csv").read_text().splitlines()) == 1 + 4 * VAL


def to_run(page: Path) -> list[Block]:
    kinds = ("console", "python")
    return [b for b in blocks(page) if b.runs and b.language in kinds and "make" not in b.text]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", [page for page in PAGES[1:] if to_run(page)], ids=name_of)
def test_every_block_of_a_page_runs(page: Path, trained: Path, tmp_path: Path) -> None:
    """Training takes one epoch at a small size; everything else runs as the page has it."""
    folder = tmp_path / "here"
    shutil.copytree(trained, folder)
    made = [out for block in to_run(page) for out in outputs(block)]
    for name in made:
        shutil.rmtree(folder / name, ignore_errors=True)  # the page makes it itself
    work_through(page, folder, quick=True)


def outputs(block: Block) -> list[str]:
    """The run folders that a block's trainings make."""
    lines = [c for c in block.commands() if " train " in c and "--resume" not in c]
    return [found[1] for line in lines if (found := re.search(r"--out (\S+)", line))]
