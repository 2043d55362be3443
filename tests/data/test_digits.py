"""The built-in set, against scikit-learn, from which it comes."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

from googlenet.data.digits import read_digits
from googlenet.runtime.errors import GoogLeNetError


def test_every_scan_once_with_its_label() -> None:
    data, scans = read_digits(0), load_digits()
    samples = data.all
    ours = Counter(
        (np.asarray(s).tobytes(), label)
        for s, label in zip(samples.sources, samples.labels, strict=True)
    )
    theirs = Counter(
        ((image / 16 * 255).round().astype(np.uint8).tobytes(), int(label))
        for image, label in zip(scans.images, scans.target, strict=True)
    )
    assert ours == theirs
    assert [c.name for c in data.classes] == list("0123456789")


def test_a_fifth_of_each_digit_is_held_out_by_the_seed() -> None:
    data = read_digits(1)
    whole, held = Counter(data.all.labels), Counter(data.val.labels)
    assert all(held[digit] == round(whole[digit] / 5) for digit in range(10))
    first, again, other = (np.array(read_digits(seed).val.sources) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(GoogLeNetError, match=r"needs scikit-learn: pip install"):
        read_digits(0)
