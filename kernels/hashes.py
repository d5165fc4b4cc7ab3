"""64-bit hashes of pieces of text. Two pieces with the same hash count as the same piece."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.compile import kernel, part
from kernels.memory import PAD, get, int64, load64, pointer
from kernels.simd import below

_A = np.uint64(0x9E3779B97F4A7C15)
_B = np.uint64(0xC2B2AE3D27D4EB4F)
_HALF = np.uint64(32)
_FAR = np.uint64(29)
_ONE = np.uint64(1)
_FNV, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


@part
def _round(state, bits):
    state = (state ^ bits) * _A
    return state ^ (state >> _HALF)


@part
def hash_bytes(data, start, end):
    """A hash of data[start:end], uint64 and never 0, so that 0 can mean "empty" in a table."""
    state = np.uint64(end - start) * _B
    while end - start > 16:
        state = _round(state, load64(data, start))
        start += 8
    # the round between 9 and 16 bytes is always worked out: the length of a word is hard to foresee
    further = _round(state, load64(data, start))
    more = end - start > 8
    state = further if more else state
    start += 8 if more else 0
    state = (state ^ (load64(data, start) & below(8 * (end - start)))) * _A
    state = (state ^ (state >> _FAR)) * _B
    return (state ^ (state >> _HALF)) | _ONE


@part
def fnv(data, start, end):
    """FNV-1a, 64 bits, of the bytes data[start:end] with ASCII letters in lower case: names of tags, words of class names.

    The shipped model of blocks and its vocabulary hang on these very numbers.
    """
    value = _FNV
    for at in range(start, end):
        byte = get(data, at)
        value = (value ^ np.uint64(byte + 32 if 65 <= byte <= 90 else byte)) * _FNV_PRIME
    return value


def fnv_of(name: str) -> int:
    """`fnv` of a name."""
    value = int(_FNV)
    for byte in name.lower().encode():
        value = (value ^ byte) * int(_FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


@part
def table_bits(entries):
    """The number of bits of a table with at least two places for each of `entries`; 4 or more."""
    bits = 4
    while (1 << bits) < 2 * entries:
        bits += 1
    return bits


@part
def spread(number, bits):
    """The place of a hash in a table of 2**bits, as int64."""
    return int64((number * _A) >> np.uint64(64 - bits))


def hash_words(words: Sequence[bytes]) -> np.ndarray:
    """`hash_bytes` of each word, uint64."""
    ends = np.cumsum([0, *map(len, words)])
    return _hash_pieces(ends, np.frombuffer(b"".join(words) + bytes(PAD), np.uint8))


@kernel
def _hash_pieces(ends, data):
    out = np.empty(len(ends) - 1, np.uint64)
    for piece in range(len(out)):
        out[piece] = hash_bytes(pointer(data), ends[piece], ends[piece + 1])
    return out
