"""Known against unknown: how well scores tell images of a model's classes from everything else.

    python benchmarks/unknown.py outputs MODEL $GOOGLENET_DATA OUT.npz
    python benchmarks/unknown.py compare OUT.npz > docs/results/unknown.json
    python benchmarks/unknown.py table docs/results/unknown.json

MODEL was trained on Imagenette.  Known are its validation images: one random half fits each
score and chooses its threshold, the other half is what is called known here.  Unknown are the
645 images of ilsvrc2012-val-650 outside the ten classes, split by class: the method was chosen
on the first half of their classes, and the second half, `photos`, is what counts; and noise,
of which the stripes were made after the method had been chosen.
Every method has the same 5 % of false alarms, each by its own threshold.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from googlenet import Classifier
from googlenet.data.dataset import Samples
from googlenet.data.load_data import load_data
from googlenet.evaluation.accuracy import score
from googlenet.evaluation.calibration_error import two_folds
from googlenet.evaluation.intervals import percentile
from googlenet.evaluation.ood import (
    DEFAULT_TARGET_FPR,
    area_under_roc,
    detection_rate,
    fit_ood_detector,
    threshold_of,
)
from googlenet.inference.outputs import Outputs
from googlenet.runtime.device import ComputeDevice

Array = NDArray[np.float64]
Score = Callable[[Array, Array], Array]  # logits (N, classes), features (N, F) -> (N,)
WIDTHS = (512, 832)  # of the summary's parts
NOISE = ("uniform noise", "gaussian noise", "smooth noise", "constant colors", "stripes")
KINDS = ("photos", *NOISE)
RESAMPLES = 1000


def noise(kind: str, count: int = 200, side: int = 160) -> Iterator[NDArray[np.uint8]]:
    """Pictures of nothing, (side, side, 3)."""
    rng = np.random.default_rng(NOISE.index(kind))
    for _ in range(count):
        if kind == "uniform noise":
            pixels = rng.integers(0, 256, (side, side, 3))
        elif kind == "gaussian noise":
            pixels = rng.normal(128, 64, (side, side, 3)).clip(0, 255)
        elif kind == "smooth noise":  # blobs of color, a few to a side
            grid = int(rng.integers(3, 20))
            small = Image.fromarray(rng.integers(0, 256, (grid, grid, 3)).astype(np.uint8))
            pixels = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))
        elif kind == "constant colors":
            pixels = np.broadcast_to(rng.integers(0, 256, 3), (side, side, 3))
        else:  # waves between two colors, in any direction
            y, x = np.mgrid[:side, :side]
            turn, length = rng.uniform(0, np.pi), rng.uniform(4, 60)
            wave = np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / length) / 2 + 0.5
            one, other = rng.integers(0, 256, (2, 3))
            pixels = one + wave[..., None] * (other - one)
        yield np.ascontiguousarray(pixels.astype(np.uint8))


def write_outputs(model: Path, data: Path, target: Path) -> None:
    """Logits, summary and what the last layer sees of every image, by center crop, in fp32."""
    classifier = Classifier.load(model, ComputeDevice.detect("fp32"))
    seen: list[torch.Tensor] = []
    last = cast(torch.nn.Linear, classifier.network.get_submodule("classifier"))
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    known = load_data(str(data / "imagenette2-160"), 0, classifier.classes).val
    own = {c.id for c in classifier.classes}
    folder = data / "ilsvrc2012-val-650"
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["wnid"] not in own]
    parts = {
        "known": known,
        "photos": Samples(tuple(folder / r["path"] for r in rows), (0,) * len(rows)),
    }
    for kind in NOISE:
        pixels = tuple(noise(kind))
        parts[kind] = Samples(pixels, (0,) * len(pixels))
    found: dict[str, Any] = {"wnid": np.array([row["wnid"] for row in rows])}
    for name, samples in parts.items():
        outputs = score(classifier, samples, keep_outputs=True).outputs
        assert outputs is not None
        assert outputs.ood_features is not None
        found[f"{name} logits"] = outputs.logits
        found[f"{name} summary"] = outputs.ood_features
        found[f"{name} features"] = torch.cat(seen).numpy()
        seen.clear()
    found["labels"] = np.array(known.labels)
    found["weight"] = last.weight.detach().numpy()
    found["bias"] = last.bias.detach().numpy()
    found["made by"] = json.dumps(classifier.provenance | {"metrics": classifier.metrics["1"]})
    np.savez(target, **found)


def log_sum_exp(z: Array) -> Array:
    top = z.max(1)
    return np.asarray(top + np.log(np.exp(z - top[:, None]).sum(1)))


def softmax(z: Array) -> Array:
    return np.asarray(np.exp(z - log_sum_exp(z)[:, None]))


class Methods:
    """Each method's score, fitted on known images: logits (N, C), features (N, F), labels (N,)."""

    def __init__(
        self, logits: Array, features: Array, labels: NDArray[np.int64], last: tuple[Array, Array]
    ) -> None:
        self.z, self.x, self.y = logits, features, labels
        self.weight, self.bias = last
        self.classes = range(logits.shape[1])

    def softmax_maximum(self) -> Score:
        return lambda z, x: np.asarray(softmax(z).max(1))

    def softmax_entropy(self) -> Score:
        return lambda z, x: np.asarray((softmax(z) * np.log(softmax(z) + 1e-30)).sum(1))

    def maximum_logit(self) -> Score:
        """Hendrycks et al. 2022."""
        return lambda z, x: np.asarray(z.max(1))

    def energy(self) -> Score:
        """Liu et al. 2020."""
        return lambda z, x: log_sum_exp(z)

    def kl_matching(self) -> Score:
        """Hendrycks et al. 2022: distance to the mean probabilities of a class's answers."""
        means = np.stack([softmax(self.z)[self.z.argmax(1) == c].mean(0) for c in self.classes])

        def distance(z: Array, x: Array) -> Array:
            p = softmax(z)
            own = (p * np.log(p + 1e-12)).sum(1)[:, None]
            return np.asarray(-(own - p @ np.log(means + 1e-12).T).min(1))

        return distance

    def react(self) -> Score:
        """Sun et al. 2021: energy with features cut at a percentile."""
        cut = np.quantile(self.x, 0.9)
        return lambda z, x: log_sum_exp(np.minimum(x, cut) @ self.weight.T + self.bias)

    def scale(self) -> Score:
        """Xu et al. 2024: energy with features scaled by the share of their largest 35 %."""

        def scaled(z: Array, x: Array) -> Array:
            large = x * (x >= np.quantile(x, 0.65, axis=1, keepdims=True))
            factor = np.exp(x.sum(1, keepdims=True) / large.sum(1, keepdims=True))
            return log_sum_exp((x * factor) @ self.weight.T + self.bias)

        return scaled

    def mahalanobis(self) -> Score:
        """Lee et al. 2018: to the nearest class mean, by one shrunk covariance."""
        means = np.stack([self.x[self.y == c].mean(0) for c in self.classes])
        precision = shrunk_precision(self.x - means[self.y])
        return lambda z, x: (
            -np.stack([quadratic(x - mean, precision) for mean in means], axis=1).min(1)
        )

    def relative_mahalanobis(self) -> Score:
        """Ren et al. 2021: less the distance to the mean of all images."""
        mean, near = self.x.mean(0), self.mahalanobis()
        precision = shrunk_precision(self.x - mean)
        return lambda z, x: near(z, x) + quadratic(x - mean, precision)

    def nearest_neighbour(self) -> Score:
        """Sun et al. 2022: to the 20th nearest direction; needs every image's features."""
        known = self.x / np.linalg.norm(self.x, axis=1, keepdims=True)

        def similarity(z: Array, x: Array) -> Array:
            return np.sort(x / np.linalg.norm(x, axis=1, keepdims=True) @ known.T, axis=1)[:, -20]

        return similarity

    def vim(self) -> Score:
        """Wang et al. 2022, with 32 principal directions."""
        origin = -np.linalg.pinv(self.weight) @ self.bias
        centered = self.x - origin
        rest = np.linalg.eigh(centered.T @ centered)[1][:, :-32]
        alpha = self.z.max(1).mean() / np.linalg.norm(centered @ rest, axis=1).mean()

        def virtual(z: Array, x: Array) -> Array:
            return log_sum_exp(z) - alpha * np.linalg.norm((x - origin) @ rest, axis=1)

        return virtual

    def energy_and_angles(self) -> Score:
        """What the package stores; its features are the summary."""
        unknown = fit_ood_detector(tensors(self.z, self.x))
        assert unknown is not None
        return lambda z, x: unknown.id_scores(tensors(z, x)).astype(float)


METHODS = {
    "softmax maximum": Methods.softmax_maximum,
    "softmax entropy": Methods.softmax_entropy,
    "maximum logit": Methods.maximum_logit,
    "energy": Methods.energy,
    "KL matching": Methods.kl_matching,
    "ReAct": Methods.react,
    "SCALE": Methods.scale,
    "Mahalanobis": Methods.mahalanobis,
    "relative Mahalanobis": Methods.relative_mahalanobis,
    "20th nearest neighbour": Methods.nearest_neighbour,
    "ViM": Methods.vim,
    "energy and angles": Methods.energy_and_angles,
}
OURS, PLAIN = "energy and angles", "softmax maximum"


def tensors(logits: Array, summary: Array) -> Outputs:
    return Outputs(logits.astype(np.float32), summary.astype(np.float32), WIDTHS)


def shrunk_precision(centered: Array, shrinkage: float = 0.1) -> Array:
    covariance = centered.T @ centered / len(centered)
    width = len(covariance)
    even = np.trace(covariance) / width * np.eye(width)
    return np.asarray(np.linalg.inv((1 - shrinkage) * covariance + shrinkage * even))


def quadratic(x: Array, precision: Array) -> Array:
    return np.asarray(((x @ precision) * x).sum(1))


def compare(outputs: Path) -> dict[str, Any]:
    """Area under the ROC curve and detection rate of every method, in percent."""
    held = np.load(outputs)
    last = (held["weight"].astype(float), held["bias"].astype(float))

    def part(name: str, chosen: Any = slice(None)) -> tuple[Array, Array]:
        return tuple(held[f"{name} {kind}"][chosen].astype(float) for kind in ("logits", inputs))  # type: ignore[return-value]

    fitted_on, measured_on = two_folds(len(held["labels"]), seed=1)
    first = chosen_classes(held["wnid"])
    rows, by_method = [], {}
    for name, method in METHODS.items():
        inputs = "summary" if name == OURS else "features"
        fit = part("known", fitted_on)
        labels = held["labels"][fitted_on]
        full = method(Methods(*fit, labels, last))
        if name == OURS:
            unknown = fit_ood_detector(tensors(*fit))
            threshold = unknown.threshold if unknown else None
        else:
            threshold = threshold_of(crossed(method, *fit, labels, last), DEFAULT_TARGET_FPR)
        assert threshold is not None
        known = full(*part("known", measured_on))
        row: dict[str, Any] = {
            "method": name, "false_alarms": 100 * detection_rate(threshold, known),
        }  # fmt: skip
        scores = {"choice": full(*part("photos", first)), "photos": full(*part("photos", ~first))}
        scores |= {kind: full(*part(kind)) for kind in NOISE}
        by_method[name] = {"known": known, "all photos": full(*part("photos"))} | scores
        for kind, values in scores.items():
            row[kind] = {
                "images": len(values),
                "auc": 100 * area_under_roc(known, values),
                "detected": 100 * detection_rate(threshold, values),
                "intervals": intervals(known, values, threshold),
            }
        rows.append(row)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": ComputeDevice.detect("fp32").describe(),
        "model": json.loads(str(held["made by"])),
        "known": {"fitted_on": len(fitted_on), "measured_on": len(measured_on)},
        "methods": rows,
        "against": {
            kind: against(by_method[PLAIN], by_method[OURS], kind)
            for kind in ("all photos", *KINDS)
        },
    }


def against(plain: dict[str, Array], ours: dict[str, Array], kind: str) -> dict[str, Any]:
    """Both scores on the same images, each with exactly 5 % of false alarms on these known ones.

    The difference's interval is over draws of the same images for both.
    """
    rng = np.random.default_rng(0)
    known, unknown = len(plain["known"]), len(plain[kind])
    found = [both_figures(score["known"], score[kind]) for score in (plain, ours)]
    draws = np.empty((RESAMPLES, 2))
    for i in range(RESAMPLES):
        k, u = rng.integers(0, known, known), rng.integers(0, unknown, unknown)
        one, other = (both_figures(s["known"][k], s[kind][u]) for s in (plain, ours))
        draws[i] = np.subtract(other, one)
    return {
        "images": unknown,
        **{
            name: {
                PLAIN: 100 * found[0][at],
                OURS: 100 * found[1][at],
                "difference": 100 * (found[1][at] - found[0][at]),
                "interval": [100 * end for end in percentile(draws[:, at])],
            }
            for at, name in enumerate(("auc", "detected"))
        },
    }


def both_figures(known: Array, unknown: Array) -> tuple[float, float]:
    threshold = float(np.quantile(known, DEFAULT_TARGET_FPR / 100))
    return area_under_roc(known, unknown), detection_rate(threshold, unknown)


def crossed(
    method: Callable[[Methods], Score], z: Array, x: Array, y: NDArray[np.int64], last: Any
) -> Array:
    """Scores of the fitting images, each half by the fit on the other: what a new image gets."""
    found = np.empty(len(y))
    parts = two_folds(len(y))
    for own, other in (parts, parts[::-1]):
        found[own] = method(Methods(z[other], x[other], y[other], last))(z[own], x[own])
    return found


def chosen_classes(wnids: NDArray[np.str_]) -> NDArray[np.bool_]:
    """The images of a random half of the unknown classes, on which the method was chosen."""
    classes = np.unique(wnids)
    mine, _ = two_folds(len(classes), seed=2)
    return np.isin(wnids, classes[mine])


def intervals(known: Array, unknown: Array, threshold: float) -> dict[str, list[float]]:
    """95 % of both figures over draws of images, known and unknown; the threshold stays."""
    rng = np.random.default_rng(0)
    areas, rates = np.empty(RESAMPLES), np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = unknown[rng.integers(0, len(unknown), len(unknown))]
        areas[i] = area_under_roc(known[rng.integers(0, len(known), len(known))], drawn)
        rates[i] = detection_rate(threshold, drawn)
    return {
        "auc": [100 * end for end in percentile(areas)],
        "detected": [100 * end for end in percentile(rates)],
    }


def table(results: dict[str, Any]) -> str:
    """A line a method: area under the ROC curve / detection rate, in percent."""
    lines = [
        f"| score | false alarms | {' | '.join(KINDS)} |",
        "|---|---" + "|---" * len(KINDS) + "|",
    ]
    for row in results["methods"]:
        cells = [f"{row[kind]['auc']:.1f} / {row[kind]['detected']:.1f}" for kind in KINDS]
        lines.append(f"| {row['method']} | {row['false_alarms']:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def against_table(results: dict[str, Any]) -> str:
    """A line a kind of unknown: the plain score, ours, and by how much ours is better."""
    lines = [
        f"| unknown | images | area, {PLAIN} | {OURS} | better by | "
        f"detected, {PLAIN} | {OURS} | better by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, row in results["against"].items():
        cells = []
        for figure in (row["auc"], row["detected"]):
            low, high = figure["interval"]
            cells += [
                f"{figure[PLAIN]:.1f}",
                f"{figure[OURS]:.1f}",
                f"{figure['difference']:.1f} ({low:.1f} to {high:.1f})",
            ]
        lines.append(f"| {kind} | {row['images']} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    verb, *paths = sys.argv[1:]
    if verb == "outputs":
        write_outputs(*map(Path, paths))
    elif verb == "compare":
        print(json.dumps(compare(Path(paths[0])), indent=1))
    else:
        held = json.loads(Path(paths[0]).read_text(encoding="utf-8"))
        print(f"{table(held)}\n\n{against_table(held)}")
