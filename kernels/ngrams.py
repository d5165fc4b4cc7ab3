"""Repeated n-grams of words, n = 2 .. 10, and different words, from the word hashes of kernels/words.py.

An n-gram can only occur twice if both (n-1)-grams in it do, so each round looks at the places that the round before
left. Before the first table a byte table drops most pairs of words that occur once.

    a b a b a b   ->   top 2-gram "a b", 3 times
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.compile import kernel, part
from kernels.hashes import spread, table_bits
from kernels.memory import get, int64, pointer, put, uint8
from kernels.words import Words

LONGEST = 10
# what `count_ngrams` counts: characters, one space between the words of a top n-gram, none in the others
COLUMNS = ("top_2", "top_3", "top_4", *[f"duplicate_{n}" for n in range(5, LONGEST + 1)])

_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)


class Room(NamedTuple):
    """Room for the n-grams of one text of m words."""

    sums: np.ndarray  # uint64, m + 1: a polynomial over the hashes of the words before
    ends: np.ndarray  # int64, m + 1: the characters of the words before
    grams: np.ndarray  # uint64, m: hash of the n-gram at each place that is left
    places: np.ndarray  # int32, m: the places that are left, ascending
    left: np.ndarray  # uint8, m + 1: whether a place is left
    slots: np.ndarray  # int32, m: where in the table each place that is left stands
    keys: np.ndarray  # uint64, at least 2 m: the table; 0 is free
    counts: np.ndarray  # int32, the same
    firsts: np.ndarray  # int32, the same: the first place
    sieve: np.ndarray  # uint8, at least 8 m


def count_ngrams(words: Words, firsts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """int64 of shape (n, len(COLUMNS)) for the texts made of words[firsts[t]:ends[t]].

    Takes some 100 bytes for each word of the longest text.
    """
    longest = int((ends - firsts).max(initial=0))
    size = 1 << table_bits_of(longest)
    room = Room(
        np.empty(longest + 1, np.uint64),
        np.empty(longest + 1, np.int64),
        np.empty(longest + 1, np.uint64),
        np.empty(longest + 1, np.int32),
        np.empty(longest + 2, np.uint8),
        np.empty(longest + 1, np.int32),
        np.empty(size, np.uint64),
        np.empty(size, np.int32),
        np.empty(size, np.int32),
        np.empty(4 * size, np.uint8),
    )
    counts = np.zeros((len(firsts), len(COLUMNS)), np.int64)
    _count_column(words.hashes, words.widths, firsts, ends, room, counts)
    return counts


def table_bits_of(entries: int) -> int:
    """`table_bits` for Python."""
    return max(4, (2 * entries - 1).bit_length())


@kernel
def _count_column(hashes, widths, firsts, ends, arrays, counts):
    room = Room(
        pointer(arrays.sums),
        pointer(arrays.ends),
        pointer(arrays.grams),
        pointer(arrays.places),
        pointer(arrays.left),
        pointer(arrays.slots),
        pointer(arrays.keys),
        pointer(arrays.counts),
        pointer(arrays.firsts),
        pointer(arrays.sieve),
    )
    for text in range(len(firsts)):
        n = ends[text] - firsts[text]
        _add_up(pointer(hashes), pointer(widths), firsts[text], n, room)
        _count_text(n, room, pointer(counts), text * len(COLUMNS))


@part
def _add_up(hashes, widths, first, n, room):
    total = _ZERO
    width = 0
    put(room.sums, 0, total)
    put(room.ends, 0, width)
    for at in range(n):
        total = total * _FACTOR + get(hashes, first + at)
        width += get(widths, first + at)
        put(room.sums, at + 1, total)
        put(room.ends, at + 1, width)


@part
def _count_text(n, room, out, column):
    power = _FACTOR
    left = 0
    for length in range(2, min(n, LONGEST) + 1):
        power *= _FACTOR
        if length == 2:
            left = _sieve_pairs(n - 1, power, room)
        else:
            left = _narrow(left, length, power, room)
        if length > 4 and left == 0:
            return
        count, first = _tally(left, room)
        if length <= 4:
            put(out, column, count * (get(room.ends, first + length) - get(room.ends, first) + length - 1))
        else:
            put(out, column, _duplicates(left, length, room))
        column += 1
        left = _drop_single(left, room)


@part
def _gram(at, length, power, room):
    """A hash of the n-gram at a place, never 0."""
    gram = get(room.sums, at + length) - get(room.sums, at) * power
    return ((gram ^ (gram >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)) | _ONE


@part
def _sieve_pairs(n, power, room):
    """The places of pairs of words that may occur twice: those that share a byte of the sieve. How many."""
    bits = table_bits(n) + 2
    shift = np.uint64(64 - bits)
    for at in range(1 << bits):
        put(room.sieve, at, 0)
    for at in range(n):
        gram = _gram(at, 2, power, room)
        put(room.grams, at, gram)
        place = gram >> shift
        put(room.sieve, place, min(get(room.sieve, place) + 1, 2))
    left = 0
    for at in range(n):
        gram = get(room.grams, at)
        often = get(room.sieve, gram >> shift) >> 1
        put(room.left, at, often)
        put(room.places, left, at)
        put(room.grams, left, gram)
        left += often
    put(room.left, n, 0)
    return left


@part
def _narrow(left, length, power, room):
    """Of the places left those where the place behind is left too, with their hashes. How many."""
    kept = 0
    for x in range(left):
        at = get(room.places, x)
        both = get(room.left, at + 1)
        put(room.left, at, both)
        put(room.places, kept, at)
        kept += both
    for x in range(kept):
        put(room.grams, x, _gram(get(room.places, x), length, power, room))
    return kept


@part
def _tally(left, room):
    """Fill the table. (count, first place) of the most frequent n-gram, the first of them; (1, 0) if none is twice."""
    bits = table_bits(left)
    last = (1 << bits) - 1
    for slot in range(last + 1):
        put(room.keys, slot, 0)
    most = int64(1)
    first = int64(0)
    for x in range(left):
        gram = get(room.grams, x)
        slot = int64(spread(gram, bits))
        key = get(room.keys, slot)
        while key != _ZERO and key != gram:
            slot = (slot + 1) & last
            key = get(room.keys, slot)
        if key == _ZERO:
            put(room.keys, slot, gram)
            put(room.counts, slot, 1)
            put(room.firsts, slot, get(room.places, x))
        else:
            count = int64(get(room.counts, slot)) + 1
            put(room.counts, slot, count)
            place = int64(get(room.firsts, slot))
            if count > most or (count == most and place < first):
                most = count
                first = place
        put(room.slots, x, slot)
    return most, first


@part
def _duplicates(left, length, room):
    """Characters of n-grams that stand before, from left to right; behind each one the reading goes on."""
    free = 0
    chars = 0
    for x in range(left):
        at = int64(get(room.places, x))
        slot = get(room.slots, x)
        if at < free:
            continue
        if get(room.firsts, slot) < 0:  # met before
            chars += get(room.ends, at + length) - get(room.ends, at)
            free = at + length
        else:
            put(room.firsts, slot, -1)
    return chars


@part
def _drop_single(left, room):
    """Of the places left those of n-grams that occur twice. How many."""
    kept = 0
    for x in range(left):
        at = get(room.places, x)
        often = uint8(get(room.counts, get(room.slots, x)) > 1)
        put(room.places, kept, at)
        put(room.left, at, often)
        kept += often
    return kept


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
