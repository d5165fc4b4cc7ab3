"""The features of a word for a fastText classifier, and the sum of their vectors.

    "mill"   ->   the word itself if the dictionary has it, and the n-grams <m <mi <mil mi mil mill ... l>

An n-gram is hashed into one of `bucket` buckets. Pruning leaves most buckets without a vector: which n-grams
have one is found first, by a bit for each bucket, then their vectors are added in the library's order (src/dictionary.cc).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernels.compile import part
from kernels.fasttext_sums import add_rows
from kernels.fasttext_tables import FNV_BASIS, hash_step
from kernels.memory import PAD, get, pointer, prefetch, put
from kernels.simd import below, ones

SKIPPED = -1  # number of features of a word that is no word: one that looks like a label
END = b"</s>"
_LABEL = b"__label__"
_WORD_NGRAM_PRIME = np.uint64(116049371)
_ONE = np.uint64(1)


class Net(NamedTuple):
    """What makes a vector of a text. Arrays, or inside of a kernel pointers to them."""

    words: Any  # uint8: the dictionary, words then labels; then "</s>__label__"
    starts: Any  # int64, one an entry: words[starts[i]:ends[i]]
    ends: Any
    table: Any  # int32: hash table of entries, -1 where empty (see kernels/fasttext_tables.py)
    mask: int  # len(table) - 1
    constants: int  # where "</s>__label__" begins in words
    buckets: Any  # uint64: a bit for each bucket that has a row; empty: all or none
    ranks: Any  # int32: how many have one before each 64 buckets
    rows: Any  # float32: the vectors of words, then of buckets, one after the other
    dim: int  # of a vector
    known: int  # how many words; the entries from there on are labels
    minn: int  # shortest and longest character n-gram; maxn 0: none
    maxn: int
    word_ngrams: int  # longest n-gram of words, 1 or more
    bucket: int  # how many hash buckets the n-grams fall into
    kept: int  # how many of them have a row; -1: all
    magic: int  # see remainder_by there
    shift: int


CONSTANTS = np.frombuffer(END + _LABEL + bytes(PAD), np.uint8)


@part
def net_pointers(net: Any) -> Any:
    """The same with pointers for arrays, for use inside of a kernel that has `net` as an argument."""
    return Net(
        pointer(net.words),
        pointer(net.starts),
        pointer(net.ends),
        pointer(net.table),
        net.mask,
        net.constants,
        pointer(net.buckets),
        pointer(net.ranks),
        pointer(net.rows),
        net.dim,
        net.known,
        net.minn,
        net.maxn,
        net.word_ngrams,
        net.bucket,
        net.kept,
        net.magic,
        net.shift,
    )


@part(forceinline=True)
def same(data: Any, start: int, size: int, other: Any, at: int) -> bool:
    """Whether data[start : start + size] is other[at : at + size]."""
    for step in range(size):  # noqa: SIM110 (numba has no generators here)
        if get(data, start + step) != get(other, at + step):
            return False
    return True


@part(forceinline=True)
def hash_word(data: Any, start: int, end: int) -> Any:
    """The FNV-1a hash of data[start:end], uint32."""
    hashed = FNV_BASIS
    for at in range(start, end):
        hashed = hash_step(hashed, get(data, at))
    return hashed


@part
def _find(net: Any, data: Any, start: int, end: int) -> Any:
    """The number of the entry data[start:end], or -1."""
    slot = np.int64(hash_word(data, start, end)) & net.mask
    while True:
        entry = np.int64(get(net.table, slot))
        if entry < 0:
            return -1
        first = get(net.starts, entry)
        if get(net.ends, entry) - first == end - start and same(data, start, end - start, net.words, first):
            return entry
        slot = (slot + 1) & net.mask


@part(forceinline=True)
def _push(net: Any, bucket: Any, found: Any, count: int) -> Any:
    """Puts `bucket` behind found[:count] and asks for its bit; the new count."""
    if net.kept == 0:
        return count
    put(found, count, np.int64(bucket))
    if net.kept > 0:
        prefetch(net.buckets, np.int64(bucket >> np.uint64(6)))
    return count + 1


@part(forceinline=True)
def _remainder(hashed: Any, net: Any) -> Any:
    """`hashed` % bucket, uint64."""
    quotient = (np.uint64(hashed) * np.uint64(net.magic)) >> np.uint64(net.shift)
    rest = np.int64(hashed) - np.int64(quotient) * net.bucket
    return np.uint64(rest + (net.bucket & (rest >> 63)))


@part(forceinline=True)
def _add(net: Any, found: Any, words: int, count: int, sums: Any, to: int) -> int:
    """Adds the vectors of found[:words], rows, and of those of found[words:count], buckets, that have one, to sums[to:].

    In order; how many there were. Without a branch that must be guessed.
    """
    rows = words
    for at in range(words, count):
        bucket = get(found, at)
        there: Any = 1
        if net.kept > 0:
            block = bucket >> 6
            bits: Any = get(net.buckets, block)
            there = np.int64((bits >> np.uint64(bucket & 63)) & _ONE)
            bucket = np.int64(get(net.ranks, block)) + ones(bits & below(bucket & 63))
        put(found, rows, net.known + bucket)
        rows += there
    add_rows(sums, to, net.rows, found, rows, net.dim)
    return rows


@part(forceinline=True)
def _after(hashed: Any, data: Any, at: int, end: int) -> Any:
    """Goes on over the rest of a character, whose first byte is hashed: the hash, and where the next one is."""
    while at < end and get(data, at) & 0xC0 == 0x80:
        hashed = hash_step(hashed, get(data, at))
        at += 1
    return hashed, at


@part
def _add_ngrams(
    net: Any, found: Any, limit: int, data: Any, start: int, end: int, words: int, sums: Any, to: int
) -> int:
    """Adds the found rows and then the character n-grams of "<" + data[start:end] + ">"; how many features in all.

    n-grams begin and end between characters; "<" and ">" alone are none.
    """
    total, count = 0, words
    for first in range(start - 1, end):
        if count + net.maxn > limit:
            total += _add(net, found, words, count, sums, to)
            words = count = 0
        hashed, at, size = FNV_BASIS, first, 0
        if first < start:
            hashed, at = _after(hash_step(hashed, np.uint8(60)), data, start, end)
            size = 1
        elif get(data, first) & 0xC0 == 0x80:
            continue
        while size < net.maxn and at < end:
            hashed, at = _after(hash_step(hashed, get(data, at)), data, at + 1, end)
            size += 1
            if size >= net.minn:
                count = _push(net, _remainder(hashed, net), found, count)
        if size < net.maxn and size + 1 >= net.minn:
            count = _push(net, _remainder(hash_step(hashed, np.uint8(62)), net), found, count)
    return total + _add(net, found, words, count, sums, to)


@part
def add_word(net: Any, found: Any, limit: int, data: Any, start: int, end: int, sums: Any, to: int) -> int:
    """Adds the vectors of one word to sums[to:]; how many there were, or SKIPPED for a label.

    found: int64, room for `limit` rows and one.
    """
    entry, count = _find(net, data, start, end), 0
    if entry >= net.known:
        return SKIPPED
    if entry >= 0:
        put(found, 0, entry)
        count = 1
    elif end - start >= len(_LABEL) and same(data, start, len(_LABEL), net.words, net.constants + len(END)):
        return SKIPPED
    if net.maxn > 0 and not is_end(net, data, start, end):
        return _add_ngrams(net, found, limit, data, start, end, count, sums, to)
    _add(net, found, count, count, sums, to)
    return count


@part(forceinline=True)
def is_end(net: Any, data: Any, start: int, end: int) -> bool:
    """Whether data[start:end] is "</s>"."""
    return end - start == len(END) and same(data, start, len(END), net.words, net.constants)


@part
def add_word_ngrams(net: Any, found: Any, limit: int, hashes: Any, words: int, sums: Any) -> int:
    """Adds the n-grams of the words with the hashes hashes[:words] to `sums`; how many."""
    total, count = 0, 0
    for first in range(words):
        if count + net.word_ngrams > limit:
            total += _add(net, found, 0, count, sums, 0)
            count = 0
        hashed = np.uint64(np.int64(get(hashes, first)))  # an int32 in the library: its sign is carried on
        for at in range(first + 1, min(words, first + net.word_ngrams)):
            hashed = hashed * _WORD_NGRAM_PRIME + np.uint64(np.int64(get(hashes, at)))
            count = _push(net, hashed % np.uint64(net.bucket), found, count)
    return total + _add(net, found, 0, count, sums, 0)
