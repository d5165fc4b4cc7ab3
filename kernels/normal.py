"""Texts in their normal form: lower case, each run of white space one space, none at the ends."""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import kernel, part
from kernels.letters import CODE, DOT_ABOVE, DOTTED_I, SPACE, SPECIAL, decode, encode, small_sigma

_0, _1 = np.uint64(0), np.uint64(1)
_ASCII_END, _BLANK = np.uint64(128), np.uint64(32)


@kernel
def normal_forms(offsets, data, low, high, table, out, ends):
    """Writes the normal forms of the rows [low, high) one after the other to `out` (uint8, three bytes for each two of
    the rows and four more: lower case can be longer) and where each ends to `ends` (int64, high - low)."""
    lower, blank = np.empty(128, np.uint8), np.empty(128, np.uint64)
    for byte in range(128):
        entry = np.uint64(table[byte])
        blank[byte] = _1 if entry & SPACE else _0
        lower[byte] = _BLANK if entry & SPACE else entry & CODE
    written = _0
    for row in range(low, high):
        written = _normal_form(
            data, np.uint64(offsets[row]), np.uint64(offsets[row + 1]), table, lower, blank, out, written
        )
        ends[row - low] = written


@part
def _normal_form(data, start, end, table, lower, blank, out, written):
    first = written
    after_blank = _1  # one blank is written of a run, and none at the start
    at = start
    while at < end:
        byte = np.uint64(data[at])
        if byte < _ASCII_END:
            # without a branch: a second blank is written over
            out[written] = lower[byte]
            written += _1 - (blank[byte] & after_blank)
            after_blank = blank[byte]
            at += _1
            continue
        code, after = decode(data, at, end)
        entry = np.uint64(table[code])
        small = entry & CODE
        if entry & SPECIAL and code != DOTTED_I:
            small = small_sigma(data, start, at, after, end, table)
        if entry & SPACE:
            out[written] = _BLANK
            written += _1 - after_blank
            after_blank = _1
        else:
            written = encode(small, out, written)
            if code == DOTTED_I:
                written = encode(DOT_ABOVE, out, written)
            after_blank = _0
        at = after
    return written - _1 if after_blank and written > first else written
