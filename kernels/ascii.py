"""The affix rule for short pieces of ASCII: `split_chunk` of filters/words.py with a bit a byte for letters, digits, marks.

    "(don't"   ->   ( do n't        "5km,"   ->   5 km ,

kernels/affix.py has the same rule for all other pieces. Where the two name a function alike, it says the same of the
same character; here characters are bytes, and what is looked for in a word is found among the bits of its marks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernels.affix import ALL_PUNCTUATION, ENDS_SENTENCE, PROPER, UNITS
from kernels.characters import ALPHA, DIGIT, LEAD, LOWER, PUNCTUATION, QUOTE, SYMBOL, TRAIL, UPPER
from kernels.compile import part
from kernels.memory import get, int64
from kernels.simd import below, last_one, low_zeros

LONGEST = 56  # bytes of a piece: a mask of them fits into 64 bits read at any bit of a byte
_ZERO = np.uint64(0)
_ONE = np.uint64(1)


class Piece(NamedTuple):
    """A piece of text in ASCII, without white space: data[first:stop]."""

    data: Any  # uint8 pointer
    first: int
    stop: int
    others: np.uint64  # a bit a byte: neither letter nor digit
    digits: np.uint64
    kinds: Any  # uint16 pointer, kernels/characters.py


@part
def _bits(mask, piece, start, end):
    """The bits of data[start:end], the lowest for `start`."""
    return (mask >> np.uint64(start - piece.first)) & below(end - start)


@part
def _has(mask, piece, at):
    return (mask >> np.uint64(at - piece.first)) & _ONE != _ZERO


@part
def _kind(piece, at):
    return int64(get(piece.kinds, get(piece.data, at)))


@part
def _bit(piece, at):
    return _ONE << np.uint64(at - piece.first)


@part(forceinline=True)
def ascii_flags(piece, start, size):
    """The flags of the word of `size` bytes at data[start]."""
    inside = below(size)
    others = (piece.others >> np.uint64(start - piece.first)) & inside
    numbers = (piece.digits >> np.uint64(start - piece.first)) & inside
    kind = _kind(piece, start)
    if others == inside and size > 1:
        kind = _kinds_of_row(piece.data, start + 1, start + size, piece.kinds, kind)
    # as `mark_flags`: the bits of SYMBOL, SENTENCE_END and PUNCTUATION, shifted
    mark = (~kind >> 8) & PROPER | (kind >> 9) & ENDS_SENTENCE | (kind >> 7) & ALL_PUNCTUATION
    word = PROPER | int64(others | numbers != inside)
    return mark if others == inside else word


@part
def _kinds_of_row(data, at, end, kinds, kind):
    """What `kind` and all of the marks data[at:end] are, as one word."""
    while at < end and kind & (SYMBOL | PUNCTUATION) != 0:
        kind &= int64(get(kinds, get(data, at)))
        at += 1
    return kind & (SYMBOL | PUNCTUATION)


@part
def cut_ascii(piece):
    """Where the words of the piece begin: a bit a byte, the lowest for its first. They leave nothing out."""
    start, end = piece.first, piece.stop
    begins = _ZERO
    while start < end and _has(piece.others, piece, start):
        width = _leading(piece, start, end)
        if width == 0:
            break
        begins |= _bit(piece, start)
        start += width
    while start < end:
        width = _trailing(piece, start, end)
        if width == 0:
            break
        end -= width
        begins |= _bit(piece, end)
    while start < end and not _has(piece.others, piece, end - 1):
        width = _tail(piece, start, end)
        if width == 0:
            break
        end -= width
        begins |= _bit(piece, end)
    if start < end:
        begins |= _bit(piece, start)
        if _bits(piece.others, piece, start, end) != _ZERO:
            begins |= _cut_core(piece, start, end)
    return begins


@part
def _dots(data, at, end):
    """The number of dots in a row from data[at] on."""
    run = 0
    while at + run < end and get(data, at + run) == 46:
        run += 1
    return run


@part
def _leading(piece, start, end):
    """How many bytes are cut off the front of data[start:end], which begins with a mark; 0 for none."""
    byte = get(piece.data, start)
    if byte == 46:
        dots = _dots(piece.data, start, end)
        return dots if dots > 1 else 0
    if byte == 43:
        return 0 if start + 1 < end and _has(piece.digits, piece, start + 1) else 1
    return 1 if _kind(piece, start) & LEAD else 0


@part
def _trailing(piece, start, end):
    """How many bytes are cut off the end of data[start:end]; 0 for none."""
    byte = get(piece.data, end - 1)
    if not _has(piece.others, piece, end - 1):
        return 2 if byte | 32 == 115 and end - 2 > start and get(piece.data, end - 2) == 39 else 0
    if byte == 46:
        return _trailing_dots(piece, start, end)
    kind = _kind(piece, end - 1)
    if kind & TRAIL:
        return 1
    measure = byte == 43 or byte == 37 or (kind & LEAD and byte != 61)
    return 1 if measure and end - 2 >= start and _has(piece.digits, piece, end - 2) else 0


@part
def _trailing_dots(piece, start, end):
    """A run of dots always; one dot where it ends a sentence and not an abbreviation."""
    run = 1
    while end - run > start and get(piece.data, end - run - 1) == 46:
        run += 1
    if run > 1 or run == end - start:
        return run
    kind = _kind(piece, end - 2)
    if kind & ALPHA and _is_abbreviation(piece, start, end):
        return 0
    byte = get(piece.data, end - 2)
    if kind & (LOWER | DIGIT | TRAIL) or byte == 37 or byte == 45 or byte == 43:
        return 1
    return 1 if kind & UPPER and end - 3 >= start and _kind(piece, end - 3) & UPPER else 0


@part
def _is_abbreviation(piece, start, end):
    """Letters with a dot behind each, at most eight: a.  e.g.  U.S."""
    if end - start > 16 or (end - start) % 2:
        return False
    for at in range(start, end, 2):  # noqa: SIM110 (numba has no all() of a generator)
        if not _kind(piece, at) & ALPHA or get(piece.data, at + 1) != 46:
            return False
    return True


@part
def _tail(piece, start, end):
    """Bytes of a contraction or unit at the end of what is left between the marks, a letter or digit; 0 for none."""
    data = piece.data
    length = end - start
    last = get(data, end - 1)
    if length > 2 and get(data, end - 2) == 39:
        if last == 100 or last == 109:  # 'd 'm
            return 2
        if length > 3 and last == 116 and get(data, end - 3) == 110:  # n't
            return 3
    if length > 3 and get(data, end - 3) == 39:
        second = get(data, end - 2)
        if (second == 108 and last == 108) or ((second == 114 or second == 118) and last == 101):  # 'll 're 've
            return 3
    if length == 6 and last == 116 and _is_cannot(data, start):
        return 3
    return _unit(piece, start, end) if _bits(piece.digits, piece, start, end) != _ZERO else 0


@part
def _is_cannot(data, at):
    can = get(data, at) | 32 == 99 and get(data, at + 1) == 97 and get(data, at + 2) == 110
    return can and get(data, at + 3) == 110 and get(data, at + 4) == 111


@part
def _unit(piece, start, end):
    """Bytes of a unit behind a digit at the end; 0 for none."""
    width = end - 1 - start - last_one(_bits(piece.others | piece.digits, piece, start, end))
    if not 0 < width < 5 or width == end - start or not _has(piece.digits, piece, end - width - 1):
        return 0
    spelled = 0
    for at in range(end - width, end):
        spelled = spelled << 8 | int64(get(piece.data, at))
    for unit in UNITS:
        if unit == spelled:
            return width
    return 0


@part
def _cut_core(piece, start, end):
    """Where words begin behind cuts at the marks inside; there is such a mark."""
    begins = _ZERO
    if _is_url(piece, start, end):
        return begins
    at = start
    while True:
        marks = _bits(piece.others, piece, at, end)
        if marks == _ZERO:
            return begins
        at += low_zeros(marks)
        width = _mark_width(piece.data, at, end)
        behind = at + width
        if at > start and _cuts(piece, at, behind, end):
            begins |= _bit(piece, at)
            begins |= _bit(piece, behind) if behind < end else _ZERO
        at = behind
        if at >= end:
            return begins


@part
def _is_url(piece, start, end):
    """Whether a scheme and "://" stand in front."""
    if not _kind(piece, start) & ALPHA:
        return False
    marks = _bits(piece.others, piece, start, end)
    while marks != _ZERO:
        at = start + low_zeros(marks)
        marks &= marks - _ONE
        byte = get(piece.data, at)
        if byte == 58:
            return at + 3 <= end and get(piece.data, at + 1) == 47 and get(piece.data, at + 2) == 47
        if not (byte == 43 or byte == 46 or byte == 45):
            return False
    return False


@part
def _mark_width(data, at, end):
    """Bytes of the mark that begins here: dots in a row, up to three hyphens, any other."""
    byte = get(data, at)
    if byte == 46:
        return _dots(data, at, end)
    width = 1
    if byte == 45:
        while width < 3 and at + width < end and get(data, at + width) == 45:
            width += 1
    return width


@part
def _cuts(piece, at, behind, end):
    """Whether the mark data[at:behind], which is not the first, cuts what it stands in."""
    byte = get(piece.data, at)
    single = behind - at == 1
    if byte == 46 and not single:
        return True
    if behind >= end:
        return False
    before = _kind(piece, at - 1)
    after = _kind(piece, behind)
    arithmetic = single and (byte == 43 or byte == 45 or byte == 42 or byte == 94)
    if arithmetic and before & DIGIT and (after & DIGIT or get(piece.data, behind) == 45):
        return True
    if byte == 46:
        return before & (LOWER | QUOTE) != 0 and after & (UPPER | QUOTE) != 0
    if byte == 44:
        return before & ALPHA != 0 and after & ALPHA != 0
    hyphen = byte == 45 or byte == 126
    relation = byte == 58 or byte == 60 or byte == 62 or byte == 61 or byte == 47
    return (hyphen or relation) and before & (ALPHA | DIGIT) != 0 and after & ALPHA != 0
