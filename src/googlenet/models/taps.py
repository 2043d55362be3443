"""Reading a network's activations by name, without leaving anything behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from googlenet.runtime.errors import UsageError


@contextmanager
def tap(network: nn.Module, *names: str) -> Iterator[dict[str, Tensor]]:
    """Collect the named activations of every forward pass made inside the context.

        with tap(network, "inception_4a.5x5", "conv1:pre") as activations:
            network(images)
        activations["inception_4a.5x5"]  # (N, 48, 14, 14), after the ReLU

    A name is a module's path in the network: the output after its ReLU, or with ":pre" before
    it (after the normalization, if any).  The tensors are the network's own, still in the
    graph, so that gradients reach them.  The hooks are removed when the context ends, however
    it ends.  Raises UsageError for a name that the network does not have.
    """
    known = tap_names(network)
    activations: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name in names:
            if name not in known:
                raise UsageError(f"tap must name an activation of the network, got {name!r}")
            path, _, pre = name.partition(":")
            module = network.get_submodule(path)

            def keep_output(_m: nn.Module, _i: object, out: Tensor, name: str = name) -> None:
                activations[name] = out

            def keep_input(_m: nn.Module, inputs: tuple[Tensor], name: str = name) -> None:
                activations[name] = inputs[0]

            relu = relu_of(module)
            if pre and relu is not None:
                handle = relu.register_forward_pre_hook(keep_input)
            else:
                handle = module.register_forward_hook(keep_output)
            hooks.callback(handle.remove)
        yield activations


def tap_names(network: nn.Module) -> list[str]:
    """Every name that `tap` takes, in the network's order; ":pre" follows where there is a ReLU."""
    names: list[str] = []
    inside: tuple[str, ...] = ()  # paths of units: their inner layers are the units' business
    for path, module in network.named_modules():
        if not path or isinstance(module, nn.Identity) or path.startswith(inside or "\0"):
            continue
        names.append(path)
        if relu_of(module) is not None:
            names.append(f"{path}:pre")
            inside += (f"{path}.",)
    return names


def stage_of(name: str) -> str:
    """The stage of the network that an activation belongs to: "inception_4a" of its branches."""
    return name.partition(":")[0].partition(".")[0]


def relu_of(module: nn.Module) -> nn.Module | None:
    """The ReLU that ends a unit, None for any other module."""
    children = dict(module.named_children())
    if "pointwise" in children:
        return relu_of(children["pointwise"])
    return children.get("relu")
