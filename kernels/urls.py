"""Web addresses in a column of texts: how many characters stand in them.

    "see https://a.org/b, or www.c.de."   ->   16 + 9

An address is http://, https:// or ftp:// in any case, or www., and what follows up to white space or one of < > ". The
twin is `url_chars` in filters/plain_texts.py.
"""

from __future__ import annotations

import numpy as np

from kernels.characters import SPACE, decode
from kernels.compile import kernel, part
from kernels.marks import as_bytes, says
from kernels.memory import get, pointer
from kernels.simd import address_marks, below, low_zeros

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_HTTP = as_bytes("http")
_FTP = as_bytes("ftp")
_WWW = as_bytes("www.")


def count_url_chars(starts: np.ndarray, ends: np.ndarray, data: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """int64 of shape (n,) for the texts data[starts[t]:ends[t]]."""
    counts = np.zeros(len(starts), np.int64)
    _count_column(starts, ends, data, kinds, counts)
    return counts


@kernel
def _count_column(starts, ends, data, kinds, counts):
    for text in range(len(starts)):
        counts[text] = _count_text(pointer(data), starts[text], ends[text], pointer(kinds))


@part
def _count_text(data, start, end, kinds):
    chars = 0
    free = start  # behind the last address
    for at in range(start, end, 64):
        marks = address_marks(data, at) & below(end - at)
        while marks != _ZERO:
            mark = at + low_zeros(marks)
            marks &= marks - _ONE
            if mark < free:
                continue
            width = _scheme_chars(data, mark, start, end)
            if width:
                free = mark + (4 if get(data, mark) != 58 else 3)
                rest, free = _rest(data, free, end, kinds)
                chars += width + rest if rest else 0
    return chars


@part
def _scheme_chars(data, mark, start, end):
    """Characters of the front of an address around the mark ("://" or "www."); 0 if it is none."""
    if get(data, mark) != 58:
        return 4 if says(data, mark, end, _WWW, True) else 0
    if mark + 3 > end:
        return 0
    if mark - 3 >= start and says(data, mark - 3, mark, _FTP, True):
        return 6
    if mark - 4 >= start and says(data, mark - 4, mark, _HTTP, True):
        return 7
    last = get(data, mark - 1)
    if mark - 5 >= start and last | 32 == 115 and says(data, mark - 5, mark - 1, _HTTP, True):
        return 8
    # U+017F, the long s, is an "s" in any case
    long_s = mark - 6 >= start and last == 0xBF and get(data, mark - 2) == 0xC5
    return 8 if long_s and says(data, mark - 6, mark - 2, _HTTP, True) else 0


@part
def _rest(data, start, end, kinds):
    """(characters up to white space or one of < > ", where that is)."""
    chars = 0
    while start < end:
        code, width = decode(data, start)
        if code == 60 or code == 62 or code == 34 or get(kinds, code) & SPACE:
            break
        chars += 1
        start += width
    return chars, start
