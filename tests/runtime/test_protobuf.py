"""Our wire reader against Google's protobuf library, and against hostile bytes."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from googlenet.runtime import protobuf
from googlenet.runtime.errors import ModelFileError
from googlenet.runtime.protobuf import Message, TruncatedError
from tests.weights.protos import wire

Everything = wire["Everything"]
INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT = st.floats(width=32, allow_nan=False)
quick = settings(max_examples=40, deadline=None, derandomize=True)

VALUES = st.fixed_dictionaries(
    {},
    optional={
        "number": INT64,
        "unsigned": st.integers(0, 2**64 - 1),
        "text": st.text(max_size=20),
        "raw": st.binary(max_size=200),
        "single": FLOAT,
        "double": st.floats(allow_nan=False),
        "packed": st.lists(FLOAT, max_size=5),
        "unpacked": st.lists(FLOAT, max_size=5),
        "integers": st.lists(INT64, max_size=20),
        "loose": st.lists(INT64, max_size=5),
        "far": st.integers(0, 2**31 - 1),
    },
)


def parsed(message: Any) -> Message:
    return Message(memoryview(message.SerializeToString()))


@quick
@given(VALUES)
def test_reads_what_google_wrote(values: dict[str, Any]) -> None:
    theirs = Everything(**values)
    ours = parsed(theirs)
    assert ours.integer(1) == theirs.number
    assert np.uint64(ours.integer(2) % 2**64) == theirs.unsigned
    assert ours.text(3) == theirs.text
    assert b"".join(ours.views(4)) == theirs.raw
    assert ours.real(5, 0.0) == theirs.single
    assert ours.numbers(6, "<f8").tolist() == ([theirs.double] if "double" in values else [])
    assert ours.numbers(7, "<f4").tolist() == list(theirs.packed)
    assert ours.numbers(8, "<f4").tolist() == list(theirs.unpacked)
    assert ours.integers(9).tolist() == list(theirs.integers)
    assert ours.integers(10).tolist() == list(theirs.loose)
    assert ours.integer(536870911) == theirs.far


def test_reads_messages_within_messages() -> None:
    theirs = Everything()
    theirs.inner.add(label="a").inner.label = "b"
    theirs.inner.add(label="c")
    first, second = parsed(theirs).messages(11)
    assert (first.text(1), first.message(2).text(1)) == ("a", "b")
    assert (second.text(1), second.message(2).text(1)) == ("c", "")


def test_what_is_cut_off_is_truncated_at_every_byte() -> None:
    data = Everything(text="x" * 300, packed=[1.0, 2.0], number=-1, far=7).SerializeToString()
    for end in range(1, len(data)):
        try:
            message = Message(memoryview(data[:end]))
        except TruncatedError:
            continue
        assert message.fields, "a cut between two fields leaves the first ones whole"


def test_a_declared_length_is_not_believed() -> None:
    tracemalloc.start()
    with pytest.raises(TruncatedError, match=r"field 5 declares 1,099,511,627,776 bytes, 3 are"):
        Message(memoryview(b"\x2a\x80\x80\x80\x80\x80\x20abc"))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_nesting_costs_nothing() -> None:
    data = b""
    for _ in range(20_000):
        size = len(data)
        length = bytearray()
        while True:
            length.append(size & 0x7F | (0x80 if size > 0x7F else 0))
            size >>= 7
            if not size:
                break
        data = b"\x12" + bytes(length) + data
    assert list(Message(memoryview(data)).fields) == [2]


def test_fields_are_counted_over_the_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 100)
    inner = b"\x08\x01" * 60
    data = b"".join(b"\x12" + bytes([len(inner)]) + inner for _ in range(2))
    first, *rest = Message(memoryview(data)).views(2)
    assert len(rest) == 1
    assert len(Message(first).fields[1]) == 60
    with pytest.raises(ModelFileError, match="may have 100 fields"):
        list(Message(memoryview(data)).messages(2))


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"\x0b\x08\x01\x0c", "field 1 has wire type 3"),
        (b"\x00\x01", "field of number 0"),
        (b"\x08" + b"\xff" * 10, "more than ten bytes"),
        (b"\xff" * 11, "more than ten bytes"),
    ],
)
def test_what_is_no_protocol_buffer(data: bytes, rule: str) -> None:
    with pytest.raises(ModelFileError, match=rule):
        Message(memoryview(data))


@pytest.mark.parametrize(
    ("packed", "rule"), [(b"\x01\x80", "within a number"), (b"\xff" * 10 + b"\x01", "ten bytes")]
)
def test_damaged_packed_integers(packed: bytes, rule: str) -> None:
    with pytest.raises(ModelFileError, match=rule):
        protobuf.unpack_varints(memoryview(packed))


def test_packed_integers_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MAX_PACKED_BYTES", 10)
    with pytest.raises(ModelFileError, match="may have 10 bytes, this has 11"):
        protobuf.unpack_varints(memoryview(bytes(11)))


def test_numbers_of_the_wrong_size() -> None:
    with pytest.raises(ModelFileError, match="field 7 must be numbers of 4 bytes"):
        Message(memoryview(b"\x3a\x03abc")).numbers(7, "<f4")


@quick
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        message = Message(memoryview(data))
        for number in message.fields:
            message.integers(number)
            message.numbers(number, "<f4")
            message.text(number)
            list(message.messages(number))
    except ModelFileError:
        pass
