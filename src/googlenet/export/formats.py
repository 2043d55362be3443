"""The formats of `googlenet export`, as data: nothing heavy is imported here."""

from __future__ import annotations

from typing import NamedTuple


class Format(NamedTuple):
    """precisions: those that it can hold.  suffixes: of its files, the usual one first.
    packages: what writing and checking it needs."""

    precisions: tuple[str, ...]
    suffixes: tuple[str, ...]
    packages: tuple[str, ...] = ()


FORMATS = {
    "onnx": Format(("fp32", "int8"), (".onnx",), ("onnx", "onnxruntime")),
    "openvino": Format(("fp32", "bf16", "int8"), (".xml",), ("onnx", "openvino")),
    "torch": Format(("fp32", "bf16"), (".pt2", ".pt")),
    "web": Format(("fp32", "int8"), ("", ".html"), ("onnx", "onnxruntime")),  # "": a folder
}
PRECISIONS = FORMATS["openvino"].precisions  # which holds all
