"""How well `googlenet check` finds near-duplicates: images changed by us, and unrelated ones.

    python benchmarks/near_duplicates.py FOLDER [--changed 1000] [--workers 2]

FOLDER holds images of which no two are the same.  Prints how many pairs of them are called alike
(each a false one, unless the folder has look-alikes), and which share of changed copies is found,
by ours and by the usual perceptual hash.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from io import BytesIO
from math import comb
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from googlenet.checks.near_duplicates import COARSE, near_duplicates, thumbnail, whole
from googlenet.data.folder import list_images
from googlenet.images.decode import decode
from googlenet.runtime.prefetch import prefetch

Pictures = NDArray[np.uint8]
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def jpeg(photo: Image.Image, quality: int) -> Image.Image:
    stream = BytesIO()
    photo.save(stream, "JPEG", quality=quality)
    return decode(stream.getvalue())


def scaled(photo: Image.Image, factor: float) -> Image.Image:
    width, height = (max(1, round(side * factor)) for side in photo.size)
    return photo.resize((width, height), Image.Resampling.BICUBIC)


def cropped(photo: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """The image without `share` of its width and of its height, from anywhere."""
    width, height = (round(side * (1 - share)) for side in photo.size)
    left = int(rng.integers(photo.width - width + 1))
    top = int(rng.integers(photo.height - height + 1))
    return photo.crop((left, top, left + width, top + height))


def together(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A little of everything."""
    bright = ImageEnhance.Brightness(cropped(photo, 0.05, rng)).enhance(1.2)
    return jpeg(bright.resize((120, 100)), 50)


CHANGES: dict[str, Change] = {
    "JPEG of quality 30": lambda photo, _: jpeg(photo, 30),
    "JPEG of quality 10": lambda photo, _: jpeg(photo, 10),
    "half the size": lambda photo, _: scaled(photo, 0.5),
    "a quarter of the size": lambda photo, _: scaled(photo, 0.25),
    "squashed to a square": lambda photo, _: photo.resize((200, 200)),
    "5 % of each side cropped away": lambda photo, rng: cropped(photo, 0.05, rng),
    "10 % of each side cropped away": lambda photo, rng: cropped(photo, 0.10, rng),
    "15 % of each side cropped away": lambda photo, rng: cropped(photo, 0.15, rng),
    "brightness × 0.7": lambda photo, _: ImageEnhance.Brightness(photo).enhance(0.7),
    "brightness × 1.3": lambda photo, _: ImageEnhance.Brightness(photo).enhance(1.3),
    "contrast × 1.4": lambda photo, _: ImageEnhance.Contrast(photo).enhance(1.4),
    "blurred by 2 pixels": lambda photo, _: photo.filter(ImageFilter.GaussianBlur(2)),
    "without color": lambda photo, _: photo.convert("L"),
    "5 % cropped, × 1.2, 120×100, JPEG 50": together,
    "mirrored": lambda photo, _: photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--changed", type=int, default=1000, help="photos to make copies of")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    paths = list_images(args.folder)
    thumbnails = np.stack(list(prefetch(lambda path: thumbnail(decode(path)), paths, args.workers)))
    began = perf_counter()
    pairs = list(near_duplicates(thumbnails, len(thumbnails)))
    seconds = perf_counter() - began
    print(
        f"{len(paths)} photos, {comb(len(paths), 2):,} pairs: {len(pairs)} called alike; "
        f"the search took {seconds:.1f} s"
    )
    for pair in pairs:
        print(f"    {pair.similarity:.3f} {paths[pair.first]} {paths[pair.second]}")
    rng = np.random.default_rng(0)
    chosen = sorted(rng.choice(len(paths), min(args.changed, len(paths)), replace=False).tolist())

    def copies(index: int) -> Pictures:
        photo = decode(paths[index])
        drawn = np.random.default_rng((0, index))
        return np.stack([thumbnail(change(photo, drawn)) for change in CHANGES.values()])

    changed = np.stack(list(prefetch(copies, chosen, args.workers)))  # (images, changes, 32, 32)
    print(f"found of {len(chosen)} changed photos:")
    plain = PerceptualHash(thumbnails, max(1, len(pairs)))
    print(
        f"    ours    pHash, from {plain.threshold} equal bits of 64, at as few pairs called alike"
    )
    for at, name in enumerate(CHANGES):
        ours = 100 * found(thumbnails[chosen], changed[:, at])
        theirs = 100 * plain.found(thumbnails[chosen], changed[:, at])
        print(f"    {ours:5.1f} %  {theirs:5.1f} %  {name}")


class PerceptualHash:
    """The usual hash: which of the 8×8 lowest cosine terms are above their median.

    threshold: of how many equal bits no more than `allowed` pairs of the images have as many.
    """

    def __init__(self, thumbnails: Pictures, allowed: int) -> None:
        bits = self.bits(thumbnails)
        counts = np.zeros(65, np.int64)
        for begin in range(0, len(bits), 1024):
            equal = ((bits[begin : begin + 1024] @ bits[begin:].T + 64) / 2).astype(np.int64)
            later = np.triu(np.ones(equal.shape, bool), 1)
            counts += np.bincount(equal[later], minlength=65)
        passing = counts[::-1].cumsum()[::-1]
        self.threshold = int(np.argmax(passing <= allowed))

    def bits(self, thumbnails: Pictures) -> NDArray[np.float32]:
        transform = whole(COARSE)
        terms = (transform @ thumbnails.astype(np.float32) @ transform.T).reshape(-1, 64)
        return np.where(terms > np.median(terms, 1, keepdims=True), 1, -1).astype(np.float32)

    def found(self, originals: Pictures, copies: Pictures) -> float:
        equal = ((self.bits(originals) * self.bits(copies)).sum(1) + 64) / 2
        return float((equal >= self.threshold).mean())


def found(originals: Pictures, copies: Pictures) -> float:
    """The share of the copies that are called alike with their own original, pair by pair."""
    pairs = zip(originals, copies, strict=True)
    hits = sum(any(near_duplicates(np.stack(pair), 1)) for pair in pairs)
    return hits / len(originals)


if __name__ == "__main__":
    main()
