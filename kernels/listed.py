"""Which words of a short list stand in each text of a column, and how often, from the word hashes of kernels/words.py."""

from __future__ import annotations

import numpy as np

from kernels.compile import kernel
from kernels.hashes import spread
from kernels.memory import get, pointer
from kernels.simd import ones

_BITS = 8
_ZERO = np.uint64(0)
_ONE = np.uint64(1)


def count_listed(hashes: np.ndarray, firsts: np.ndarray, ends: np.ndarray, listed: np.ndarray) -> np.ndarray:
    """int64 of shape (n, 3) for the words hashes[firsts[t]:ends[t]]: how many of the `listed` occur, how often, all words.

    listed: uint64 hashes, all different, up to 64.
    """
    keys = np.zeros(1 << _BITS, np.uint64)
    bits = np.zeros(1 << _BITS, np.uint64)
    _fill(listed, keys, bits)
    counts = np.zeros((len(firsts), 3), np.int64)
    _count_column(hashes, firsts, ends, keys, bits, counts)
    return counts


@kernel
def _fill(listed, keys, bits):
    for number in range(len(listed)):
        slot = spread(listed[number], _BITS)
        while keys[slot] != _ZERO:
            slot = (slot + 1) & ((1 << _BITS) - 1)
        keys[slot] = listed[number]
        bits[slot] = _ONE << np.uint64(number)


@kernel
def _count_column(hashes, firsts, ends, keys, bits, counts):
    words, table = pointer(hashes), pointer(keys)
    for text in range(len(firsts)):
        seen = _ZERO
        times = 0
        for at in range(firsts[text], ends[text]):
            word = get(words, at)
            slot = spread(word, _BITS)
            key = get(table, slot)
            while key != _ZERO and key != word:
                slot = (slot + 1) & ((1 << _BITS) - 1)
                key = get(table, slot)
            bit = get(pointer(bits), slot)  # 0 in an empty place
            seen |= bit
            times += bit != _ZERO
        counts[text, 0] = ones(seen)
        counts[text, 1] = times
        counts[text, 2] = ends[text] - firsts[text]
