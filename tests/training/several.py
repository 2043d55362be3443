"""What several processes do together: `python -m tests.training.several WHAT DATA OUT`, in each.

With WHAT "findings" each writes what it has found to OUT/RANK.json, with "runs" it trains into
OUT; `test_several.py` compares that with what a process by itself finds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from googlenet import parallel
from googlenet.cli import parser
from googlenet.data.dataset import Samples
from googlenet.data.labels import class_from_label
from googlenet.evaluation.accuracy import score
from googlenet.runtime.console import Console
from googlenet.runtime.errors import GoogLeNetError
from googlenet.training.averaging import WeightAverage
from googlenet.training.data_parallel import all_reduce_step
from googlenet.training.loop import Trainer
from tests.fixtures import COLOURS, set_header, tiny_classifier
from tests.training.small_runs import QUICK, nothing, samples, trainer

PAPER = QUICK.with_settings(
    {"variant": "paper", "batch": 5, "epochs": 1, "learning_rate": 0.02, "warmup_fraction": 0}
)


def without_dropout(t: Trainer) -> Trainer:
    for module in t.network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return t


def several_labels(photos: int = 11) -> Samples:
    marks = np.random.default_rng(0).random((photos, 3)) < 0.4
    return Samples(samples(photos).sources, (), marks)


def with_bad(photos: int, *bad: int) -> Samples:
    """Images, some of which cannot be read."""
    good = samples(photos)
    sources = [Path(f"/none/{i}.png") if i in bad else s for i, s in enumerate(good.sources)]
    return Samples(tuple(sources), good.labels)


TRAINERS: dict[str, Callable[[], Trainer]] = {
    "paper": lambda: trainer(PAPER, samples(11)),  # batches of 4, 4 and 3
    "weights": lambda: trainer(PAPER.with_settings({"balance": "class_weights"}), samples(11)),
    "several labels": lambda: trainer(PAPER, several_labels()),
    "several labels, weights": lambda: trainer(
        PAPER.with_settings({"balance": "class_weights"}), several_labels()
    ),
    "sampling": lambda: trainer(PAPER.with_settings({"balance": "balanced_sampler"}), samples(11)),
    # With shares of one image some are empty; the last batch has but one.
    "bad photos": lambda: trainer(PAPER.with_settings({"batch": 2}), with_bad(11, 1, 3, 4)),
    "crops on the device": lambda: trainer(PAPER, with_bad(11, 3), augment="device"),
    # Two batches of five, of which each process has enough for statistics of its own.
    "bn": lambda: trainer(PAPER.with_settings({"variant": "bn", "weight_average": "none"})),
    "bn, averaged": lambda: trainer(
        PAPER.with_settings({"variant": "bn", "weight_average": "mean"})
    ),
}


def trained(make: Callable[[], Trainer]) -> tuple[Trainer, list[dict[str, float]]]:
    t = without_dropout(make())
    rows = []
    while not t.finished:
        row = t.train_epoch(nothing)
        rows.append({k: v for k, v in row.items() if k.startswith(("loss", "train"))})
    return t, rows


def tensors(t: Trainer) -> dict[str, Tensor]:
    found = {f"network/{k}": v.contiguous() for k, v in t.network.state_dict().items()}
    return found | {f"average/{k}": v.contiguous() for k, v in t.average.values.items()}


def digest(values: dict[str, Tensor]) -> str:
    found = sha256()
    for name in sorted(values):
        found.update(values[name].contiguous().numpy().tobytes())
    return found.hexdigest()


# Views, images, and which of these cannot be read.
SCORED: list[tuple[int, int, tuple[int, ...]]] = [
    (1, 150, ()),
    (10, 40, ()),
    (1, 150, (3, 64, 140)),
    (1, 7, ()),
]


def scored(views: int, photos: int, bad: tuple[int, ...]) -> dict[str, Any]:
    found = score(tiny_classifier(), with_bad(photos, *bad), views, keep_outputs=views == 1)
    return {
        "probabilities": sha256(found.probabilities.numpy().tobytes()).hexdigest(),
        "first": found.probabilities[:, 0].tolist(),
        "labels": found.labels.tolist(),
        "indices": list(found.indices),
        "bad": list(found.unreadable),
        "logits": sha256(found.outputs.logits.tobytes()).hexdigest() if found.outputs else None,
    }


def command(*arguments: str) -> int:
    """What the command line does once its processes have joined."""
    args = parser().parse_args(arguments)
    return int(args.run(args))


def runs(data: str, out: Path) -> None:
    """Trains; and once more, is stopped by the last process's Ctrl-C and goes on."""
    note_consoles()
    options = [
        *("--size", "32", "--width", "0.05", "--epochs", "2", "--batch", "6"),
        *("--precision", "fp32", "--label-issues", "4", "--seed", "3"),
    ]
    assert command("train", data, *options, "--out", str(out / "straight")) == 0
    update = WeightAverage.update

    def interrupt(self: WeightAverage, network: nn.Module, steps: int) -> None:
        update(self, network, steps)
        if steps == 4 and parallel.rank() == parallel.world_size() - 1:
            CONSOLES[-1].interrupted = True

    WeightAverage.update = interrupt  # type: ignore[method-assign]
    assert command("train", data, *options, "--out", str(out / "stopped")) == 130
    WeightAverage.update = update  # type: ignore[method-assign]
    assert command("train", data, "--out", str(out / "stopped"), "--resume") == 0
    plan = ["--batch", "auto", "--time-limit", "30m", "--patience", "1"]
    assert command("train", data, *options, *plan, "--out", str(out / "planned")) == 0


def reads(data: str, out: Path) -> None:
    """Evaluates and predicts into files of `out`."""
    model = out / "model.safetensors"
    if not parallel.rank():
        classifier = tiny_classifier()
        set_header(classifier, classes=tuple(map(class_from_label, sorted(COLOURS))))
        classifier.save(model)
    parallel.all_gather(None)
    evaluate = ["evaluate", str(model), "--data", data, "--split", "all"]
    assert command(*evaluate, "--out", str(out / "evaluation.csv")) == 0
    predict = ["predict", str(model), data, str(out / "nowhere.png")]
    assert command(*predict, "--out", str(out / "answers.csv")) == 0


CONSOLES: list[Console] = []


def note_consoles() -> None:
    initialize = Console.__init__

    def noted(self: Console, *arguments: Any) -> None:
        initialize(self, *arguments)
        CONSOLES.append(self)

    Console.__init__ = noted  # type: ignore[method-assign, assignment]


def ece_metric(work: Callable[[], object]) -> str:
    try:
        work()
    except GoogLeNetError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def fails_in(rank: int) -> None:
    if parallel.rank() == rank:
        raise GoogLeNetError("no such thing")


def agreements() -> dict[str, Any]:
    here = parallel.rank()

    def fail_here() -> None:
        if here == 1:
            raise GoogLeNetError("no such thing")

    def fail_first() -> None:
        raise GoogLeNetError(f"no such thing in {here}")

    return {
        "first": parallel.on_rank0(lambda: here),
        "kept": parallel.on_rank0_only(lambda: "mine"),
        "exchange": parallel.all_gather(here),
        "share": parallel.shard(range(7), 2),
        "any_of": parallel.any_rank(here == 1, False),
        "error in one": ece_metric(lambda: parallel.on_all_ranks(fail_here)),
        "error in the first": ece_metric(lambda: parallel.on_rank0(fail_first)),
        "unlike": ece_metric(lambda: parallel.require_equal_across_ranks(here, "photos")),
        "statistics": statistics(here),
        "pickled": digest(dict(parallel.on_rank0(tiny_classifier).network.state_dict())),
        "loss": ece_metric(lambda: trained(lambda: trainer(with_rate(10000)))),
    }


def statistics(here: int) -> list[float]:
    """Running mean and variance, gradient and figure of a layer after a step of unequal shares."""
    norm, figure = nn.BatchNorm1d(1), torch.tensor([2.0 + here])
    norm.running_mean, norm.running_var = torch.tensor([4.0 * here]), torch.tensor([1.0 + here])
    norm.weight.grad = torch.tensor([1.0 + here])
    all_reduce_step(norm, [figure], 0.75 if here else 0.25)
    mean, var, gradient = norm.running_mean, norm.running_var, norm.weight.grad
    return [float(value) for value in (mean, var, gradient, figure)]


def with_rate(rate: float) -> Any:
    return PAPER.with_settings({"learning_rate": rate, "epochs": 2})


def findings(data: str, out: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"digests": {}, "rows": {}}
    for name, make in TRAINERS.items():
        t, found["rows"][name] = trained(make)
        found["digests"][name] = digest(tensors(t)), digest(dict(t.averaged_model().state_dict()))
        if not parallel.rank():
            save_file(tensors(t), out / f"{name}.safetensors")
    found["scores"] = [scored(*which) for which in SCORED]
    found["agreements"] = agreements()
    reads(data, out)
    return found


def main(what: str, data: str, out: Path) -> None:
    torch.set_num_threads(1)
    with parallel.process_group():
        if what == "runs":
            runs(data, out)
            return
        found, here = findings(data, out), parallel.rank()
    (out / f"{here}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
