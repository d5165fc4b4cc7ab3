"""Lines and paragraphs as units that can be cut: where each is, the hash of its normal form, a text without some.

A line ends at a line feed. A unit is a line with more than white space in it, or a paragraph: such lines in a row. What
is cut and how the rest is joined is written in `dedup.lines`; the twin is `dedup.plain_cuts`.
"""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import kernel, part
from kernels.letters import decode

# what the table says of a character: nothing stands for it in the normal form, it is white space, else the code point
DROPPED, BLANK = np.uint64(0), np.uint64(1)
_0, _1 = np.uint64(0), np.uint64(1)
_FEED, _ASCII_END = np.uint64(10), np.uint64(128)
_29, _32 = np.uint64(29), np.uint64(32)
_A = np.uint64(0x9E3779B97F4A7C15)
_B = np.uint64(0xC2B2AE3D27D4EB4F)


@part
def _round(state, code):
    state = (state ^ code) * _A
    return state ^ state >> _32


@part
def _finished(state, letters):
    """The hash of a normal form: never 0 where there is any character, 0 where there is none."""
    if letters == _0:
        return _0
    state = (state ^ letters) * _B
    state = (state ^ state >> _29) * _A
    return max(state ^ state >> _32, _1)


@kernel
def find_units(offsets, data, low, high, table, paragraphs, hashes, chars, starts, ends, counts):
    """Units of the rows [low, high): hash (uint64) and length (int64, characters) of the normal form, begin and end
    (int64, places in `data`), and how many each row has (int64). As many places as the rows have lines are enough."""
    found = np.int64(0)
    for row in range(low, high):
        first = found
        at, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        state, letters = _0, _0
        inside = False  # a paragraph that goes on
        while at < end:
            begin = at
            blank = True
            while at < end:
                code = np.uint64(data[at])
                if code == _FEED:
                    break
                if code < _ASCII_END:
                    at += _1
                else:
                    code, at = decode(data, at, end)
                code = np.uint64(table[code])
                if code > BLANK:
                    state = _round(state, code)
                    letters += _1
                blank &= code == BLANK
            if not blank:
                if not inside:
                    starts[found] = begin
                    inside = True
                ends[found] = at
            at += _1
            if inside and (blank or not paragraphs or at >= end):
                hashes[found] = _finished(state, letters)
                chars[found] = letters
                found += 1
                state, letters, inside = _0, _0, False
        counts[row - low] = found - first
    return found


@kernel
def drop_units(offsets, data, low, high, starts, ends, counts, cut, out, out_ends):
    """The rows [low, high) without the units whose `cut` (bool) is set: text to `out` (uint8, as much as the rows
    have), its ends to `out_ends` (int64)."""
    first, written = np.int64(0), np.int64(0)
    for row in range(low, high):
        behind = first + counts[row - low]
        written = _without(data, offsets[row], offsets[row + 1], starts, ends, first, behind, cut, out, written)
        out_ends[row - low] = written
        first = behind


@part
def _without(data, start, end, starts, ends, unit, behind, cut, out, written):
    begin, solid = start, written  # `solid`: behind the last line that is not blank
    any_line, blank_before, after_cut = False, True, False
    while begin <= end:
        stop = begin
        while stop < end and data[stop] != 10:
            stop += 1
        while unit < behind and ends[unit] <= begin:
            unit += 1
        filled = unit < behind and starts[unit] <= begin
        if filled and cut[unit]:
            after_cut = True
        elif filled or not (after_cut and blank_before):
            if any_line:
                out[written] = 10
                written += 1
            out[written : written + stop - begin] = data[begin:stop]
            written += stop - begin
            any_line, blank_before, after_cut = True, not filled, False
            if filled:
                solid = written
        begin = stop + 1
    return solid if after_cut else written
