"""Words and phrases of a list in a column of texts: the longest at each place, from left to right, none inside another.

    list: "mill", "mill stone"      "The Mill stone, a windmill."   ->   1 found, 10 characters

Case does not count, by a table of lower-case characters. A phrase must not begin or end inside a word: where two characters
that belong to words of spaced scripts meet (class WORD), there is no edge. In scripts without spaces (class RUN) every place is one. The
list is a trie in one hash table; `filters/phrases.py` builds it and has the plain twin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.characters import before, decode
from kernels.compile import kernel, part
from kernels.hashes import spread
from kernels.memory import get, int64, pointer

OTHER, WORD, RUN = 0, 1, 2  # classes of characters
FIRST_BITS = 16  # a character whose lowest bits begin no phrase needs no look at the trie
_SHIFT = np.uint64(21)


class Trie(NamedTuple):
    """Phrases by their lower-case characters; node 0 is the root."""

    first: np.ndarray  # uint8 (2**FIRST_BITS,): 1 where a phrase begins with such a character
    keys: np.ndarray  # uint64 (2**bits,): node << 21 | code point, plus one; 0 is an empty place
    children: np.ndarray  # int32 (2**bits,): the node that the key leads to
    ends: np.ndarray  # uint8 (nodes,): 1 where a phrase ends
    bits: int


def build_trie(phrases: list[list[int]]) -> Trie:
    """The trie of phrases given as code points, none of them empty."""
    links: dict[tuple[int, int], int] = {}
    ends = [0]
    for phrase in phrases:
        node = 0
        for code in phrase:
            if (node, code) not in links:
                links[node, code] = len(ends)
                ends.append(0)
            node = links[node, code]
        ends[node] = 1
    bits = max(4, (4 * len(links)).bit_length())
    keys, children = np.zeros(1 << bits, np.uint64), np.zeros(1 << bits, np.int32)
    given = np.array([node << 21 | code for node, code in links], np.uint64) + np.uint64(1)
    _fill(given, np.array(list(links.values()), np.int32), keys, children, bits)
    first = np.zeros(1 << FIRST_BITS, np.uint8)
    first[[phrase[0] & (1 << FIRST_BITS) - 1 for phrase in phrases]] = 1
    found = Trie(first, keys, children, np.array(ends, np.uint8), bits)
    for array in found[:4]:
        array.setflags(write=False)
    return found


@kernel
def _fill(given, nodes, keys, children, bits):
    last = (1 << bits) - 1
    for at in range(len(given)):
        slot = spread(given[at], bits)
        while keys[slot]:
            slot = (slot + 1) & last
        keys[slot] = given[at]
        children[slot] = nodes[at]


def count_phrases(
    starts: np.ndarray, ends: np.ndarray, data: np.ndarray, lower: np.ndarray, classes: np.ndarray, trie: Trie
) -> np.ndarray:
    """int64 of shape (n, 2): phrases found in the texts data[starts[t]:ends[t]], and their characters.

    lower: uint32, the lower case of each code point below len(lower), the others have none. classes: uint8 of
    kernels.characters.TABLE_SIZE, the class of each code point.
    """
    counts = np.zeros((len(starts), 2), np.int64)
    _count_column(starts, ends, data, lower, classes, *trie, counts)
    return counts


@kernel
def _count_column(starts, ends, data, lower, classes, first, keys, children, stops, bits, counts):
    known = len(lower)
    mask = len(first) - 1
    for text in range(len(starts)):
        at, end = starts[text], ends[text]
        previous = OTHER
        while at < end:
            code, width = decode(pointer(data), at)
            kind = int64(get(pointer(classes), code))
            small = get(pointer(lower), code) if code < known else code
            stop, chars = at, 0
            if get(pointer(first), small & mask) and not (kind == WORD and previous == WORD):
                stop, chars = _longest(
                    pointer(data),
                    at,
                    end,
                    pointer(lower),
                    known,
                    pointer(classes),
                    pointer(keys),
                    pointer(children),
                    pointer(stops),
                    bits,
                )
            if chars:
                counts[text, 0] += 1
                counts[text, 1] += chars
                code, _ = decode(pointer(data), before(pointer(data), stop))
                previous = int64(get(pointer(classes), code))
                at = stop
            else:
                previous = kind
                at += width


@part
def _longest(data, at, end, lower, known, classes, keys, children, stops, bits):
    """(place behind the longest phrase that begins at `at`, its characters); no characters if there is none."""
    last = (1 << bits) - 1
    node, chars, stop, found = 0, 0, at, 0
    while at < end:
        code, width = decode(data, at)
        small = get(lower, code) if code < known else code
        key = (np.uint64(node) << _SHIFT | np.uint64(small)) + np.uint64(1)
        slot = spread(key, bits)
        while get(keys, slot) and get(keys, slot) != key:
            slot = (slot + 1) & last
        if not get(keys, slot):
            break
        node = int64(get(children, slot))
        chars += 1
        at += width
        if get(stops, node) and _is_edge(data, at, end, classes, get(classes, code)):
            stop, found = at, chars
    return stop, found


@part
def _is_edge(data, at, end, classes, kind):
    """Whether a phrase whose last character is of class `kind` may end in front of data[at]."""
    if at >= end or kind != WORD:
        return True
    code, _ = decode(data, at)
    return get(classes, code) != WORD
