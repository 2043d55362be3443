"""The built-in set: 1,797 scans of handwritten digits, 8×8 pixels, that scikit-learn ships.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI 1998.
"""

from __future__ import annotations

import numpy as np

from googlenet.data.dataset import DataSet, Samples
from googlenet.data.labels import Class
from googlenet.data.split import random_split
from googlenet.runtime.errors import GoogLeNetError


def read_digits(seed: int | None) -> DataSet:
    """The digits, a fifth of each class held out by the seed."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise GoogLeNetError(
            "the built-in set digits needs scikit-learn: pip install 'googlenet[digits]'"
        ) from None
    scans = load_digits()
    pixels = np.round(scans.images * (255 / 16)).astype(np.uint8)
    samples = Samples(tuple(pixels), tuple(int(label) for label in scans.target))
    classes = tuple(Class(str(digit), str(digit)) for digit in range(10))
    return random_split(DataSet("digits", classes, samples, Samples()), seed)
