"""Runs of tokens of given items, looked for in texts.

What is looked for and when a text counts as contaminated is written in `dedup.contamination`; tokens are those of
`kernels.shingles`. A token is a uint64 (the mixed sum of its characters), a run is found by a hash and then compared
token by token, so that no chance equality of hashes can blame a document.
"""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import kernel, part
from kernels.shingles import mix, token_sums
from kernels.spans import _behind_punctuation, _longest, _token_places

_1, _6, _63, _64 = (np.uint64(number) for number in (1, 6, 63, 64))
_STEP = np.uint64(0xD6E8FEB86659FD93)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@part
def _tokens(offsets, data, row, table, drawn, letters, words):
    """Fills `words` with the tokens of a row; how many."""
    start, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
    count = np.int64(token_sums(data, start, end, table, drawn, letters, words))
    for i in range(count):
        words[i] = mix(words[i])
    return count


@kernel
def token_rows(offsets, data, low, high, table, drawn, letters, out, sizes):
    """The tokens of the rows [low, high) one after another in `out` (uint64, a place for each second byte of the rows
    and one more for each row), their numbers in `sizes` (int64); how many in all."""
    words = np.empty(_longest(offsets, low, high) // 2 + 2, np.uint64)
    written = np.int64(0)
    for row in range(low, high):
        count = _tokens(offsets, data, row, table, drawn, letters, words)
        out[written : written + count] = words[:count]
        sizes[row - low] = count
        written += count
    return written


@part
def _head(words, at, length):
    """The number of a run that the filter knows it by: a polynomial, so that it can be rolled on."""
    value = np.uint64(0)
    for i in range(at, at + length):
        value = value * _STEP + words[i]
    return value


@part
def _run_hash(words, at, length):
    return mix(_head(words, at, length) + np.uint64(length) * _GOLDEN)


@kernel
def run_hashes(words, places, lengths, hashes):
    """The hash of each run words[places[i]:places[i] + lengths[i]], in `hashes` (uint64)."""
    for i in range(len(places)):
        hashes[i] = _run_hash(words, places[i], lengths[i])


@part
def _two_bits(value):
    return _1 << (value & _63) | _1 << (value >> _6 & _63)


@kernel
def fill_filter(words, places, head, seen):
    """Marks the first `head` tokens of each run in `seen` (uint64, a power of two of at least two)."""
    shift = np.uint64(64)
    size = len(seen)
    while size > 1:
        size, shift = size >> 1, shift - _1
    for place in places:
        value = _head(words, place, head)
        seen[value >> shift] |= _two_bits(value)
    return shift


@part
def _find(words, at, length, hashes, starts, down, places, lengths, items):
    """The number of the run of `length` tokens at `at` among those that are looked for; -1: it is none of them."""
    query = _run_hash(words, at, length)
    piece = np.int64(query >> down)
    low, high = starts[piece], starts[piece + 1]
    while low < high:
        middle = (low + high) // 2
        if hashes[middle] < query:
            low = middle + 1
        else:
            high = middle
    if low == starts[piece + 1] or hashes[low] != query or lengths[low] != length:
        return np.int64(-1)
    for i in range(length):
        if words[at + i] != items[places[low] + i]:
            return np.int64(-1)
    return low


@kernel
def shared_runs(
    offsets, data, low, high, table, drawn, letters, head, seen, shift, sizes, hashes, starts, bits, places, lengths,
    items, rows, firsts, runs,
):  # fmt: skip
    """The runs of the rows [low, high) that stand in items.

    head, seen, shift: the filter (`fill_filter`); sizes (int64): the lengths of runs there are; hashes (uint64,
    sorted), places and lengths (int64): the runs, in the tokens `items` (uint64); starts, bits: `lookup.directory`.
    Fills rows (from low), firsts (token of the row) and runs (number), int64 with room for each second byte of the rows
    times len(sizes); returns how many, ordered by row, then token.
    """
    words = np.empty(_longest(offsets, low, high) // 2 + 2, np.uint64)
    down = np.uint64(64 - bits)
    power = _STEP
    for _ in range(head - 1):
        power *= _STEP
    found = np.int64(0)
    for row in range(low, high):
        count = _tokens(offsets, data, row, table, drawn, letters, words)
        if count < head:
            continue
        value = _head(words, 0, head)
        for at in range(count - head + 1):
            both = _two_bits(value)
            if seen[value >> shift] & both == both:
                for length in sizes:
                    if at + length > count:
                        continue
                    run = _find(words, at, length, hashes, starts, down, places, lengths, items)
                    if run >= 0:
                        rows[found], firsts[found], runs[found] = row - low, at, run
                        found += 1
            if at + head < count:
                value = value * _STEP + words[at + head] - words[at] * power
    return found


@kernel
def run_spans(data, start, end, runs, table, opening, spans):
    """Where the runs of tokens [runs[i, 0], runs[i, 1]) of the text data[start:end] stand: spans[i] is the first byte,
    the end of the last token, and the end of what is cut with it (punctuation, white space), all int64 from `start`."""
    begin, last = np.uint64(start), np.uint64(end)
    firsts, behinds = np.empty((end - start) // 2 + 2, np.uint64), np.empty((end - start) // 2 + 2, np.uint64)
    _token_places(data, begin, last, table, firsts, behinds)
    for i in range(len(runs)):
        first, behind = firsts[runs[i, 0]], behinds[runs[i, 1] - 1]
        stop = _behind_punctuation(data, behind, last, first, begin, table, opening)
        spans[i, 0] = np.int64(first - begin)
        spans[i, 1] = np.int64(behind - begin)
        spans[i, 2] = np.int64(stop - begin)
