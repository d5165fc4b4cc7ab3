"""Whether bytes are UTF-8, as Unicode's table 3-7 has it (no overlong form, no surrogate, nothing above U+10FFFF), and how
many characters texts have.

64 bytes at a time: each first byte says where continuation bytes must stand, and they stand there and nowhere else; four
first bytes allow not every second one. Blocks of ASCII are one comparison.
"""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import kernel, part
from kernels.memory import get, pointer
from kernels.simd import (
    below,
    beyond_ascii,
    continuations,
    firsts,
    four_leads,
    never_utf8,
    ones,
    three_leads,
    two_leads,
)

_0, _1, _2, _3 = (np.uint64(number) for number in range(4))
_61, _62, _63 = (np.uint64(number) for number in (61, 62, 63))
_BLOCK, _READ = 64, 66  # bytes of a block, and what a look at them touches


@kernel
def is_utf8(data, start, end):
    """Whether data[start:end] (uint8) is UTF-8 by itself."""
    whole = max(0, end - start - _READ + _BLOCK) // _BLOCK
    good, due = _blocks(data, start, whole, _0)
    # the rest, with zeros behind it: they are no continuation
    rest = np.zeros(2 * _BLOCK + _READ, np.uint8)
    for i in range(end - start - whole * _BLOCK):
        rest[i] = data[start + whole * _BLOCK + i]
    return good and _blocks(rest, 0, 2, due)[0]


@kernel
def char_counts(offsets, data, counts):
    """The characters of each row of a column of UTF-8 (offsets int64, data uint8), to `counts` (int64)."""
    texts, readable = pointer(data), len(data)
    for row in range(len(counts)):
        at, end, count = offsets[row], offsets[row + 1], 0
        while at < end and at + _READ <= readable:
            count += ones(firsts(texts, at) & below(end - at))
            at += _BLOCK
        while at < end:
            count += get(texts, at) & 0xC0 != 0x80
            at += 1
        counts[row] = count


@part
def _blocks(data, at, count, due):
    """`_block` for so many blocks from `at` on, one after another."""
    bytes_ = pointer(data)
    for block in range(count):
        good, due = _block(bytes_, at + block * _BLOCK, due)
        if not good:
            return False, due
    return True, due


@part
def _block(data, at, due):
    """(whether the 64 bytes from `at` can stand in UTF-8, where the next block must have continuation bytes); `due`: where
    these must, for first bytes before them."""
    beyond = beyond_ascii(data, at)
    if beyond == _0:
        return due == _0, _0
    twos, threes, fours = two_leads(data, at), three_leads(data, at), four_leads(data, at)
    longer = threes | fours
    asked = due | (twos | longer) << _1 | longer << _2 | fours << _3
    good = asked == continuations(data, at) and never_utf8(data, at) == _0
    return good, (twos | longer) >> _63 | longer >> _62 | fours >> _61
