"""Characters of UTF-8 by a table: reading and writing them, and lower case as `str.lower` has it.

The table is uint32 by code point (0x110000), made by the caller from Python's own Unicode data:

    bits 0-20    the code point in lower case
    bits 21-22   the caller's class of that lower-case character
    bit 23       cased, 24 case-ignorable: what the form of a sigma hangs on
    bit 25       white space as in `str.split`
    bit 26       U+0130 or U+03A3, whose lower case is not one character, or hangs on its neighbours

Places are uint64 throughout: an index that can be negative costs a test at each load. The text must be UTF-8, as
in Arrow; other bytes give wrong characters but no access out of bounds.
"""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import part

CODE = np.uint64(0x1FFFFF)
CLASS_SHIFT = np.uint64(21)
CLASS_MASK = np.uint64(3)
CASED, IGNORABLE, SPACE, SPECIAL = (np.uint64(1 << bit) for bit in (23, 24, 25, 26))
DOTTED_I, DOT_ABOVE = np.uint64(0x130), np.uint64(0x307)
SIGMA, SMALL_SIGMA, FINAL_SIGMA = np.uint64(0x3A3), np.uint64(0x3C3), np.uint64(0x3C2)

_0, _1, _2, _3, _4 = (np.uint64(number) for number in range(5))
_6, _12, _18 = np.uint64(6), np.uint64(12), np.uint64(18)
_1F, _3F, _0F, _07 = np.uint64(0x1F), np.uint64(0x3F), np.uint64(0x0F), np.uint64(0x07)
_TWO, _THREE, _FOUR, _C0 = np.uint64(0x80), np.uint64(0xE0), np.uint64(0xF0), np.uint64(0xC0)
_LAST, _CUT = np.uint64(0x10FFFF), np.uint64(0x3F)  # a character cut off reads as "?"


@part
def decode(data, place, end):
    """(code point, place after it) of the character that starts at `place`, before `end`."""
    lead = np.uint64(data[place])
    if lead < _TWO:
        return lead, place + _1
    if lead < _THREE:
        if place + _2 > end:
            return _CUT, end
        return (lead & _1F) << _6 | np.uint64(data[place + _1]) & _3F, place + _2
    if lead < _FOUR:
        if place + _3 > end:
            return _CUT, end
        second = (np.uint64(data[place + _1]) & _3F) << _6
        return (lead & _0F) << _12 | second | np.uint64(data[place + _2]) & _3F, place + _3
    if place + _4 > end:
        return _CUT, end
    code = (lead & _07) << _18 | (np.uint64(data[place + _1]) & _3F) << _12
    code |= (np.uint64(data[place + _2]) & _3F) << _6 | np.uint64(data[place + _3]) & _3F
    return min(code, _LAST), place + _4


@part
def encode(code, out, place):
    """Writes a code point as UTF-8; the place after it. At most four bytes."""
    if code < _TWO:
        out[place] = code
        return place + _1
    if code < np.uint64(0x800):
        out[place] = _C0 | code >> _6
        out[place + _1] = _TWO | code & _3F
        return place + _2
    if code < np.uint64(0x10000):
        out[place] = _THREE | code >> _12
        out[place + _1] = _TWO | code >> _6 & _3F
        out[place + _2] = _TWO | code & _3F
        return place + _3
    out[place] = _FOUR | code >> _18
    out[place + _1] = _TWO | code >> _12 & _3F
    out[place + _2] = _TWO | code >> _6 & _3F
    out[place + _3] = _TWO | code & _3F
    return place + _4


@part
def small_sigma(data, start, place, after, end, table):
    """The lower case of the capital sigma at `place`: final after a cased letter and before none (case-ignorable
    characters between do not count), as in table 3-17 of the Unicode standard. The document is [start, end)."""
    before = np.uint64(0)
    while place > start:
        place -= _1
        while place > start and np.uint64(data[place]) & _C0 == _TWO:
            place -= _1
        code, _ = decode(data, place, end)
        before = np.uint64(table[code])
        if not before & IGNORABLE:
            break
    if before & IGNORABLE or not before & CASED:
        return SMALL_SIGMA
    while after < end:
        code, after = decode(data, after, end)
        entry = np.uint64(table[code])
        if not entry & IGNORABLE:
            return SMALL_SIGMA if entry & CASED else FINAL_SIGMA
    return FINAL_SIGMA
