"""ImageNet's thousand classes, in the orders in which published networks have them.

`imagenet_classes.txt` has a line a class: wnid, place in the development kit's order (from 1),
name.  The lines are in the order of the wnids.  tools/imagenet_classes.py writes it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.resources import files

from googlenet.data.labels import Class

INCEPTION5H_CLASSES = 1008


@cache
def imagenet() -> tuple[Class, ...]:
    """The 1000 classes in the order of their wnids: Caffe's, ONNX's and torchvision's."""
    return tuple(Class(wnid, name) for wnid, _, name in lines())


@cache
def devkit() -> tuple[Class, ...]:
    """The 1000 classes in the order of ILSVRC 2012's development kit."""
    return tuple(Class(wnid, name) for wnid, _, name in sorted(lines(), key=lambda line: line[1]))


def lines() -> list[tuple[str, int, str]]:
    text = (files("googlenet.weights") / "imagenet_classes.txt").read_text(encoding="utf-8")
    fields = (line.split(" ", 2) for line in text.splitlines())
    return [(wnid, int(place), name) for wnid, place, name in fields]


def dummy(index: int) -> Class:
    """An output that stands for nothing: inception5h has eight of them."""
    return Class(f"dummy-{index}", f"dummy {index}")


def with_background() -> tuple[Class, ...]:
    """TF-Slim's 1001 classes."""
    return (Class("background", "background"), *imagenet())


def with_dummies() -> tuple[Class, ...]:
    """inception5h's 1008 classes: ImageNet's are numbers 1 to 1000."""
    after = (dummy(index) for index in range(1001, INCEPTION5H_CLASSES))
    return (dummy(0), *devkit(), *after)


ORDERS: dict[str, Callable[[], tuple[Class, ...]]] = {
    "wnid": imagenet,
    "background+wnid": with_background,
    "dummy+devkit": with_dummies,
}


def class_list(order: str, count: int) -> tuple[Class, ...]:
    """The classes of a published network in its order, or numbers if it has not their number.

    A network with another number of classes was fine-tuned: its file does
    not say what they are.
    """
    published = ORDERS[order]()
    if len(published) == count:
        return published
    return tuple(Class(str(index), f"class {index}") for index in range(count))
