"""Fine-tuning says of every tensor what became of it."""

from __future__ import annotations

from dataclasses import asdict

import torch

from googlenet.models.registry import build_network
from googlenet.training.transfer import PretrainedSource, Transfer, transfer
from tests.training.small_runs import state


def network(classes: int = 3, **options: object):  # type: ignore[no-untyped-def]
    return build_network("bn", classes, size=32, **({"width": 0.05} | options))  # type: ignore[arg-type]


def test_same_classes_keep_everything() -> None:
    source, target = network(), network()
    account = transfer(source.state_dict(), target, same_classes=True)
    assert set(account.transferred) == set(target.state_dict())
    assert (account.dropped, account.reinitialized) == ({}, ())
    assert all(torch.equal(t, target.state_dict()[n]) for n, t in source.state_dict().items())
    assert account.lines() == [f"transferred {len(account.transferred)} tensors"]


def test_other_classes_of_the_same_number_keep_no_logits() -> None:
    source, target = network(), network()
    fresh = state(target)
    account = transfer(source.state_dict(), target, same_classes=False)
    logits = {
        f"{path}.{name}"
        for path in ("classifier", "aux_4a.classifier", "aux_4d.classifier")
        for name in ("weight", "bias")
    }
    assert account.dropped == dict.fromkeys(logits, "other classes")
    assert set(account.reinitialized) == logits
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, (fresh if name in logits else source.state_dict())[name]), name


def test_heads_that_only_one_side_has() -> None:
    headless, whole = network(with_aux_heads=False), network()
    account = transfer(headless.state_dict(), whole, same_classes=True)
    assert {name.split(".")[0] for name in account.reinitialized} == {"aux_4a", "aux_4d"}
    back = transfer(whole.state_dict(), network(with_aux_heads=False), same_classes=True)
    assert set(back.dropped) == set(account.reinitialized)
    assert set(back.dropped.values()) == {"the new network has no such layer"}


def test_other_shapes_are_told() -> None:
    account = transfer(network(width=0.1).state_dict(), network(), same_classes=True)
    assert account.dropped["conv1.conv.weight"] == "shape (6, 3, 7, 7), here (3, 3, 7, 7)"
    assert "conv1.conv.weight" in account.reinitialized


def test_account_for_a_reader() -> None:
    account = Transfer(("a", "b"), {"c": "other classes", "d": "x"}, ("c",))
    assert account.lines() == [
        "transferred 2 tensors",
        "dropped c (other classes), d (x)",
        "reinitialized c",
    ]


def test_source_with_the_old_key_is_read() -> None:
    old = {"kept": ["conv1.conv.weight"], "provenance": {"recipe": "modern"}, "licence": None}
    expected = PretrainedSource(("conv1.conv.weight",), {"recipe": "modern"}, None)
    assert PretrainedSource.from_json(old) == expected
    assert PretrainedSource.from_json(asdict(expected)) == expected
