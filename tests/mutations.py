"""Files as damage, mistakes and malice make them, each a function of a random generator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import copy
from random import Random
from typing import Any

Mutation = Callable[[bytes, Random], bytes]

HUGE = (-1, 0, 1, 3, 2**31 - 1, 2**31, 2**32, 2**40, 2**63 - 1, 2**63, 2**64, 10**400)
# A value of a JSON file may become any of these.
ODD: tuple[Any, ...] = (
    None, True, False, "", "x", "a\0b", "é\ud800", [], {}, [[]], {"a": {}}, 0.5, float("nan"),
    float("inf"), *HUGE,
)  # fmt: skip


def flips(content: bytes, rng: Random) -> bytes:
    """A few bytes changed."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(changed))
        changed[at] = rng.choice((changed[at] ^ 1 << rng.randrange(8), 0, 0x7F, 0x80, 0xFF))
    return bytes(changed)


def flips_early(content: bytes, rng: Random) -> bytes:
    """The same among the first bytes, where lengths, types and names are."""
    early = rng.choice((8, 64, 512, 4096))
    return flips(content[:early], rng) + content[early:]


def cut(content: bytes, rng: Random) -> bytes:
    return content[: rng.randrange(len(content))]


def spliced(content: bytes, rng: Random) -> bytes:
    """A piece gone, doubled, emptied, or taken from elsewhere; or something behind the end."""
    a, b = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    b = min(b, a + rng.choice((1, 8, 100, 10_000)))
    c = rng.randrange(len(content))
    kinds = (
        content[:a] + content[b:],
        content[:b] + content[a:],
        content[:a] + bytes(b - a) + content[b:],
        content[:a] + content[c : c + b - a] + content[b:],
        content + content[a:b] + b"x",
    )
    return rng.choice(kinds)


def declared_length(content: bytes, rng: Random) -> bytes:
    """The first eight bytes, which a safetensors file has its header's length in."""
    length = int.from_bytes(content[:8], "little")
    lengths = (length + 1, length - 1, length + 8, len(content), *HUGE)
    return (rng.choice(lengths) % 2**64).to_bytes(8, "little") + content[8:]


def odd_json(value: Any, rng: Random) -> Any:
    """A JSON value, somewhere in which something is another, gone or new."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        changed = {k: v for k, v in value.items() if k != key}
        if rng.random() < 0.15:
            return changed | ({key + "x": value[key]} if rng.random() < 0.5 else {})
        return changed | {key: odd_json(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        kinds: tuple[list[Any], ...] = ([odd_json(value[at], rng)], [], [value[at]] * 2)
        return value[:at] + rng.choice(kinds) + value[at + 1 :]
    if isinstance(value, int | float) and rng.random() < 0.4:
        return rng.choice((value + 1, value - 1, value * 2, -value))
    return rng.choice(ODD)


def odd_everywhere(value: Any) -> Iterator[Any]:
    """The JSON value with each of its values in turn gone or one of ODD."""
    yield from ODD
    if not isinstance(value, dict | list):
        return
    for key, held in value.items() if isinstance(value, dict) else enumerate(value):
        changed = copy(value)
        for odd in odd_everywhere(held):
            changed[key] = odd
            yield changed
        del changed[key]
        yield changed


def odd_settings(content: bytes, rng: Random) -> bytes:
    """A JSON file with another value, or none at all."""
    text = json.dumps(odd_json(json.loads(content), rng))
    return rng.choice((text, text, text, "[" * 100_000, text[1:], "")).encode()


def odd_header(content: bytes, rng: Random) -> bytes:
    """A safetensors file with another header: names, types, shapes, offsets, metadata.

    Every other one has lost its digest, so that what is behind that check is met too.
    """
    header, data = parts(content)
    metadata = header["__metadata__"]
    if rng.random() < 0.5:
        metadata.pop("googlenet-sha256", None)
    if rng.random() < 0.5:
        key = rng.choice([k for k in metadata if k != "googlenet-sha256"])
        metadata[key] = json.dumps(odd_json(json.loads(metadata[key]), rng))
    else:
        name = rng.choice(list(header))
        header[name] = odd_json(header[name], rng)
    return whole(json.dumps(header), data)


def doubled_key(content: bytes, rng: Random) -> bytes:
    """A header that says something twice."""
    header, data = parts(content)
    text, name = json.dumps(header), rng.choice(list(header))
    again = json.dumps({name: odd_json(header[name], rng)})
    return whole(rng.choice((again[:-1] + "," + text[1:], text[:-1] + "," + again[1:])), data)


def swapped_tensors(content: bytes, rng: Random) -> bytes:
    """Two tensors under each other's names."""
    header, data = parts(content)
    one, other = rng.sample([name for name in header if name != "__metadata__"], 2)
    header[one], header[other] = header[other], header[one]
    return whole(json.dumps(header), data)


def parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the numbers of a whole safetensors file."""
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def whole(header: str, data: bytes) -> bytes:
    encoded = header.encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


ANY: tuple[Mutation, ...] = (flips, flips_early, cut, spliced)
SAFETENSORS: tuple[Mutation, ...] = (
    *ANY, declared_length, odd_header, odd_header, odd_header, doubled_key, swapped_tensors,
)  # fmt: skip
SETTINGS: tuple[Mutation, ...] = (*ANY, odd_settings, odd_settings, odd_settings)
