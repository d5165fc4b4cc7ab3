"""Runs of n characters that a text has more than once; lower case, white space left out.

    n = 3, "abc ABC"   ->   4 runs (abc bca cab abc), 2 of them are abc

What becomes of a character in lower case stands in a table that comes from who calls. Where one character becomes two
or the neighbours matter ("İ", "Σ"), the table says `UNKNOWN` and the text gets -1: the twin
(filters/plain_texts.py) has to do it.
"""

from __future__ import annotations

import numpy as np

from kernels.characters import SPACE, decode
from kernels.compile import kernel, part
from kernels.hashes import spread, table_bits
from kernels.memory import get, int64, pointer, put
from kernels.ngrams import table_bits_of

UNKNOWN = 0xFFFFFFFF
_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_ZERO = np.uint64(0)


def count_runs(
    starts: np.ndarray, ends: np.ndarray, data: np.ndarray, kinds: np.ndarray, lower: np.ndarray, n: int
) -> np.ndarray:
    """int64 of shape (texts, 2): occurrences of runs that occur more than once, and all runs.

    lower: uint32, the lower case of each code point below len(lower), the others have none. Takes some 80 bytes for each
    character of the longest text.
    """
    longest = int((ends - starts).max(initial=0))
    size = 1 << table_bits_of(longest)
    sums = np.empty(longest + 1, np.uint64)
    keys, counts = np.empty(size, np.uint64), np.empty(size, np.int32)
    out = np.zeros((len(starts), 2), np.int64)
    _count_column(starts, ends, data, kinds, lower, n, sums, keys, counts, out)
    return out


@kernel
def _count_column(starts, ends, data, kinds, lower, n, sums, keys, counts, out):
    power = np.uint64(1)
    for _ in range(n):
        power *= _FACTOR
    for text in range(len(starts)):
        start, end = starts[text], ends[text]
        chars = _add_up(pointer(data), start, end, pointer(kinds), pointer(lower), len(lower), pointer(sums))
        out[text, 1] = max(chars - n + 1, 0)
        out[text, 0] = _count_repeated(pointer(sums), out[text, 1], n, power, pointer(keys), pointer(counts))
        if chars < 0:
            out[text, 0] = -1


@part
def _add_up(data, start, end, kinds, lower, known, sums):
    """sums[i]: a polynomial over the first i characters. How many there are; -1 if one has no known lower case."""
    total = _ZERO
    put(sums, 0, total)
    chars = 0
    while start < end:
        code, width = decode(data, start)
        start += width
        if get(kinds, code) & SPACE:
            continue
        if code < known:
            code = get(lower, code)
            if code == UNKNOWN:
                return -1
        total = total * _FACTOR + np.uint64(code)
        chars += 1
        put(sums, chars, total)
    return chars


@part
def _count_repeated(sums, runs, n, power, keys, counts):
    """Occurrences of runs that occur more than once. Those with the same 64-bit hash count as the same."""
    bits = table_bits(runs)
    last = (1 << bits) - 1
    for slot in range(last + 1):
        put(counts, slot, 0)
    repeated = 0
    for at in range(runs):
        run = get(sums, at + n) - get(sums, at) * power
        slot = int64(spread(run ^ (run >> np.uint64(29)), bits))
        while get(counts, slot) and get(keys, slot) != run:
            slot = (slot + 1) & last
        count = get(counts, slot)
        put(keys, slot, run)
        put(counts, slot, count + 1)
        repeated += 2 if count == 1 else min(count, 1)
    return repeated
