"""Marks and phrases anywhere in the texts of a column.

"# {a...}"   ->   1 hash sign, 1 ellipsis, a curly bracket
"""

from __future__ import annotations

import numpy as np

from kernels.compile import kernel, part
from kernels.memory import get, pointer
from kernels.simd import below, ellipses, hash_signs, low_zeros, ones, open_curlies, ps_pairs, two_dots

# what `count_marks` counts
COLUMNS = (
    "hash_signs",
    "ellipses",
    "curly",  # whether there is one
    "lorem_ipsum",
)

_ZERO = np.uint64(0)
_ONE = np.uint64(1)


def as_bytes(phrase: str) -> np.ndarray:
    """For `says`."""
    return np.frombuffer(phrase.encode(), np.uint8)


_LOREM_IPSUM = as_bytes("lorem ipsum")


def count_marks(starts: np.ndarray, ends: np.ndarray, data: np.ndarray) -> np.ndarray:
    """int64 of shape (n, len(COLUMNS)) for the texts data[starts[t]:ends[t]]."""
    counts = np.zeros((len(starts), len(COLUMNS)), np.int64)
    _count_column(starts, ends, data, counts)
    return counts


@kernel
def _count_column(starts, ends, data, counts):
    for text in range(len(starts)):
        hashes, dots, curly, lorem = _count_text(pointer(data), starts[text], ends[text])
        counts[text, 0] = hashes
        counts[text, 1] = dots
        counts[text, 2] = curly
        counts[text, 3] = lorem


@part
def _count_text(data, start, end):
    hashes = dots = 0
    curly = lorem = False
    free = start  # behind the dots that are counted
    for at in range(start, end, 64):
        inside = below(end - at)
        hashes += ones(hash_signs(data, at) & inside)
        curly |= open_curlies(data, at) & inside != _ZERO
        dots += ones(ellipses(data, at) & inside)
        runs = two_dots(data, at) & inside
        while runs != _ZERO:
            first = at + low_zeros(runs)
            runs &= runs - _ONE
            if first >= free:
                free = first + 1
                while free < end and get(data, free) == 46:
                    free += 1
                dots += (free - first) // 3
        pairs = ps_pairs(data, at) & inside
        while pairs != _ZERO:
            first = at + low_zeros(pairs) - 7
            lorem |= first >= start and says(data, first, end, _LOREM_IPSUM, True)
            pairs &= pairs - _ONE
    return hashes, dots, curly, lorem


@part
def says(data, start, end, phrase, any_case):
    """Whether data[start:end] begins with the phrase, which is in lower case."""
    if start + len(phrase) > end:
        return False
    for at in range(len(phrase)):
        byte = get(data, start + at)
        if byte != phrase[at] and not (any_case and 65 <= byte <= 90 and byte + 32 == phrase[at]):
            return False
    return True
