"""Runs of tokens that stand at several places of a corpus, found exactly and cut.

A window is a run of `k` tokens (those of `dedup.shingles`). It is repeated if it stands in two documents, or twice in one
without overlap. What is cut is the union of repeated windows: all of them, or all but the first of equals. So a token
goes exactly if it lies in a common run of k tokens or more: what a suffix array finds in "Deduplicating training data
makes language models better" (Lee et al. 2021, arXiv 2107.06499, section 4.1), without one. (Places that overlap count as
one: of "ha ha ha ..." one window stays, not one token.)

Windows are not all compared. Each has an anchor: the run of `gram_of(k)` tokens in it with the smallest hash, the
first of equals. Equal windows have equal anchors at the same place, so a window can only be repeated if its anchor is;
anchors (one in about k / 4 tokens) are compared first, then the windows of repeated anchors, by a hash of 128 bits.

    anchors       ->  rows (hash, document, place)  ->  shared           ->  the places whose hash another place has
    windows       ->  rows (hash, document, place)  ->  repeated         ->  the windows to cut
    without_windows ->  the texts, and what was cut of them

A cut ends behind the punctuation that follows its last token and the white space behind that; if it begins inside a line
and that white space has a line feed, the white space stays. The twin is `dedup.plain_cuts`.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

from dedup.characters import character_table
from dedup.columns import Column, frozen, row_blocks, text_buffers
from dedup.shingles import _ascii_draws
from kernels.graph import order_rows
from kernels.spans import anchor_rows, cut_windows, window_rows

_BLOCK_BYTES = 1 << 20


def gram_of(k: int) -> int:
    """Tokens of an anchor: half a window. Longer ones give more anchors, shorter ones more that are shared by chance."""
    return (k + 1) // 2


def anchors(texts: Column, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(hash uint64, row int64, place int64 in tokens) of each anchor of the texts, sorted by row and place."""
    gram = gram_of(k)
    found = [(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))]
    before = 0
    for offsets, data in text_buffers(texts):
        for low, high in row_blocks(offsets, _BLOCK_BYTES):
            room = int(offsets[high] - offsets[low]) // 2 + 1
            hashes, rows, places = np.empty(room, np.uint64), np.empty(room, np.int64), np.empty(room, np.int64)
            many = anchor_rows(
                offsets, data, low, high, k, gram, character_table(), *_ascii_draws(), hashes, rows, places
            )
            found.append((hashes[:many].copy(), rows[:many] + (before + low), places[:many].copy()))
        before += len(offsets) - 1
    first, second, third = zip(*found)
    return np.concatenate(first), np.concatenate(second), np.concatenate(third)


def shared(hashes: np.ndarray) -> np.ndarray:
    """bool: whether another place has the same hash."""
    order = np.argsort(hashes)
    ordered = hashes[order]
    same = ordered[1:] == ordered[:-1]
    result = np.zeros(len(hashes), bool)
    result[order[1:][same]] = True
    result[order[:-1][same]] = True
    return result


def windows(texts: Column, rows: np.ndarray, places: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The windows whose anchor is at one of `places` (tokens) of `rows`, both int64 and sorted by row, then place:
    (hash uint64 (n, 2), row int64, place int64 of the first token), sorted by row and place."""
    gram = gram_of(k)
    found = [(np.zeros((0, 2), np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for offsets, data, first, chosen, low, high in _blocks_of(texts, rows):
        ends = np.searchsorted(rows[low:high], chosen + first, side="right").astype(np.int64)
        room = (high - low) * (k - gram + 1)  # an anchor is that of as many windows at most as it has places in one
        hashes, owners, firsts = np.empty((room, 2), np.uint64), np.empty(room, np.int64), np.empty(room, np.int64)
        many = window_rows(
            offsets, data, chosen, ends, frozen(places[low:high], np.int64), k, gram, character_table(),
            *_ascii_draws(), hashes, owners, firsts,
        )  # fmt: skip
        found.append((hashes[:many].copy(), chosen[owners[:many]] + first, firsts[:many].copy()))
    one, two, three = zip(*found)
    return np.concatenate(one), np.concatenate(two), np.concatenate(three)


def repeated(
    hashes: np.ndarray, ranks: np.ndarray, docs: np.ndarray, places: np.ndarray, k: int, keep_first: bool
) -> np.ndarray:
    """int64: numbers of the windows to cut, ascending.

    `hashes` uint64 (n, 2), the others as long; rows sorted by document (uint64), then place (int64). The first of equal
    windows is that of the lowest rank (uint64), then document, then place.
    """
    if not len(docs):
        return np.zeros(0, np.int64)
    order = _ordered(hashes, ranks)
    new = np.ones(len(order), bool)
    one, two = hashes[:, 0][order], hashes[:, 1][order]
    new[1:] = (one[1:] != one[:-1]) | (two[1:] != two[:-1])
    group = np.cumsum(new) - 1
    first = order[new][group]
    apart = (docs[order] != docs[first]) | (places[order] >= places[first] + k)
    if not keep_first:
        apart = np.bincount(group, weights=apart)[group] > 0
    return np.sort(order[apart])


def _ordered(hashes: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """int64: the rows by hash, then rank, then number."""
    numbers = np.arange(len(ranks), dtype=np.uint64)
    order = np.empty(len(ranks), np.int64)
    half = frozen(hashes[:, 0], np.uint64)
    order_rows(half, frozen(ranks, np.uint64), frozen(numbers, np.uint64), order)
    one, two = half[order], hashes[:, 1][order]
    if (
        (one[1:] == one[:-1]) & (two[1:] != two[:-1])
    ).any():  # half a hash in common, which sorting by it mixes up: no two in 10**9
        return np.lexsort((numbers, ranks, hashes[:, 1], half))
    return order


@dataclass
class Cuts:
    """`texts` (large_string) after the cuts; `spans` int64 (n, 4): row, first byte and last + 1 of its text before,
    tokens; sorted."""

    texts: pa.Array
    spans: np.ndarray


def without_windows(texts: Column, rows: np.ndarray, places: np.ndarray, k: int) -> Cuts:
    """The texts of the rows named in `rows`, each once and in order, without the windows at `places` (tokens), sorted."""
    results, spans = [pa.array([], pa.large_string())], [np.zeros((0, 4), np.int64)]
    for offsets, data, first, chosen, low, high in _blocks_of(texts, rows):
        ends = np.searchsorted(rows[low:high], chosen + first, side="right").astype(np.int64)
        size = int((offsets[chosen + 1] - offsets[chosen]).sum())
        out, out_ends = np.empty(size + 1, np.uint8), np.empty(len(chosen), np.int64)
        cut = np.empty((high - low, 4), np.int64)
        many = cut_windows(
            offsets, data, chosen, ends, frozen(places[low:high], np.int64), k, character_table(), _opening(), out,
            out_ends, cut,
        )  # fmt: skip
        cut = cut[:many]
        cut[:, 0] = chosen[cut[:, 0]] + first
        spans.append(cut)
        at = np.concatenate(([0], out_ends))
        results.append(pa.LargeStringArray.from_buffers(len(chosen), pa.py_buffer(at), pa.py_buffer(out[: at[-1]])))
    return Cuts(pa.concat_arrays(results), np.concatenate(spans))


def _blocks_of(texts: Column, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, int, np.ndarray, int, int]]:
    """Chunks with the rows asked for: (offsets, data, row of the chunk's first text, the rows in it, and the range of
    `rows` that they are)."""
    before = 0
    for offsets, data in text_buffers(texts):
        many = len(offsets) - 1
        low, high = np.searchsorted(rows, [before, before + many]).tolist()
        if low < high:
            yield offsets, data, before, frozen(np.unique(rows[low:high]) - before, np.int64), low, high
        before += many


@cache
def _opening() -> np.ndarray:
    """bool by code point: brackets and quotes that belong to what follows."""
    opens = np.zeros(0x110000, bool)
    opens[[code for code in range(0x10000) if unicodedata.category(chr(code)) in ("Ps", "Pi")]] = True
    return frozen(opens, np.bool_)
