"""What kind of file this is, told by its content; its name says nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from googlenet.runtime.errors import ModelFileError
from googlenet.runtime.files import map_file
from googlenet.runtime.protobuf import Budget, Message, TruncatedError, Value, read_field
from googlenet.weights.archive import entry_ending, open_zip, read_entry
from googlenet.weights.caffe import LAYERS, read_caffe
from googlenet.weights.onnx import GRAPH, read_onnx
from googlenet.weights.safetensors_file import read_named_tensors
from googlenet.weights.tensorflow import NODE_NAME, NODE_OP, read_tensorflow
from googlenet.weights.torch_file import LEGACY_MAGIC, PICKLE, read_torch
from googlenet.weights.weight_file import WeightFile, WeightFileError, check_size

READS = (
    "a Caffe model, a frozen TensorFlow graph, an ONNX model, "
    "a PyTorch state dictionary or a safetensors file"
)

# Files that people have in their place, by how they begin, and what to do about each.
OTHERS = {
    b"\x1f\x8b": "is compressed with gzip: unpack it first",
    b"\x89HDF\r\n": "is an HDF5 file, which this program does not read",
    b"version https://git-lfs": "is a pointer of Git LFS: fetch the file itself",
    b"<": "is a web page: the download has failed",
    b"\x80": "is a pickle, which may run code: save the weights with torch.save or as safetensors",
}
CHECKPOINT_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
CHECKPOINT = (
    "is a TensorFlow checkpoint: save its variables under their own names as safetensors "
    "(docs/weights.md shows how)"
)


def read_weight_file(path: Path, data: memoryview | None = None) -> WeightFile:
    """The tensors of a file of any known format.

    data: the file's bytes, if it is open already.  Raises ModelFileError, which names the file,
    for one that is damaged, too large or of another kind; time and memory are bounded by the
    size of the file, and that by MAX_BYTES.
    """
    try:
        return read_any(path, check_size(map_file(path) if data is None else data))
    except ModelFileError as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise WeightFileError(f"{path}: {error}") from error
    except OSError as error:
        raise WeightFileError(f"{path}: cannot be read ({error})") from error


def read_any(path: Path, data: memoryview) -> WeightFile:
    start = bytes(data[:64])
    if start[8:9] == b"{":
        return read_named_tensors(path, data)
    if start.startswith(b"PK\x03\x04"):
        return read_zip(path, data)
    if start.startswith(LEGACY_MAGIC):
        return read_torch(path, data)
    if bytes(data[-8:]) == CHECKPOINT_END:
        raise WeightFileError(CHECKPOINT)
    for beginning, advice in OTHERS.items():
        if start.startswith(beginning):
            raise WeightFileError(advice)
    return protobuf_reader(data)(data)


def read_zip(path: Path, data: memoryview) -> WeightFile:
    """A zip is what torch.save writes, or it holds a TensorFlow graph."""
    with open_zip(path, data) as archive:
        if entry_ending(archive, PICKLE):
            return read_torch(path, data)
        graph = entry_ending(archive, ".pb")
        if graph is None:
            raise WeightFileError(f"is a zip file without weights; {READS} would do")
        return read_tensorflow(memoryview(read_entry(archive, graph)))


def protobuf_reader(data: memoryview) -> Callable[[memoryview], WeightFile]:
    """The reader of a protocol buffer, by its outermost fields; those of a truncated one will do.

    ONNX's model has an integer in field 1, Caffe's net text, TensorFlow's graph messages.
    """
    fields = outermost_fields(data)
    first = next(iter(fields.get(1, [])), None)
    if isinstance(first, int):
        if GRAPH in fields:
            return read_onnx
    elif LAYERS.keys() & fields.keys() and not is_node(first):
        return read_caffe
    elif is_node(first):
        return read_tensorflow
    raise WeightFileError(f"is not a weight file that this program can read; supported: {READS}")


def outermost_fields(data: memoryview) -> dict[int, list[Value | None]]:
    """The values of a message's fields by number, None for one that is cut off."""
    fields: dict[int, list[Value | None]] = {}
    budget = Budget()
    at = 0
    try:
        while at < len(data):
            budget.spend()
            number, value, at = read_field(data, at)
            fields.setdefault(number, []).append(value)
    except TruncatedError as error:
        if error.field is not None:
            fields.setdefault(error.field, []).append(None)
    except ModelFileError:
        return {}
    return fields


def is_node(value: Value | None) -> bool:
    """Whether this is a TensorFlow node: a message with a name and an operator."""
    if not isinstance(value, memoryview):
        return False
    try:
        node = Message(value)
    except ModelFileError:
        return False
    return bool(node.text(NODE_NAME) and node.text(NODE_OP))
