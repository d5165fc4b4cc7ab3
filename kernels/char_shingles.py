"""Documents to sets of hashes of their runs of characters. What they are is written in `dedup.shingles`; the twin is
`dedup.plain`."""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import kernel, part
from kernels.letters import CODE, DOT_ABOVE, DOTTED_I, SPACE, SPECIAL, decode, small_sigma
from kernels.shingles import shingle_hashes
from kernels.sorting import COUNTS, sort_unique

_0, _1 = np.uint64(0), np.uint64(1)
_ASCII_END = np.uint64(128)


@part
def characters(data, start, end, table, out):
    """The lower-case code points, each plus one, of [start, end) but its white space: how many were written to `out`,
    which has a place for each byte and one more."""
    count, at = _0, start
    while at < end:
        byte = np.uint64(data[at])
        if byte < _ASCII_END:
            entry = np.uint64(table[byte])
            out[count] = (entry & CODE) + _1
            count += np.uint64(entry & SPACE == _0)  # a blank is written over
            at += _1
            continue
        code, after = decode(data, at, end)
        entry = np.uint64(table[code])
        if not entry & SPACE:
            small = entry & CODE
            if entry & SPECIAL and code != DOTTED_I:
                small = small_sigma(data, start, at, after, end, table)
            out[count] = small + _1
            count += _1
            if code == DOTTED_I:
                out[count] = DOT_ABOVE + _1
                count += _1
        at = after
    return count


@kernel
def char_shingle_rows(offsets, data, low, high, n, kind, table, sizes, values):
    """As `kernels.shingles.shingle_rows`, of characters. `values` has a place for each byte of the rows and two more
    for each row."""
    longest = 0
    for row in range(low, high):
        longest = max(longest, offsets[row + 1] - offsets[row])
    words, counts = np.empty(longest + 2, np.uint64), np.empty(COUNTS, np.uint32)
    written = np.int64(0)
    for row in range(low, high):
        count = np.int64(characters(data, np.uint64(offsets[row]), np.uint64(offsets[row + 1]), table, words))
        if count == 0:
            sizes[row - low] = -1
            values[written] = _0
            written += 1
            continue
        many = sort_unique(words, shingle_hashes(words, count, n, kind), values, written, counts)
        sizes[row - low] = many
        written += many
    return written
