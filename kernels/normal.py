"""Texts in their normal form: lower case, each run of white space one space, none at the ends."""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import kernel, part
from kernels.letters import CODE, DOT_ABOVE, DOTTED_I, SPACE, SPECIAL, decode, encode, small_sigma
from kernels.memory import pointer
from kernels.simd import beyond_ascii, caseless_threes, caseless_twos, low_zeros, put_small, spaces

_0, _1 = np.uint64(0), np.uint64(1)
_ASCII_END, _BLANK = np.uint64(128), np.uint64(32)
_2, _62, _63, _64 = (np.uint64(number) for number in (2, 62, 63, 64))
_CASELESS = np.uint64(0xD7)  # characters of lower first bytes have capitals
_READ = np.uint64(66)  # bytes that a look at 64 touches
ROOM = 128  # bytes of `out` beyond three for each two of the rows


@kernel
def normal_forms(offsets, data, low, high, table, out, ends):
    """Writes the normal forms of the rows [low, high) one after the other to `out` (uint8, three bytes for each two of
    the rows and ROOM more: lower case can be longer) and where each ends to `ends` (int64, high - low)."""
    texts, forms = pointer(data), pointer(out)
    written = _0
    for row in range(low, high):
        written = _normal_form(
            data, texts, np.uint64(offsets[row]), np.uint64(offsets[row + 1]), table, out, forms, written
        )
        ends[row - low] = written


@part
def _normal_form(data, texts, start, end, table, out, forms, written):
    first = written
    after_blank = _1  # one blank is written of a run, and none at the start
    at = start
    while at < end:
        if at + _READ <= end and (np.uint64(data[at]) < _ASCII_END or np.uint64(data[at]) >= _CASELESS):
            many, after_blank = _plain_run(texts, at, after_blank)
            if many:
                put_small(forms, written, texts, at)
                at, written = at + many, written + many
                continue
        if np.uint64(data[at]) < _ASCII_END and at + _READ <= end:
            at += np.uint64(low_zeros(~spaces(texts, at)))  # no more of this run of blanks
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


@part
def _plain_run(texts, at, after_blank):
    """(how many of the 64 bytes from `at` `put_small` brings to their normal form, whether the last of them is a blank):
    ASCII and characters without case, up to a blank that follows a blank."""
    blanks, twos, threes = spaces(texts, at), caseless_twos(texts, at), caseless_threes(texts, at)
    others = beyond_ascii(texts, at) & ~(twos | threes | (twos | threes | threes << _1) << _1)
    stop = others | (blanks & (blanks << _1 | after_blank))
    many = np.uint64(low_zeros(stop))
    if many == _64:  # a character may be cut at the end
        many -= _1 if (twos | threes) >> _63 else (_2 if threes >> _62 & _1 else _0)
    return many, (blanks >> (many - _1) & _1 if many else after_blank)
