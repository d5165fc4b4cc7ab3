"""Repeated n-grams of words, n = 2 .. 10, and different words, from the word hashes of kernels/words.py.

An n-gram can only occur twice if both (n-1)-grams in it do, so each round looks at the places that the round before
left. What stands at a place is named by the place where it stands first, its root: an n-gram is the roots of its two
(n-1)-grams. Most that occur again go on as the first one did, and need no table. Before the first table a byte table
drops most pairs of words that occur once.

    a b a b a b   ->   top 2-gram "a b", 3 times
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.compile import kernel, part
from kernels.hashes import spread, table_bits
from kernels.memory import get, int64, pointer, put
from kernels.words import Words

LONGEST = 10
# what `count_ngrams` counts: characters, one space between the words of a top n-gram, none in the others
COLUMNS = ("top_2", "top_3", "top_4", *[f"duplicate_{n}" for n in range(5, LONGEST + 1)])

_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)


class Room(NamedTuple):
    """Room for the n-grams of one text of m words. An n-gram is known by the place of its first word."""

    ends: np.ndarray  # int64, m + 1: the characters of the words before
    grams: np.ndarray  # uint64, m: hash of what is to be looked up in the table
    places: np.ndarray  # int32, m: the places that are left, ascending
    roots: np.ndarray  # int32, m + 1: where the n-gram of a place stands first; -1 if the place is not left
    nexts: np.ndarray  # int32, m + 1: the root of the (n-1)-gram behind a place
    counts: np.ndarray  # int32, m: how often the n-gram with this root occurs
    others: np.ndarray  # int32, m: the places that do not go on as their root did
    keys: np.ndarray  # uint64, at least 2 m: the table; 0 is free
    firsts: np.ndarray  # int32, the same: the first place
    sieve: np.ndarray  # uint8, at least 8 m


def count_ngrams(words: Words, firsts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """int64 of shape (n, len(COLUMNS)) for the texts made of words[firsts[t]:ends[t]].

    Takes some 100 bytes for each word of the longest text.
    """
    longest = int((ends - firsts).max(initial=0))
    size = 1 << table_bits_of(longest)
    places, roots, nexts, times, others = (np.empty(longest + 2, np.int32) for _ in range(5))
    lengths, grams = np.empty(longest + 2, np.int64), np.empty(longest + 2, np.uint64)
    table, found, sieve = np.empty(size, np.uint64), np.empty(size, np.int32), np.empty(4 * size, np.uint8)
    room = Room(lengths, grams, places, roots, nexts, times, others, table, found, sieve)
    counts = np.zeros((len(firsts), len(COLUMNS)), np.int64)
    _count_column(words.hashes, words.widths, firsts, ends, room, counts)
    return counts


def table_bits_of(entries: int) -> int:
    """`table_bits` for Python."""
    return max(4, (2 * entries - 1).bit_length())


@kernel
def _count_column(hashes, widths, firsts, ends, arrays, counts):
    room = Room(
        pointer(arrays.ends),
        pointer(arrays.grams),
        pointer(arrays.places),
        pointer(arrays.roots),
        pointer(arrays.nexts),
        pointer(arrays.counts),
        pointer(arrays.others),
        pointer(arrays.keys),
        pointer(arrays.firsts),
        pointer(arrays.sieve),
    )
    for text in range(len(firsts)):
        n = ends[text] - firsts[text]
        _add_up(pointer(widths), firsts[text], n, room)
        _count_text(pointer(hashes), firsts[text], n, room, pointer(counts), text * len(COLUMNS))


@part
def _add_up(widths, first, n, room):
    width = 0
    put(room.ends, 0, width)
    for at in range(n):
        width += get(widths, first + at)
        put(room.ends, at + 1, width)


@part
def _count_text(hashes, first, n, room, out, column):
    left = 0
    for length in range(2, min(n, LONGEST) + 1):
        if length == 2:
            left = _sieve_pairs(hashes, first, n - 1, room)
            _look_up(left, room.places, room)
        else:
            left = _go_on(left, room)
        if length <= 4:
            left, count, root = _keep_often(left, room)
            put(out, column, count * (get(room.ends, root + length) - get(room.ends, root) + length - 1))
        else:
            left, chars = _keep_duplicates(left, length, room)
            put(out, column, chars)
            if left == 0:
                return
        column += 1


@part
def _sieve_pairs(hashes, first, n, room):
    """The places of pairs of words that may occur twice: those that share a byte of the sieve. How many."""
    bits = table_bits(n) + 2
    shift = np.uint64(64 - bits)
    for at in range(1 << bits):
        put(room.sieve, at, 0)
    for at in range(n):
        gram = get(hashes, first + at) * _FACTOR + get(hashes, first + at + 1)
        gram = ((gram ^ (gram >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)) | _ONE
        put(room.grams, at, gram)
        place = gram >> shift
        put(room.sieve, place, min(get(room.sieve, place) + 1, 2))
    left = 0
    for at in range(n):
        gram = get(room.grams, at)
        often = get(room.sieve, gram >> shift) >> 1
        put(room.roots, at, int64(often) - 1)
        put(room.counts, at, 0)
        put(room.places, left, at)
        put(room.grams, left, gram)
        left += often
    put(room.roots, n, -1)
    return left


@part
def _look_up(number, places, room):
    """Find the roots of the n-grams at so many places, whose hashes are in `grams`, and count them there."""
    bits = table_bits(number)
    last = (1 << bits) - 1
    clear(room.keys, bits)
    for x in range(number):
        at = int64(get(places, x))
        gram = get(room.grams, x)
        slot = int64(spread(gram, bits))
        key = get(room.keys, slot)
        while key != _ZERO and key != gram:
            slot = (slot + 1) & last
            key = get(room.keys, slot)
        if key == _ZERO:
            put(room.keys, slot, gram)
            put(room.firsts, slot, at)
        root = int64(get(room.firsts, slot))
        put(room.roots, at, root)
        put(room.counts, root, get(room.counts, root) + 1)


@part
def _go_on(left, room):
    """From (n-1)-grams to n-grams: of the places left those where the place behind is left too. How many."""
    kept = others = 0
    for x in range(left):
        at = int64(get(room.places, x))
        root = int64(get(room.roots, at))
        behind = int64(get(room.roots, at + 1))
        put(room.nexts, at, behind)
        put(room.counts, at, 0)
        both = behind >= 0
        same = both & (int64(get(room.nexts, root)) == behind)
        put(room.counts, root, get(room.counts, root) + same)
        put(room.roots, at, root if both else -1)
        put(room.places, kept, at)
        kept += both
        put(room.others, others, at)
        put(room.grams, others, (np.uint64(root) << np.uint64(32) | np.uint64(behind)) + _ONE)
        others += both & (not same)
    if others:
        _look_up(others, room.others, room)
    return kept


@part
def _keep_often(left, room):
    """Of the places left those of n-grams that occur twice: how many, and (count, first place) of the most frequent one,
    the first of those; (1, 0) if none is twice."""
    kept = 0
    most = int64(1)
    first = int64(0)
    for x in range(left):
        at = int64(get(room.places, x))
        root = int64(get(room.roots, at))
        count = int64(get(room.counts, root))
        often = count > 1
        put(room.roots, at, root if often else -1)
        put(room.places, kept, at)
        kept += often
        if count > most:  # the root is the first place of its n-gram, so it is met here
            most = count
            first = at
    return kept, most, first


@part
def _keep_duplicates(left, length, room):
    """Of the places left those of n-grams that occur twice: how many, and the characters of n-grams that stand before, from
    left to right; behind each one the reading goes on."""
    kept = 0
    free = 0
    chars = 0
    for x in range(left):
        at = int64(get(room.places, x))
        root = int64(get(room.roots, at))
        count = get(room.counts, root)
        often = count != 1  # below 0: met before
        put(room.roots, at, root if often else -1)
        put(room.places, kept, at)
        kept += often
        if often and at >= free:
            if count < 0:
                chars += get(room.ends, at + length) - get(room.ends, at)
                free = at + length
            else:
                put(room.counts, root, -1)
    return kept, chars


def count_different(words: Words, firsts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """How many different words each text has, int64 of shape (n,)."""
    keys = np.empty(1 << table_bits_of(int((ends - firsts).max(initial=0))), np.uint64)
    counts = np.zeros(len(firsts), np.int64)
    _count_different(words.hashes, firsts, ends, keys, counts)
    return counts


@kernel
def _count_different(hashes, firsts, ends, keys, counts):
    for text in range(len(firsts)):
        bits = table_bits(ends[text] - firsts[text])
        clear(pointer(keys), bits)
        for at in range(firsts[text], ends[text]):
            counts[text] += add(pointer(keys), bits, hashes[at])


@part
def clear(keys, bits):
    """Empty a table of 2**bits hashes."""
    for slot in range(1 << bits):
        put(keys, slot, 0)


@part
def add(keys, bits, number):
    """Put a hash into the table: 1 if it is new, 0 if it is there."""
    last = (1 << bits) - 1
    slot = int64(spread(number, bits))
    key = get(keys, slot)
    while key != _ZERO and key != number:
        slot = (slot + 1) & last
        key = get(keys, slot)
    if key == number:
        return 0
    put(keys, slot, number)
    return 1
