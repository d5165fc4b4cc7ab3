"""The cases of the fuzz target: seeds, changed, packed or not. Case n of a seed is always the same bytes."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import random
from collections.abc import Callable

import zstandard
from fuzz_seeds import SMALL, seeds

TOKENS = [
    b"\0", b"\xff", b"\r\n\r\n", b"\n", b"\r", b'"', b"'", b"{", b"}", b"[", b"]", b"\\", b"\\ud800", b"\xef\xbb\xbf",
    b"WARC/1.0\r\nWARC-Type: response\r\n", b"Content-Length: 0\r\n", b"Content-Length: 99999999999\r\n", b"Content-Length: -1\r\n",
    b"Content-Encoding: gzip\r\n", b"Content-Encoding: br\r\n", b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffff\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/9.9 \xff\r\n", b"\x1f\x8b\x08\0\0\0\0\0\0\3", b"\x28\xb5\x2f\xfd", b"BZh9", b"\xfd7zXZ\0",
    b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<script>", b"</script>", b"<plaintext>", b"<svg><math><mtext>", b"<template>",
    b"<table><tr><td>", b"</table>", b"<ul><li>", b"<select><option>", b"<b><i><a href=x>", b"</b></p></div>", b"<frameset>",
    b"<body", b"<meta charset=utf-16>", b"<meta charset=shift_jis>", b"&#xD800;", b"&#0;", b"&#1114112;", b"&CounterClockwiseContourIntegral",
    b"NaN", b"1e999", b"123456789012345678901234567890", b"null", b'"text": ', b'"id": 5, ', b"{{", b"}}", b"[[", b"]]", b"{|", b"|}", b"<ref>",
    b"X-Robots-Tag: noai\r\n", b"<math><annotation encoding=tex>", b"</annotation></math>", b"<script type=math/tex>", b"<li><pre>", b"<br>", b"</br>",
    b'<a title="a > b" href="/c" rel="license">', b"<meta name=robots content=noai>", b'<script type="application/ld+json">{"datePublished": "',
    "\u202e\u200b\u0301".encode(), "\ufdd0".encode(), "\u2028".encode(), "𠀀磨".encode(), b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80",
]  # fmt: skip
Mutation = Callable[[random.Random, bytearray], None]


def _flip(chance: random.Random, data: bytearray) -> None:
    for _ in range(chance.choice((1, 1, 2, 8))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _byte(chance: random.Random, data: bytearray) -> None:
    data[chance.randrange(len(data))] = chance.choice(
        (0, 10, 13, 34, 60, 62, 92, 123, 127, 128, 255, chance.randrange(256))
    )


def _cut(chance: random.Random, data: bytearray) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.choice((1, 2, 7, 64, 512))]


def _end(chance: random.Random, data: bytearray) -> None:
    del data[chance.randrange(len(data)) :]


def _repeat(chance: random.Random, data: bytearray) -> None:
    start = chance.randrange(len(data))
    piece = data[start : start + chance.choice((1, 3, 20, 300))]
    data[start:start] = piece * chance.choice((1, 2, 10, 60))


def _move(chance: random.Random, data: bytearray) -> None:
    start, to = chance.randrange(len(data)), chance.randrange(len(data))
    piece = data[start : start + chance.choice((1, 8, 100, 1000))]
    data[to:to] = piece


def _token(chance: random.Random, data: bytearray) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.choice(TOKENS) * chance.choice((1, 1, 1, 2, 9, 200))


def _noise(chance: random.Random, data: bytearray) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.randbytes(chance.choice((1, 4, 30, 400)))


def _number(chance: random.Random, data: bytearray) -> None:
    """Another number where one stands: lengths, sizes, references."""
    places = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
    if places:
        at = chance.choice(places)
        data[at : at + 1] = chance.choice((b"0", b"9", b"-1", b"00", b"4294967296", b"x", b"1e9"))


def _zeros(chance: random.Random, data: bytearray) -> None:
    start = chance.randrange(len(data))
    size = min(chance.choice((1, 4, 16, 512)), len(data) - start)
    data[start : start + size] = bytes(size)


def _stretch(chance: random.Random, data: bytearray) -> None:
    """One short thing very often: what takes time by the square of it shows."""
    if chance.random() < 0.02:
        at = chance.randrange(len(data) + 1)
        token = chance.choice(
            (*TOKENS, b" ", b"\t", b"a", b"1", b"<div>", b"<a b=", b" a=1", b"<li>", "\u00a0".encode())
        )
        data[at:at] = token * (200_000 // len(token))


MUTATIONS: tuple[Mutation, ...] = (
    _flip,
    _byte,
    _cut,
    _end,
    _repeat,
    _move,
    _token,
    _token,
    _noise,
    _number,
    _zeros,
    _stretch,
)
PACKS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gz": lambda data: gzip.compress(data, 1, mtime=0),
    "zst": lambda data: zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data),
    "bz2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
}
WEIGHTS = {"warc": 6, "jsonl": 5, "html": 6, "json": 2}
"""How often a format's turn comes; others once."""


def case(seed: int, number: int) -> tuple[str, bytes]:
    """(format, bytes) of one case."""
    chance = random.Random(f"{seed}/{number}")
    kinds = list(seeds())
    kind = chance.choices(kinds, [WEIGHTS.get(name, 1) for name in kinds])[0]
    data = bytearray(chance.choice(seeds()[kind]))
    if chance.random() < 0.1:
        other = chance.choice(seeds()[chance.choice(kinds)])
        at = chance.randrange(len(data))
        data[at:] = other[chance.randrange(len(other)) :]
    pack = chance.choice(("", "", "gz", "gz", "zst", "bz2", "xz")) if kind in _streams() else ""
    _mutate(chance, data, chance.choice((0, 1, 1, 2, 4, 10)) if pack else chance.choice((1, 1, 2, 4, 10)))
    packed = bytearray(_members_packed(chance, bytes(data), pack))
    if pack:
        _mutate(chance, packed, chance.choice((0, 0, 1, 1, 3)))
    return kind, bytes(packed)


def _streams() -> set[str]:
    from pipeline.readers import STREAMS

    return set(STREAMS)


def _mutate(chance: random.Random, data: bytearray, times: int) -> None:
    for _ in range(times):
        if data:
            chance.choice(MUTATIONS)(chance, data)
        if len(data) > 50 * SMALL:
            del data[50 * SMALL :]


def _members_packed(chance: random.Random, data: bytes, pack: str) -> bytes:
    """One compressed member, or one for each of some pieces."""
    if not pack or chance.random() < 0.5 or not data:
        return PACKS[pack](data)
    edges = sorted({0, len(data), *(chance.randrange(len(data)) for _ in range(chance.randrange(1, 6)))})
    return b"".join(PACKS[pack](data[a:b]) for a, b in itertools.pairwise(edges))
