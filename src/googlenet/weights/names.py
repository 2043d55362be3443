"""Our names beside other frameworks', as tables: one row per layer, templates for the modules.

In a template {m} is the paper's name of a module, "3a" … "5b", {x} TF-Slim's, "3b" … "5c";
{h} numbers the auxiliary heads of 4a and 4d from 0, {n} from 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from googlenet.models.table import HEADS, TABLE_1

# fmt: off
CAFFE = {
    "conv1":                    "conv1/7x7_s2",
    "conv2_reduce":             "conv2/3x3_reduce",
    "conv2":                    "conv2/3x3",
    "inception_{m}.1x1":        "inception_{m}/1x1",
    "inception_{m}.3x3_reduce": "inception_{m}/3x3_reduce",
    "inception_{m}.3x3":        "inception_{m}/3x3",
    "inception_{m}.5x5_reduce": "inception_{m}/5x5_reduce",
    "inception_{m}.5x5":        "inception_{m}/5x5",
    "inception_{m}.pool_proj":  "inception_{m}/pool_proj",
    "aux_{m}.conv":             "loss{n}/conv",
    "aux_{m}.fc":               "loss{n}/fc",
    "aux_{m}.classifier":       "loss{n}/classifier",
    "classifier":               "loss3/classifier",
}
INCEPTION5H = {
    "conv1":                    "conv2d0",
    "conv2_reduce":             "conv2d1",
    "conv2":                    "conv2d2",
    "inception_{m}.1x1":        "mixed{m}_1x1",
    "inception_{m}.3x3_reduce": "mixed{m}_3x3_bottleneck",
    "inception_{m}.3x3":        "mixed{m}_3x3",
    "inception_{m}.5x5_reduce": "mixed{m}_5x5_bottleneck",
    "inception_{m}.5x5":        "mixed{m}_5x5",
    "inception_{m}.pool_proj":  "mixed{m}_pool_reduce",
    "aux_{m}.conv":             "head{h}_bottleneck",
    "aux_{m}.fc":               "nn{h}",
    "aux_{m}.classifier":       "softmax{h}",
    "classifier":               "softmax2",
}
SLIM = {
    "conv1":                    "Conv2d_1a_7x7",
    "conv2_reduce":             "Conv2d_2b_1x1",
    "conv2":                    "Conv2d_2c_3x3",
    "inception_{m}.1x1":        "Mixed_{x}/Branch_0/Conv2d_0a_1x1",
    "inception_{m}.3x3_reduce": "Mixed_{x}/Branch_1/Conv2d_0a_1x1",
    "inception_{m}.3x3":        "Mixed_{x}/Branch_1/Conv2d_0b_3x3",
    "inception_{m}.5x5_reduce": "Mixed_{x}/Branch_2/Conv2d_0a_1x1",
    "inception_{m}.5x5":        "Mixed_{x}/Branch_2/Conv2d_0b_3x3",
    "inception_5a.5x5":         "Mixed_5b/Branch_2/Conv2d_0a_3x3",  # a slip that was released
    "inception_{m}.pool_proj":  "Mixed_{x}/Branch_3/Conv2d_0b_1x1",
    "classifier":               "Logits/Conv2d_0c_1x1",
}
TORCHVISION = {
    "conv1":                    "conv1",
    "conv2_reduce":             "conv2",
    "conv2":                    "conv3",
    "inception_{m}.1x1":        "inception{m}.branch1",
    "inception_{m}.3x3_reduce": "inception{m}.branch2.0",
    "inception_{m}.3x3":        "inception{m}.branch2.1",
    "inception_{m}.5x5_reduce": "inception{m}.branch3.0",
    "inception_{m}.5x5":        "inception{m}.branch3.1",
    "inception_{m}.pool_proj":  "inception{m}.branch4.1",
    "aux_{m}.conv":             "aux{n}.conv",
    "aux_{m}.fc":               "aux{n}.fc1",
    "aux_{m}.classifier":       "aux{n}.fc2",
    "classifier":               "fc",
}
OURS = {ours: ours for ours in CAFFE}

# What follows a layer's name: ours, theirs.
CAFFE_PARAMETERS = {
    "conv.weight":            "/weight",
    "conv.bias":              "/bias",
    "weight":                 "/weight",
    "bias":                   "/bias",
}
ONNX_PARAMETERS = {
    "conv.weight":            "_w_0",
    "conv.bias":              "_b_0",
    "weight":                 "_w_0",
    "bias":                   "_b_0",
}
INCEPTION5H_PARAMETERS = {
    "conv.weight":            "_w",
    "conv.bias":              "_b",
    "weight":                 "_w",
    "bias":                   "_b",
}
SLIM_PARAMETERS = {
    "conv.weight":            "/weights",
    "bn.bias":                "/BatchNorm/beta",
    "bn.running_mean":        "/BatchNorm/moving_mean",
    "bn.running_var":         "/BatchNorm/moving_variance",
    "weight":                 "/weights",
    "bias":                   "/biases",
}
SAME_PARAMETERS = {
    "conv.weight":            ".conv.weight",
    "conv.bias":              ".conv.bias",
    "bn.weight":              ".bn.weight",
    "bn.bias":                ".bn.bias",
    "bn.running_mean":        ".bn.running_mean",
    "bn.running_var":         ".bn.running_var",
    "bn.num_batches_tracked": ".bn.num_batches_tracked",
    "weight":                 ".weight",
    "bias":                   ".bias",
}
# fmt: on

SLIM_NAMES = ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")
SLIM_MODULES = dict(zip(TABLE_1, SLIM_NAMES, strict=True))

# Scopes and endings that frameworks put around a network's names.
WRAPPERS = ("module.", "InceptionV1/InceptionV1/", "InceptionV1/")
OUTPUT = ":0"


def layers(table: Mapping[str, str]) -> dict[str, str]:
    """A table written out: the layer's name here to its name there; a later row overrides."""
    found: dict[str, str] = {}
    for ours, theirs in table.items():
        for values in placeholders(ours):
            found[ours.format_map(values)] = theirs.format_map(values)
    return found


def placeholders(template: str) -> Iterator[dict[str, str]]:
    """The values that a row's template takes: of each head, of each module, or none."""
    if template.startswith("aux"):
        for index, head in enumerate(HEADS):
            yield {"m": head, "h": str(index), "n": str(index + 1)}
    elif "{m}" in template:
        for module, slim in SLIM_MODULES.items():
            yield {"m": module, "x": slim}
    else:
        yield {}


def name_map(
    table: Mapping[str, str], parameters: Mapping[str, str], ours: Iterable[str]
) -> dict[str, str]:
    """Our tensors' names to theirs; those that they have no tensor for are left out."""
    by_layer = layers(table)
    found: dict[str, str] = {}
    for name in ours:
        for parameter, suffix in parameters.items():
            layer = name.removesuffix(f".{parameter}")
            if layer in by_layer:
                found[name] = by_layer[layer] + suffix
                break
    return found


def canonical_name(name: str) -> str:
    """A name without what a framework has put around it."""
    name = name.removesuffix(OUTPUT)
    for wrapper in WRAPPERS:
        name = name.removeprefix(wrapper)
    return name
