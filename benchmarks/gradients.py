"""How much of the loss's gradient reaches each depth, with and without the auxiliary heads.

    python benchmarks/gradients.py $GOOGLENET_DATA/imagenette2-160 [--size 128] [--seeds 0,1,2]

Section 5 adds the heads because gradients may not reach the lower layers.  For each stage this
prints the norm of the gradient of its filters as a share of the norm of the filters, in
thousandths, before the first step, on one batch of 64 training images: mean and spread over seeds.
"""

from __future__ import annotations

import argparse
from statistics import mean, stdev

import torch
from torch import Tensor
from torch.nn import functional as F

from googlenet.data.load_data import load_data
from googlenet.data.loader import TrainingLoader
from googlenet.images.augment import Augmentation
from googlenet.images.preprocess import Preprocessing, resize_size
from googlenet.models.googlenet import GoogLeNet
from googlenet.training.recipes import MODERN

PHOTOS = 64
HEADS = 0.3
CLASSES = 10
BEGINNINGS = {
    "paper, BVLC init": ("paper", "bvlc"),
    "paper, He init": ("paper", "he"),
    "bn, He init": ("bn", "he"),
}


def norms(network: GoogLeNet) -> dict[str, float]:
    """Norm of the gradient over norm of the weights, of every stage's filters."""
    found = {}
    for stage in network.trunk:
        filters = [p for p in network.get_submodule(stage).parameters() if p.ndim == 4]
        if filters:
            gradients = [p.grad for p in filters if p.grad is not None]
            found[stage] = norm(gradients) / norm(filters)
    return found


def norm(tensors: list[Tensor]) -> float:
    return float(torch.cat([t.detach().flatten() for t in tensors]).norm())


def measure(
    begun: tuple[str, str], heads: float, crops: Tensor, labels: Tensor, seed: int
) -> dict[str, float]:
    """The norms of a variant with an initialization: the same filters, with or without heads."""
    variant, initialization = begun
    network = GoogLeNet(
        variant,
        CLASSES,
        initialization=initialization,
        generator=torch.Generator().manual_seed(seed),
    )
    network.train()
    torch.manual_seed(seed)
    loss = torch.zeros(())
    for head, logits in network.forward_heads(crops).items():
        loss = loss + (1.0 if head == "main" else heads) * F.cross_entropy(logits, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    return norms(network)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seeds", default="0,1,2")
    arguments = parser.parse_args()
    data = load_data(arguments.data)
    preprocessing = Preprocessing(size=arguments.size, resize_size=resize_size(arguments.size))
    columns: dict[str, list[dict[str, float]]] = {}
    for seed in map(int, arguments.seeds.split(",")):
        augmentation = Augmentation(MODERN.augmentation(preprocessing), seed)
        loader = TrainingLoader(data.train, preprocessing, augmentation)
        order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed))
        batch = loader.load(0, order[:PHOTOS].tolist())
        crops = preprocessing.normalize(torch.from_numpy(batch.pixels))
        labels = torch.from_numpy(batch.labels)
        for name, begun in BEGINNINGS.items():
            for which, heads in (("heads", HEADS), ("no heads", 0.0)):
                found = measure(begun, heads, crops, labels, seed)
                columns.setdefault(f"{name}, {which}", []).append(found)
    print("| stage |", " | ".join(columns), "|")
    print("|---" * (1 + len(columns)) + "|")
    for stage in next(iter(columns.values()))[0]:
        cells = []
        for runs in columns.values():
            values = [1000 * run[stage] for run in runs]
            spread = f" ± {stdev(values):.2g}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.3g}{spread}")
        print(f"| {stage} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
