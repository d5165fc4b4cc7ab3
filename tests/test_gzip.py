"""Gzip is decoded by zlib-ng, and nothing else comes out than by zlib: of whole members, and of damaged ones."""

from __future__ import annotations

import gzip
import io
import random
import zlib
from collections.abc import Callable, Iterator

import pytest
from corpus import CHECKOUT
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.readers import decoders, streams
from pipeline.readers.streams import Piece, pieces

LINES = gzip.decompress((CHECKOUT / "configs/demo/docs_0.jsonl.gz").read_bytes())
NOISE = random.Random(7).randbytes(60_000)
PLAIN = {
    "text": LINES[:200_000],
    "more than a piece": LINES * 6,  # of OUT_CHUNK bytes
    "stored": NOISE,
    "repeats": b"abc" * 1_500_000,
    "short": b"a",
    "nothing": b"",
}
CRC, FLAGS = -8, 3  # places in a member


def both(packed: bytes, steps: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[tuple[object, ...]], ...]:
    """What comes of the members of a file, in the order that it comes in, by zlib-ng and by zlib."""
    raw = memoryview(packed)
    found = []
    for library in (decoders.zlib_ng, zlib):
        with monkeypatch.context() as patch:
            patch.setattr(decoders, "zlib_ng", library)
            for module in (decoders, streams):
                patch.setattr(module, "DAMAGE", (library.error, OSError, EOFError))
            found.append(list(told(pieces(Slow(raw, steps), lambda head: True))))
    return tuple(found)


def told(stream: Iterator[Piece]) -> Iterator[tuple[object, ...]]:
    """Of each member its bytes, whether it ended, and what broke it. How many pieces that came in is no matter."""
    start, data, ended = 0, b"", False
    for piece in stream:
        if piece.member != start:
            yield start, data, ended
            start, data, ended = piece.member, b"", False
        data, ended = data + piece.data, ended or piece.ended
        if piece.error:
            yield start, data, type(piece.error).__name__, str(piece.error)
            data, ended = b"", False
    yield start, data, ended


class Slow(io.BytesIO):
    """A file that gives at most some bytes at a time."""

    def __init__(self, data: memoryview, most: int) -> None:
        super().__init__(data)
        self.most = most

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self.most)


def cut(packed: bytes, at: int) -> bytes:
    return packed[:at]


def flip(packed: bytes, at: int) -> bytes:
    return packed[:at] + bytes([packed[at] ^ (1 << at % 8)]) + packed[at + 1 :]


def hole(packed: bytes, at: int) -> bytes:
    return packed[:at] + bytes(len(packed[at : at + 16])) + packed[at + 16 :]


DAMAGES: list[Callable[[bytes, int], bytes]] = [cut, flip, hole]


@pytest.mark.parametrize("level", [1, 6, 9])
@pytest.mark.parametrize("name", PLAIN)
def test_whole(name: str, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(PLAIN[name], level, mtime=0)
    for behind in (b"", bytes(100), b"rubbish", packed, packed[:9]):
        ours, theirs = both(packed + behind, 1 << 18, monkeypatch)
        assert ours == theirs
        assert ours[0] == (0, PLAIN[name], True)


@pytest.mark.parametrize("steps", [1 << 18, 1000])
@pytest.mark.parametrize("name", ["text", "more than a piece", "stored", "repeats"])
def test_damaged(name: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(PLAIN[name], 6, mtime=0)
    random_places = random.Random(steps)
    places = [FLAGS, len(packed) + CRC, len(packed) - 2, *(random_places.randrange(len(packed)) for _ in range(8))]
    broken = 0
    for damage in DAMAGES:
        for at in places:
            ours, theirs = both(damage(packed, at) + packed[:5000], steps, monkeypatch)
            assert ours == theirs, (damage.__name__, at)
            broken += ours[0] != (0, PLAIN[name], True)
    assert broken > 20


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_many_members(data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.binary(max_size=30) | st.sampled_from([LINES[:20_000], NOISE[:9000]]), max_size=5))
    packed = bytearray(b"".join(gzip.compress(text, 6, mtime=0) for text in [b"first", *texts]))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(packed) - 1))
        packed[at : at + 4] = data.draw(st.binary(max_size=4))
        packed = packed or bytearray(b"\x1f")
    with pytest.MonkeyPatch.context() as monkeypatch:
        ours, theirs = both(bytes(packed), data.draw(st.sampled_from([7, 1 << 18])), monkeypatch)
    assert ours == theirs
