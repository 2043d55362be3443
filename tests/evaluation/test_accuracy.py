"""Errors against scikit-learn, averages over views and models against the naive computation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import top_k_accuracy_score

from googlenet.data.dataset import Samples
from googlenet.data.labels import Class
from googlenet.evaluation.accuracy import CROP_BATCH_SIZE, score
from googlenet.evaluation.probability_rows import restrict
from googlenet.evaluation.scores import Scores, ensemble, require_same_classes
from googlenet.images.decode import decode
from googlenet.images.views import VIEWS
from googlenet.runtime.errors import GoogLeNetError, UsageError
from tests.fixtures import COLOURS, noise, pixels, set_header, slow, tinted, tiny_classifier


def scores(photos: int, classes: int, seed: int) -> Scores:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(photos, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (photos,), generator=generator)
    return Scores(logits.softmax(1), labels, tuple(range(photos)))


@pytest.mark.parametrize(("photos", "classes"), [(1, 3), (97, 7), (400, 50)])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_error_is_scikit_learn_s(photos: int, classes: int, k: int) -> None:
    found = scores(photos, classes, seed=k)
    labels = range(classes)
    if k >= classes:
        assert found.error(k) == 0
        return
    accuracy = top_k_accuracy_score(found.labels, found.probabilities, k=k, labels=labels)
    assert found.error(k) == pytest.approx(100 * (1 - accuracy))


def test_predicted_is_the_likeliest() -> None:
    found = scores(20, 4, seed=0)
    assert found.predicted().tolist() == np.argmax(found.probabilities.numpy(), 1).tolist()
    wrong = int((found.predicted() != found.labels).sum())
    assert found.error(1) == pytest.approx(100 * wrong / 20)


def test_restricted_answers_are_the_best_of_the_allowed() -> None:
    found = scores(50, 6, seed=1)
    kept = replace(found, probabilities=restrict(found.probabilities, [1, 4]))
    raw = found.probabilities.numpy()
    assert kept.predicted().tolist() == [[1, 4][int(np.argmax(row))] for row in raw[:, [1, 4]]]
    assert kept.probabilities[:, [0, 2, 3, 5]].abs().max() == 0
    assert torch.allclose(kept.probabilities.sum(1), torch.ones(50, dtype=torch.float64))


def photos(count: int) -> Samples:
    """Images in memory, of various sizes and colors."""
    names = list(COLOURS)
    sources = [tinted(names[i % 3], i).resize((40 + 5 * i, 50 + 2 * i)) for i in range(count)]
    return Samples(tuple(map(pixels, sources)), tuple(i % 3 for i in range(count)))


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize(("views", "count"), [(1, 4), (10, 7), slow(144, 2)])
def test_probabilities_are_the_mean_over_the_views(views: int, count: int, mirror: bool) -> None:
    """View by view, image by image; the batches of crops do not end where images do."""
    classifier, samples = tiny_classifier(mirror=mirror), photos(count)
    assert views == 1 or (views * count) % CROP_BATCH_SIZE
    found = score(classifier, samples, views)
    assert found.indices == tuple(range(count))
    assert found.labels.tolist() == list(samples.labels)
    p = classifier.preprocessing
    for index, source in enumerate(samples.sources):
        crops = [p.pixels(view) for view in VIEWS[views](decode(source), p)]
        each = np.concatenate([classifier.probabilities(np.stack([crop])) for crop in crops])
        np.testing.assert_allclose(found.probabilities[index], each.mean(0), atol=1e-5)
    assert len(found) == count


def test_views_and_images_make_a_difference() -> None:
    classifier, samples = tiny_classifier(), photos(2)
    one, ten = (score(classifier, samples, views).probabilities for views in (1, 10))
    assert (one - ten).abs().max() > 1e-3
    assert (one[0] - one[1]).abs().max() > 1e-3


def test_bad_images_are_left_out_and_named(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    noise(40, 40).save(good)
    bad.write_text("no photo")
    missing = tmp_path / "missing.png"
    calls: list[None] = []
    found = score(
        tiny_classifier(),
        Samples((bad, good, missing, good), (0, 1, 2, 2)),
        views=10,
        progress=lambda: calls.append(None),
    )
    assert (found.indices, found.labels.tolist(), len(found)) == ((1, 3), [1, 2], 2)
    assert set(found.unreadable) == {str(bad), str(missing)}
    assert found.unreadable[str(bad)].startswith(f"{bad}: cannot be read")
    assert len(calls) == 4


def test_no_image_at_all(tmp_path: Path) -> None:
    with pytest.raises(GoogLeNetError, match="none of the images could be read"):
        score(tiny_classifier(), Samples((tmp_path / "missing.png",), (0,)))


def test_number_of_workers_changes_nothing() -> None:
    classifier, samples = tiny_classifier(), photos(5)
    one, three = (score(classifier, samples, 10, workers) for workers in (1, 3))
    assert torch.equal(one.probabilities, three.probabilities)


def test_views_that_do_not_exist() -> None:
    with pytest.raises(UsageError, match="views must be among 1, 10, 144, got 5"):
        score(tiny_classifier(), photos(1), 5)


def test_ensemble_averages_probabilities_not_logits() -> None:
    parts = [scores(30, 5, seed) for seed in range(3)]
    together = ensemble(parts)
    stacked = np.stack([part.probabilities.numpy() for part in parts])
    assert np.allclose(together.probabilities.numpy(), stacked.mean(0), atol=1e-12)
    logits = np.exp(np.log(stacked).mean(0))
    logits /= logits.sum(1, keepdims=True)
    assert np.abs(together.probabilities.numpy() - logits).max() > 0.01
    assert torch.equal(together.labels, parts[0].labels)


def test_ensemble_of_one_class_list_only() -> None:
    one, other = tiny_classifier(), tiny_classifier(seed=1)
    require_same_classes([one, other], ["a", "b"])
    set_header(other, classes=tuple(reversed(other.classes)))
    with pytest.raises(UsageError, match="same classes in the same order: b differs from a"):
        require_same_classes([one, other], ["a", "b"])
    set_header(other, classes=tuple(Class(c.id, "other name") for c in one.classes))
    require_same_classes([one, other], ["a", "b"])
