"""Documents to sets of shingle hashes. What they are is written in `dedup.shingles`; the twin is `dedup.plain`."""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import kernel, part
from kernels.letters import CLASS_MASK, CLASS_SHIFT, CODE, DOT_ABOVE, DOTTED_I, SPECIAL, decode, small_sigma
from kernels.memory import get, pointer
from kernels.simd import below, beyond_ascii, low_zeros, word_signs
from kernels.sorting import COUNTS, sort_unique

SEPARATOR, RUN, SINGLE, MARK = (np.uint64(number) for number in range(4))

_0, _1, _2, _4, _7, _8, _16, _32 = (np.uint64(number) for number in (0, 1, 2, 4, 7, 8, 16, 32))
_ASCII_END = np.uint64(128)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_STEP = np.uint64(0xD6E8FEB86659FD93)
_UNSTEP = np.uint64(pow(int(_STEP), -1, 1 << 64))

# Places of an ASCII character in its token whose numbers are kept in a table of 32 KB, of which a lower-case word
# touches 300 bytes a place.
PLACES = 32
_PLACES, _LAST_PLACE, _ROW = np.uint64(PLACES), np.uint64(PLACES - 1), np.uint64(128)
_64, _READ = np.int64(64), np.uint64(66)  # bytes looked at together, and what that touches


@part
def mix(value):
    """The finaliser of SplitMix64, as `dedup.hashing.mix_int`."""
    value = (value ^ value >> _30) * _FIRST
    value = (value ^ value >> _27) * _SECOND
    return value ^ value >> _31


@part
def draw(place, code):
    """The number of a character at a place of its token."""
    return mix((place << _32 | code) + _GOLDEN)


@kernel
def ascii_draws(table):
    """What the loop over ASCII looks up: (drawn numbers of the lower case, uint64 (PLACES * 128), by place and byte;
    all ones for a letter of a run, else zero, uint64 (128))."""
    drawn = np.empty(PLACES * 128, np.uint64)
    for place in range(PLACES):
        for byte in range(128):
            drawn[place * 128 + byte] = draw(np.uint64(place), np.uint64(table[byte]) & CODE)
    letters = np.zeros(128, np.uint64)
    for byte in range(128):
        if np.uint64(table[byte]) >> CLASS_SHIFT & CLASS_MASK == RUN:
            letters[byte] = ~_0
    return drawn, letters


@part
def ascii_tokens(texts, at, end, place, total, table, drawn, letters, out, count):
    """Reads ASCII from `at` until another byte or `end`, without a branch for where tokens end (each miss would cost
    as much as five characters). The token at hand has `place` characters that sum to `total`. Returns (end of the
    ASCII, place, total, number of sums in `out`)."""
    while True:
        many = _ascii_run(texts, at, end)
        runs = _runs(texts, at, end, many, letters)
        if place + np.uint64(low_zeros(~runs)) > _PLACES or _beyond(runs):
            # a token longer than the table: these bytes one at a time
            place, total, count = _long_tokens(texts, at, many, place, total, table, drawn, letters, out, count)
        else:
            ends = ~runs & (runs << _1 | np.uint64(place != _0))
            row, first, left = place << _7, at, many
            while left >= 8:  # a known number: the compiler writes them out
                row, total, count = _eat(texts, first, 8, row, total, ends, drawn, letters, out, count)
                first, left, ends = first + _8, left - 8, ends >> _8
            row, total, count = _eat(texts, first, left, row, total, ends, drawn, letters, out, count)
            place = row >> _7
        at += np.uint64(many)
        if many < _64 or at == end:
            return at, place, total, count


@part(forceinline=True)
def _eat(texts, at, many, row, total, ends, drawn, letters, out, count):
    """So many bytes from `at` for `ascii_tokens`. `row`: where the table has the next place of the token at hand; `ends`: bit i
    is set where a token ends before byte i."""
    for i in range(many):
        byte = np.uint64(get(texts, at + np.uint64(i)))
        letter = letters[byte]
        out[count] = total
        count += ends >> np.uint64(i) & _1
        total = (total + drawn[row | byte]) & letter
        row = (row + _ROW) & letter
    return row, total, count


@part
def _runs(texts, at, end, many, letters):
    """Which of the `many` bytes from `at` are letters of a run: one bit each."""
    if at + _READ <= end:
        return word_signs(texts, at) & below(many)
    runs = _0
    for i in range(many):
        runs |= (letters[get(texts, at + np.uint64(i))] & _1) << np.uint64(i)
    return runs


@part
def _beyond(runs):
    """Whether more than PLACES letters stand in a row."""
    for by in (_1, _2, _4, _8, _16, _1):
        runs &= runs >> by
    return runs != _0


@part
def _ascii_run(texts, at, end):
    """How many bytes from `at` on are ASCII, 64 at the most."""
    if at + _READ <= end:
        return low_zeros(beyond_ascii(texts, at))
    many = 0
    while many < 64 and at + np.uint64(many) < end and get(texts, at + np.uint64(many)) < 128:
        many += 1
    return many


@part
def _long_tokens(texts, at, many, place, total, table, drawn, letters, out, count):
    for i in range(many):
        byte = np.uint64(get(texts, at + np.uint64(i)))
        letter = letters[byte]
        out[count] = total
        count += np.uint64((place != _0) & (letter == _0))
        if place <= _LAST_PLACE:
            total = (total + drawn[place << _7 | byte]) & letter
        else:
            total = (total + draw(place, np.uint64(table[byte]) & CODE)) & letter
        place = (place + _1) & letter
    return place, total, count


@part
def token_sums(data, start, end, table, drawn, letters, out):
    """The sum of the drawn numbers of each token of [start, end): how many were written to `out`, which has a place
    for each second byte and one more."""
    count, place, total, kind = _0, _0, _0, SEPARATOR
    texts, at = pointer(data), start
    while at < end:
        if np.uint64(data[at]) < _ASCII_END:
            if kind == SINGLE:
                out[count] = total
                count += _1
                place, total = _0, _0
            at, place, total, count = ascii_tokens(texts, at, end, place, total, table, drawn, letters, out, count)
            kind = RUN if place else SEPARATOR
            continue
        code, after = decode(data, at, end)
        entry = np.uint64(table[code])
        lower = entry & CODE
        if entry & SPECIAL and code != DOTTED_I:
            lower = small_sigma(data, start, at, after, end, table)
        at = after
        found = entry >> CLASS_SHIFT & CLASS_MASK
        if kind != SEPARATOR and (found in (SEPARATOR, SINGLE) or (found == RUN and kind == SINGLE)):
            out[count] = total
            count += _1
            place, total, kind = _0, _0, SEPARATOR
        if found == MARK:
            if kind != SEPARATOR:
                total += draw(place, lower)
                place += _1
        elif found != SEPARATOR:
            kind = found
            total += draw(place, lower)
            place += _1
            if code == DOTTED_I:
                total += draw(place, DOT_ABOVE)
                place += _1
    if kind != SEPARATOR:
        out[count] = total
        count += _1
    return count


@part
def shingle_hashes(words, count, n, kind):
    """Sums of tokens to hashes of their runs of n (of all, if fewer), in the place of the sums; their number. `kind`
    (uint64) keeps shingles of different kinds apart."""
    for i in range(count):
        words[i] = mix(words[i])
    length = min(count, n)
    salt = np.uint64(length) * _GOLDEN + kind
    value, power = _0, _UNSTEP
    for i in range(length):
        power *= _STEP  # at the end that of the last token of a run
        value += words[i] * power
    first = words[0]
    words[0] = mix(value + salt)
    for i in range(length, count):
        # take the first token out, divide by the step (it is odd), put the next one in; each waits for one product only
        value = value * _UNSTEP + (words[np.uint64(i)] * power - first * _UNSTEP)
        place = np.uint64(i - length + 1)
        first = words[place]
        words[place] = mix(value + salt)
    return count - length + 1


@kernel
def shingle_rows(offsets, data, low, high, n, kind, table, drawn, letters, sizes, values):
    """Sets of the rows [low, high): fills `sizes` and `values` (each row sorted, unique), returns how many values.
    A row without tokens gets one value, 0, and is told by a size of -1: the caller hashes its text. `values` has a
    place for each second byte of the rows and two more for each row."""
    longest = 0
    for row in range(low, high):
        longest = max(longest, offsets[row + 1] - offsets[row])
    words, counts = np.empty(longest // 2 + 2, np.uint64), np.empty(COUNTS, np.uint32)
    written = np.int64(0)
    for row in range(low, high):
        start, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        count = np.int64(token_sums(data, start, end, table, drawn, letters, words))
        if count == 0:
            sizes[row - low] = -1
            values[written] = _0
            written += 1
            continue
        many = sort_unique(words, shingle_hashes(words, count, n, kind), values, written, counts)
        sizes[row - low] = many
        written += many
    return written
