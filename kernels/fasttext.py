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
from kernels.fasttext_features import END, SKIPPED, Net, add_word, add_word_ngrams, hash_word, is_end, net_pointers
from kernels.fasttext_labels import SIGMOIDS, Out, best_labels, new_room, out_pointers, room_pointers
from kernels.fasttext_sums import add_row
from kernels.fasttext_tables import aligned_zeros
from kernels.memory import get, load64, pointer, prefetch, put
from kernels.simd import below, put_places, separators

KEY = 4  # uint64 numbers of a word in the cache: its bytes, zeros, and in the last three how many features it has, + 1
KEPT_BYTES = 8 * KEY - 3  # longer words are rarely seen twice
_COUNT_OF_KEY, _TEXT_OF_KEY = np.uint64(40), np.uint64((1 << 40) - 1)
CACHE_BYTES = 8 << 20  # 80 MB/s of English with it, 75 with half of it, 90 with twice as much (and longer to fill)
_ROWS = 1 << 12  # of one word or text that are collected before they are added
_LONGEST_CACHED = 1000  # n-gram: the number of features of a word must fit into three bytes
WINDOW = 1 << 12  # bytes of a text whose words are looked for at a time
_ZERO, _ONE = np.uint64(0), np.uint64(1)
# odd numbers without a pattern, to mix the bytes of a word
_MIX = tuple(
    map(np.uint64, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F))
)


class Cache(NamedTuple):
    """Vectors of words seen before, and room to work in; belongs to one thread. Arrays, or pointers to them."""

    slots: int
    shift: Any  # uint64: the slot of a word is the highest bits of its hash, shifted to the right by this
    keys: Any  # uint64 (slots * KEY): the words; zeros if empty, which no word is, for zero bytes end one
    masks: Any  # uint64 (KEY a size of a word): its bytes
    vectors: Any  # float32 (slots * dim)
    vector: Any  # float32 (dim): of a text
    found: Any  # int64: rows to be added
    limit: int  # how many of those are collected
    places: Any  # int64: the slots of the words of a window
    bytes: Any  # uint64 (KEY a word): and their bytes
    edges: Any  # int64: where the words of a window begin and end
    hashes: Any  # int32: of the words of a text, if there are n-grams of words


def new_cache(net: Net, out: Out) -> Cache:
    """An empty cache for the words of this model; one without slots if it would be of no use or not exact."""
    slots = 0
    if 0 < net.maxn <= _LONGEST_CACHED and out.kind != SIGMOIDS:
        slots = max(1 << 10, 1 << (CACHE_BYTES // (4 * net.dim + 8 * KEY)).bit_length() - 1)
    limit = max(_ROWS, 2 * net.maxn, 2 * net.word_ngrams)
    return Cache(
        slots,
        np.uint64(64 - slots.bit_length() + 1),
        aligned_zeros(slots * KEY, np.uint64),
        _size_masks(),
        aligned_zeros(slots * net.dim, np.float32),
        aligned_zeros(net.dim, np.float32),
        np.zeros(limit + 1, np.int64),
        limit,
        np.zeros(WINDOW // 2 + 1, np.int64),
        aligned_zeros((WINDOW // 2 + 1) * KEY, np.uint64),
        np.zeros(WINDOW + 8, np.int64),
        np.zeros(0, np.int32),
    )


def _size_masks() -> np.ndarray:
    """What keeps of 32 bytes the first n, for each n."""
    kept = np.arange(8 * KEY) < np.arange(8 * KEY + 1)[:, None]
    return np.where(kept, 255, 0).astype(np.uint8).view(np.uint64).reshape(-1)


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


@part(forceinline=True)
def _place_words(net: Any, cache: Any, data: Any, found: int) -> None:
    """Puts the bytes of the words of a window into cache.bytes, their slots into cache.places, and asks for these slots.

    Only for words of up to KEPT_BYTES bytes is that of use.
    """
    for number in range(found):
        start = get(cache.edges, 2 * number)
        masks = min(get(cache.edges, 2 * number + 1) - start, KEPT_BYTES) * KEY
        one = load64(data, start) & get(cache.masks, masks)
        two = load64(data, start + 8) & get(cache.masks, masks + 1)
        three = load64(data, start + 16) & get(cache.masks, masks + 2)
        four = load64(data, start + 24) & get(cache.masks, masks + 3)
        mixed = one * _MIX[0] + two * _MIX[1] + three * _MIX[2] + four * _MIX[3]
        slot = np.int64(((mixed ^ (mixed >> np.uint64(31))) * _MIX[4]) >> cache.shift)
        prefetch(cache.keys, slot * KEY)
        prefetch(cache.vectors, slot * net.dim)
        put(cache.places, number, slot)
        put(cache.bytes, number * KEY, one)
        put(cache.bytes, number * KEY + 1, two)
        put(cache.bytes, number * KEY + 2, three)
        put(cache.bytes, number * KEY + 3, four)


@part(forceinline=True)
def _add_known_word(net: Any, cache: Any, data: Any, start: int, end: int, number: int) -> Any:
    """`add_word` by way of the cache, for a word of up to KEPT_BYTES bytes; adds to the vector of the text."""
    slot = get(cache.places, number)
    at, word = slot * KEY, number * KEY
    differs = (get(cache.keys, at + 3) ^ get(cache.bytes, word + 3)) & _TEXT_OF_KEY
    for step in range(KEY - 1):
        differs |= get(cache.keys, at + step) ^ get(cache.bytes, word + step)
    if differs != _ZERO:
        for step in range(net.dim):
            put(cache.vectors, slot * net.dim + step, 0)
        count = add_word(net, cache.found, cache.limit, data, start, end, cache.vectors, slot * net.dim) + 1
        for step in range(KEY):
            put(cache.keys, at + step, get(cache.bytes, word + step))
        put(cache.keys, at + 3, get(cache.bytes, word + 3) | (np.uint64(count) << _COUNT_OF_KEY))
    add_row(cache.vector, 0, cache.vectors, slot * net.dim, net.dim)
    return np.int64(get(cache.keys, at + 3) >> _COUNT_OF_KEY) - 1


@part
def _is_separator(byte: Any) -> bool:
    return byte <= 32 and (byte == 32 or byte == 0 or (byte >= 9 and byte <= 13))


@part(forceinline=True)
def _find_words(cache: Any, data: Any, start: int, end: int, stop: int) -> int:
    """Puts where the words that begin in data[start:end] begin and end (as far as `stop`) into cache.edges; how many."""
    edges, carry = 0, _ZERO
    for at in range(start, end, 64):
        inside = ~separators(data, at) & below(end - at)
        turns = inside ^ ((inside << _ONE) | carry)
        carry = inside >> np.uint64(63)
        edges = put_places(cache.edges, edges, turns, at)
    if edges % 2 == 1:
        put(cache.edges, edges, end)
        edges += 1
    if edges > 0 and get(cache.edges, edges - 1) == end:
        while end < stop and not _is_separator(get(data, end)):
            end += 1
        put(cache.edges, edges - 1, end)
    return edges // 2


@part(forceinline=True)
def _take_word(net: Any, cache: Any, data: Any, number: int, words: int) -> tuple[int, int]:
    """Adds a word to the vector of the text, and its hash behind those of `words` words: its features, words now."""
    start, end = get(cache.edges, 2 * number), get(cache.edges, 2 * number + 1)
    if end - start <= KEPT_BYTES and cache.slots > 0:
        count = _add_known_word(net, cache, data, start, end, number)
    else:
        count = add_word(net, cache.found, cache.limit, data, start, end, cache.vector, 0)
    if net.word_ngrams > 1 and count != SKIPPED:
        put(cache.hashes, words, np.int32(hash_word(data, start, end)))
        words += 1
    return max(0, count), words


@part
def _embed(net: Any, cache: Any, data: Any, start: int, end: int) -> int:
    """The average vector of data[start:end] into cache.vector; how many features it has (0: none, and no average)."""
    for step in range(net.dim):
        put(cache.vector, step, 0)
    total, words, at, ended = 0, 0, start, False
    while at < end and not ended:
        behind = min(end, at + WINDOW)
        found = _find_words(cache, data, at, behind, end)
        if cache.slots > 0:
            _place_words(net, cache, data, found)
        for number in range(found):
            count, words = _take_word(net, cache, data, number, words)
            total += count
            if is_end(net, data, get(cache.edges, 2 * number), get(cache.edges, 2 * number + 1)):
                ended = True
                break
        at = max(behind, get(cache.edges, 2 * found - 1)) if found else behind
    if not ended:  # the end of the line is a word
        put(cache.edges, 0, net.constants)
        put(cache.edges, 1, net.constants + len(END))
        if cache.slots > 0:
            _place_words(net, cache, net.words, 1)
        count, words = _take_word(net, cache, net.words, 0, words)
        total += count
    if net.word_ngrams > 1:
        total += add_word_ngrams(net, cache.found, cache.limit, cache.hashes, words, cache.vector)
    factor = np.float32(1.0 / max(1, total))
    for step in range(net.dim):
        put(cache.vector, step, get(cache.vector, step) * factor)
    return total


@part
def _cache_pointers(cache: Any) -> Any:
    return Cache(
        cache.slots,
        cache.shift,
        pointer(cache.keys),
        pointer(cache.masks),
        pointer(cache.vectors),
        pointer(cache.vector),
        pointer(cache.found),
        cache.limit,
        pointer(cache.places),
        pointer(cache.bytes),
        pointer(cache.edges),
        pointer(cache.hashes),
    )


@kernel
def _predict(nets: Any, outs: Any, caches: Any, rooms: Any, offsets: Any, data: Any, found: Any, probable: Any) -> None:
    net, out = net_pointers(nets), out_pointers(outs)
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
