"""What kinds a character is of, as bits of a uint16, and how a character is read from UTF-8.

The table from code points to bits comes from who calls (filters/kinds.py builds it from the sets of
filters/characters.py); it has `TABLE_SIZE` entries, all that four bytes can spell, so that no bytes lead outside.
"""

from __future__ import annotations

import numpy as np

from kernels.compile import part
from kernels.memory import get
from kernels.simd import below, low_zeros, spaces

TABLE_SIZE = 1 << 21

SPACE = 1 << 0  # str.isspace
ALPHA = 1 << 1  # str.isalpha
ALNUM = 1 << 2  # str.isalnum
DIGIT = 1 << 3  # str.isdigit
DECIMAL = 1 << 4  # str.isdecimal
UPPER = 1 << 5  # str.isupper
LOWER = 1 << 6  # str.islower
TITLE = 1 << 7  # Unicode category Lt
CJK = 1 << 8  # a word of its own
SYMBOL = 1 << 9  # words of these alone are symbols
PUNCTUATION = 1 << 10  # Unicode categories P*
SENTENCE_END = 1 << 11
LEAD = 1 << 12  # cut off the front of a word
TRAIL = 1 << 13  # cut off the end of a word
QUOTE = 1 << 14
PICTOGRAPH = 1 << 15  # Unicode category So


@part
def decode(data, at):
    """(code point, bytes) of the character at data[at], which must be the first byte of one."""
    first = np.uint32(get(data, at))
    if first < 0x80:
        return first, 1
    second = np.uint32(get(data, at + 1)) & np.uint32(0x3F)
    if first < 0xE0:
        return ((first & np.uint32(0x1F)) << np.uint32(6)) | second, 2
    third = np.uint32(get(data, at + 2)) & np.uint32(0x3F)
    if first < 0xF0:
        high = ((first & np.uint32(0x0F)) << np.uint32(12)) | (second << np.uint32(6))
        return high | third, 3
    fourth = np.uint32(get(data, at + 3)) & np.uint32(0x3F)
    high = ((first & np.uint32(0x07)) << np.uint32(18)) | (second << np.uint32(12))
    return high | (third << np.uint32(6)) | fourth, 4


@part
def before(data, at):
    """Where the character begins that ends in front of data[at]."""
    at -= 1
    while get(data, at) & 0xC0 == 0x80:
        at -= 1
    return at


@part
def skip_spaces(data, start, end, kinds):
    """The place of the first character of data[start:end] that is not white space; `end` if there is none."""
    if start < end and get(data, start) <= 32:  # an indent, mostly: 64 bytes at once
        filled = ~spaces(data, start) & below(end - start)
        if filled != np.uint64(0):
            start += low_zeros(filled)
    while start < end:
        code, width = decode(data, start)
        if not get(kinds, code) & SPACE:
            break
        start += width
    return start


@part
def cut_spaces(data, start, end, kinds):
    """The end of data[start:end] without the white space at its end; `start` if there is nothing else."""
    while end > start:
        last = before(data, end)
        code, _ = decode(data, last)
        if not get(kinds, code) & SPACE:
            break
        end = last
    return end


@part
def is_break(code):
    """Whether str.splitlines ends a line at this code point."""
    if code < 0x80:
        return 10 <= code <= 13 or 28 <= code <= 30
    return code == 0x85 or code == 0x2028 or code == 0x2029
