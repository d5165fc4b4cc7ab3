"""Kinds of characters in a column of texts: how many of each.

"Ab 1。"   ->   5 characters: 1 upper-case letter, 1 white space, 1 digit, 1 punctuation
"""

from __future__ import annotations

import numpy as np

from kernels.characters import CJK, DIGIT, PUNCTUATION, SPACE, UPPER, decode
from kernels.compile import kernel
from kernels.memory import get, int64, pointer
from kernels.simd import below, firsts, ones

# what `count_kinds` counts
COLUMNS = ("digits", "upper", "punctuation", "white", "han")


def count_chars(starts: np.ndarray, ends: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Characters of the texts data[starts[t]:ends[t]], int64 of shape (n,)."""
    counts = np.zeros(len(starts), np.int64)
    _count_chars(starts, ends, data, counts)
    return counts


@kernel
def _count_chars(starts, ends, data, counts):
    for text in range(len(starts)):
        for at in range(starts[text], ends[text], 64):
            counts[text] += ones(firsts(pointer(data), at) & below(ends[text] - at))


def count_kinds(starts: np.ndarray, ends: np.ndarray, data: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """int64 of shape (n, len(COLUMNS)) for the texts data[starts[t]:ends[t]]."""
    counts = np.zeros((len(starts), len(COLUMNS)), np.int64)
    _count_kinds(starts, ends, data, kinds, counts)
    return counts


@kernel
def _count_kinds(starts, ends, data, kinds, counts):
    source, table = pointer(data), pointer(kinds)
    for text in range(len(starts)):
        at = starts[text]
        digits = upper = punctuation = white = han = 0
        while at < ends[text]:
            code, width = decode(source, at)
            kind = int64(get(table, code))
            digits += kind // DIGIT & 1
            upper += kind // UPPER & 1
            punctuation += kind // PUNCTUATION & 1
            white += kind // SPACE & 1
            han += kind & CJK != 0 and not 0x3040 <= code < 0x3100  # kana are no Han characters
            at += width
        counts[text, 0] = digits
        counts[text, 1] = upper
        counts[text, 2] = punctuation
        counts[text, 3] = white
        counts[text, 4] = han
