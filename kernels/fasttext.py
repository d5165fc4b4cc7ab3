"""Prediction with a fastText classifier over a column of texts: bytes and offsets in, label numbers and probabilities out.

The features of a text, as the fastText library defines them: its words, split at space, \\t \\n \\v \\f \\r and zero bytes; of
each word the character n-grams of "<word>"; "</s>" after the last word, and a word "</s>" ends the text; and
n-grams of words. The vectors of all features are averaged; the output layer makes probabilities of the average.

Speed comes from a cache of word vectors (a text repeats its words, and a word has about 20 n-grams). What it holds does
not change the result: the vector of a word is summed up on its own in any case, unless it is too long to be
kept. Where the last bit matters (one-vs-all reads its sigmoid from a table of steps) there is no cache and all is
added in the library's order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernels.compile import kernel, part
from kernels.fasttext_labels import SIGMOIDS, Out, best_labels, new_room, out_pointers, room_pointers
from kernels.fasttext_tables import FNV_BASIS, hash_step
from kernels.memory import get, pointer, put
from kernels.simd import ones

SLOT_BYTES = 32  # of a word in the cache and what is known of it: half a cache line
KEPT_BYTES = SLOT_BYTES - 3  # longer words are rarely seen twice
CACHE_BYTES = 8 << 20  # 80 MB/s of English with it, 75 with half of it, 90 with twice as much (and longer to fill)
_WORD_NGRAM_PRIME = np.uint64(116049371)
_ROWS = 1 << 12  # of one word or text that are collected before they are added
_LONGEST_CACHED = 1000  # n-gram: the number of features of a word must fit into two bytes
_SKIPPED = -1  # number of features of a word that is no word: one that looks like a label
_END, _END_HASH = b"</s>", np.uint32(3617362777)
_LABEL = b"__label__"


class Net(NamedTuple):
    """What makes a vector of a text. Arrays, or inside of a kernel pointers to them."""

    words: Any  # uint8: the dictionary, words then labels; then "</s>__label__"
    starts: Any  # int64, one an entry: words[starts[i]:ends[i]]
    ends: Any
    table: Any  # int32: hash table of entries, -1 where empty (see kernels/fasttext_tables.py)
    mask: int  # len(table) - 1
    constants: int  # where "</s>__label__" begins in words
    buckets: Any  # uint64: which buckets have a row (see there); empty: all or none
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


class Cache(NamedTuple):
    """Vectors of words seen before, and room to work in; belongs to one thread. Arrays, or pointers to them."""

    slots: int
    words: (
        Any  # uint8 (slots * SLOT_BYTES): size of the word, 0 if empty; number of features + 1 in two bytes; the word
    )
    vectors: Any  # float32 (slots * dim)
    vector: Any  # float32 (dim): of a text
    found: Any  # int64: rows to be added
    limit: int  # how many of those are collected
    hashes: Any  # int32: of the words of a text, if there are n-grams of words


CONSTANTS = np.frombuffer(_END + _LABEL, np.uint8)


def new_cache(net: Net, out: Out) -> Cache:
    """An empty cache for the words of this model; one without slots if it would be of no use or not exact."""
    slots = 0
    if 0 < net.maxn <= _LONGEST_CACHED and out.kind != SIGMOIDS:
        slots = max(1 << 10, 1 << (CACHE_BYTES // (4 * net.dim + SLOT_BYTES)).bit_length() - 1)
    limit = max(_ROWS, 2 * net.maxn, 2 * net.word_ngrams)
    return Cache(
        slots,
        np.zeros(slots * SLOT_BYTES, np.uint8),
        np.zeros(slots * net.dim, np.float32),
        np.zeros(net.dim, np.float32),
        np.zeros(limit + 1, np.int64),
        limit,
        np.zeros(0, np.int32),
    )


def predict(net: Net, out: Out, cache: Cache, offsets: Any, data: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The `k` best labels of the texts data[offsets[i]:offsets[i + 1]] (int64, uint8): int32 and float32, shape (n, k).

    -1 and 0.0 where there are fewer.
    """
    found = np.full((len(offsets) - 1, k), -1, np.int32)
    probabilities = np.zeros((len(offsets) - 1, k), np.float32)
    if len(found):
        words = int(np.diff(offsets).max()) // 2 + 2 if net.word_ngrams > 1 else 0
        cache = cache._replace(hashes=np.zeros(words, np.int32))
        _predict(net, out, cache, new_room(out, k), offsets, data, found, probabilities)
    return found, probabilities


@part
def _same(data: Any, start: int, size: int, other: Any, at: int) -> bool:
    for step in range(size):  # noqa: SIM110 (numba has no generators here)
        if get(data, start + step) != get(other, at + step):
            return False
    return True


@part
def _find(net: Any, data: Any, start: int, end: int, hashed: Any) -> Any:
    """The number of the entry data[start:end], or -1."""
    slot = np.int64(hashed) & net.mask
    while True:
        entry = np.int64(get(net.table, slot))
        if entry < 0:
            return -1
        first = get(net.starts, entry)
        if get(net.ends, entry) - first == end - start and _same(data, start, end - start, net.words, first):
            return entry
        slot = (slot + 1) & net.mask


@part
def _push(net: Any, bucket: Any, found: Any, count: int) -> Any:
    """Puts the row of `bucket` behind found[:count] if it has one; the new count. Without a branch that must be guessed."""
    if net.kept < 0:
        put(found, count, net.known + np.int64(bucket))
        return count + 1
    if net.kept == 0:
        return count
    block = np.int64(bucket >> np.uint64(6)) * 2
    bits: Any = get(net.buckets, block)
    bit = np.uint64(1) << (bucket & np.uint64(63))
    put(found, count, net.known + np.int64(get(net.buckets, block + 1)) + ones(bits & (bit - np.uint64(1))))
    return count + np.int64(bits & bit != np.uint64(0))


@part
def _remainder(hashed: Any, net: Any) -> Any:
    """`hashed` % bucket, uint64."""
    quotient = (np.uint64(hashed) * np.uint64(net.magic)) >> np.uint64(net.shift)
    rest = np.int64(hashed) - np.int64(quotient) * net.bucket
    return np.uint64(rest + (net.bucket & (rest >> 63)))


@part
def _add_row(rows: Any, row: int, dim: int, sums: Any, to: int) -> None:
    """sums[to : to + dim] += rows[row : row + dim], in blocks of a size that the compiler can unroll."""
    for block in range(0, dim - 15, 16):
        for at in range(block, block + 16):
            put(sums, to + at, get(sums, to + at) + get(rows, row + at))
    for at in range(dim - dim % 16, dim):
        put(sums, to + at, get(sums, to + at) + get(rows, row + at))


@part
def _add(net: Any, found: Any, count: int, sums: Any, to: int) -> None:
    """Adds the rows found[:count] to sums[to:], in order."""
    for at in range(count):
        _add_row(net.rows, get(found, at) * net.dim, net.dim, sums, to)


@part
def _after(hashed: Any, data: Any, at: int, end: int) -> Any:
    """Goes on over the rest of a character, whose first byte is hashed: the hash, and where the next one is."""
    while at < end and get(data, at) & 0xC0 == 0x80:
        hashed = hash_step(hashed, get(data, at))
        at += 1
    return hashed, at


@part
def _add_ngrams(net: Any, cache: Any, data: Any, start: int, end: int, count: int, sums: Any, to: int) -> int:
    """Adds the found rows and then the character n-grams of "<" + data[start:end] + ">"; how many features in all.

    n-grams begin and end between characters; "<" and ">" alone are none.
    """
    total = 0
    for first in range(start - 1, end):
        if count + net.maxn > cache.limit:
            _add(net, cache.found, count, sums, to)
            total += count
            count = 0
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
                count = _push(net, _remainder(hashed, net), cache.found, count)
        if size < net.maxn and size + 1 >= net.minn:
            count = _push(net, _remainder(hash_step(hashed, np.uint8(62)), net), cache.found, count)
    _add(net, cache.found, count, sums, to)
    return total + count


@part
def _add_word(net: Any, cache: Any, data: Any, start: int, end: int, hashed: Any, sums: Any, to: int) -> int:
    """Adds the vectors of one word to sums[to:]; how many there were, or _SKIPPED for a label."""
    entry, count = _find(net, data, start, end, hashed), 0
    if entry >= net.known:
        return _SKIPPED
    if entry >= 0:
        put(cache.found, 0, entry)
        count = 1
    elif end - start >= len(_LABEL) and _same(data, start, len(_LABEL), net.words, net.constants + len(_END)):
        return _SKIPPED
    if net.maxn > 0 and not _is_end(net, data, start, end, hashed):
        return _add_ngrams(net, cache, data, start, end, count, sums, to)
    _add(net, cache.found, count, sums, to)
    return count


@part
def _is_end(net: Any, data: Any, start: int, end: int, hashed: Any) -> bool:
    return hashed == _END_HASH and end - start == len(_END) and _same(data, start, len(_END), net.words, net.constants)


@part
def _add_known_word(net: Any, cache: Any, data: Any, start: int, end: int, hashed: Any) -> Any:
    """The same by way of the cache, for a word of up to KEPT_BYTES bytes; adds to the vector of the text."""
    size, slot = end - start, np.int64(hashed) & (cache.slots - 1)
    at, first = slot * SLOT_BYTES, slot * net.dim
    if get(cache.words, at) != size or not _same(data, start, size, cache.words, at + 3):
        for step in range(net.dim):
            put(cache.vectors, first + step, 0)
        count = _add_word(net, cache, data, start, end, hashed, cache.vectors, first) + 1
        put(cache.words, at, size)
        put(cache.words, at + 1, count & 255)
        put(cache.words, at + 2, count >> 8)
        for step in range(size):
            put(cache.words, at + 3 + step, get(data, start + step))
    _add_row(cache.vectors, first, net.dim, cache.vector, 0)
    return np.int64(get(cache.words, at + 1)) + 256 * np.int64(get(cache.words, at + 2)) - 1


@part
def _add_word_ngrams(net: Any, cache: Any, words: int) -> int:
    """Adds the n-grams of the words with the hashes cache.hashes[:words] to the vector of the text; how many."""
    total, count = 0, 0
    for first in range(words):
        if count + net.word_ngrams > cache.limit:
            _add(net, cache.found, count, cache.vector, 0)
            total += count
            count = 0
        hashed = np.uint64(np.int64(get(cache.hashes, first)))  # an int32 in the library: its sign is carried on
        for at in range(first + 1, min(words, first + net.word_ngrams)):
            hashed = hashed * _WORD_NGRAM_PRIME + np.uint64(np.int64(get(cache.hashes, at)))
            count = _push(net, hashed % np.uint64(net.bucket), cache.found, count)
    _add(net, cache.found, count, cache.vector, 0)
    return total + count


@part
def _is_separator(byte: Any) -> bool:
    return byte <= 32 and (byte == 32 or byte == 0 or (byte >= 9 and byte <= 13))


@part
def _embed(net: Any, cache: Any, data: Any, start: int, end: int) -> int:
    """The average vector of data[start:end] into cache.vector; how many features it has (0: none, and no average)."""
    for step in range(net.dim):
        put(cache.vector, step, 0)
    total, words, at, ended = 0, 0, start, False
    while not ended:
        while at < end and _is_separator(get(data, at)):
            at += 1
        text, first, hashed = data, at, FNV_BASIS
        while at < end and not _is_separator(get(data, at)):
            hashed = hash_step(hashed, get(data, at))
            at += 1
        last = at
        if at == first:  # nothing is left: the end of the line is a word
            text, first, last, hashed = net.words, net.constants, net.constants + len(_END), _END_HASH
        if last - first <= KEPT_BYTES and cache.slots > 0:
            count = _add_known_word(net, cache, text, first, last, hashed)
        else:
            count = _add_word(net, cache, text, first, last, hashed, cache.vector, 0)
        total += max(0, count)
        if count != _SKIPPED and net.word_ngrams > 1:
            put(cache.hashes, words, np.int32(hashed))
            words += 1
        ended = _is_end(net, text, first, last, hashed)
    if net.word_ngrams > 1:
        total += _add_word_ngrams(net, cache, words)
    factor = np.float32(1.0 / max(1, total))
    for step in range(net.dim):
        put(cache.vector, step, get(cache.vector, step) * factor)
    return total


@part
def _net_pointers(net: Any) -> Any:
    return Net(
        pointer(net.words),
        pointer(net.starts),
        pointer(net.ends),
        pointer(net.table),
        net.mask,
        net.constants,
        pointer(net.buckets),
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


@part
def _cache_pointers(cache: Any) -> Any:
    return Cache(
        cache.slots,
        pointer(cache.words),
        pointer(cache.vectors),
        pointer(cache.vector),
        pointer(cache.found),
        cache.limit,
        pointer(cache.hashes),
    )


@kernel
def _predict(nets: Any, outs: Any, caches: Any, rooms: Any, offsets: Any, data: Any, found: Any, probable: Any) -> None:
    net, out = _net_pointers(nets), out_pointers(outs)
    cache, room = _cache_pointers(caches), room_pointers(rooms)
    for text in range(len(offsets) - 1):
        if _embed(net, cache, pointer(data), offsets[text], offsets[text + 1]) > 0:
            count = best_labels(out, cache.vector, net.dim, room, text)
            for at in range(count):
                found[text, at] = get(room.names, at)
                probable[text, at] = np.exp(get(room.scores, at))


@kernel
def has_word_character(offsets: Any, data: Any) -> Any:
    """Which texts have an ASCII letter, digit or underscore, bool (n,)."""
    result = np.zeros(len(offsets) - 1, np.bool_)
    for text in range(len(result)):
        for at in range(offsets[text], offsets[text + 1]):
            byte = data[np.uint64(at)]
            lower = byte | 32
            if (byte >= 48 and byte <= 57) or (lower >= 97 and lower <= 122) or byte == 95:
                result[text] = True
                break
    return result
