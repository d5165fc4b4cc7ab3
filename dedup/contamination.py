"""Documents that hold the questions or answers of a benchmark, found by common runs of tokens.

An item is one text of a benchmark (a question, an answer). It is looked for by its n-grams: all runs of n of its tokens
(those of `dedup.shingles`: case, punctuation and white space do not count, a Han character is a token). An item of fewer
tokens, but at least `min_tokens`, is one run of all it has; a shorter one is not looked for, since it would stand
everywhere. n = 13 and the rule "one common n-gram is enough" are GPT-3's (Brown et al. 2020, arXiv 2005.14165, appendix C).

    index = build_index(["Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning ..."], 13, 8)
    found = find(pa.array(["... JANET'S DUCKS lay 16 eggs per day! She eats three for breakfast, every ..."]), index, 1)
    found.rows, found.items, found.overlaps   ->   [0], [0], [3]

An overlap is the number of different runs of an item that stand in the document. An n-gram that stands in many items (a
prompt's template) belongs to the first 16 of them, so that a page is not blamed a hundred thousand times. Runs are found
by a 64-bit hash and compared token by token, each token by 64 bits. Not covered: reworded or translated items.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa

from dedup.characters import character_table
from dedup.columns import Column, frozen, row_blocks, text_buffers
from dedup.shingles import _ascii_draws
from dedup.substrings import _opening
from kernels.contamination import fill_filter, run_hashes, run_spans, shared_runs, token_rows
from kernels.lookup import directory

OWNERS = 16
_BLOCK_BYTES = 1 << 20
_FILTER_BITS = 16  # a run: two of them set, so 1 % to 2 % of other runs pass
_LARGEST_FILTER = 1 << 23  # words of 64 bits


@dataclass(frozen=True)
class Index:
    """What is looked for. Runs are numbered by their hash, items as they came; arrays are read-only."""

    tokens: np.ndarray  # uint64: of all items
    hashes: np.ndarray  # uint64 (runs,), sorted
    places: np.ndarray  # int64 (runs,): the first token
    lengths: np.ndarray  # int64 (runs,)
    ends: np.ndarray  # int64 (runs + 1,): where the owners of each run begin
    owners: np.ndarray  # int64: items, ascending for each run
    sizes: np.ndarray  # int64: the lengths there are, ascending
    counts: np.ndarray  # int64 (items,): how many runs each owns
    looked_for: np.ndarray  # bool (items,): not too short
    seen: np.ndarray  # uint64: the filter over the first sizes[0] tokens of runs
    shift: int
    starts: np.ndarray  # int64: directory of `hashes`
    bits: int

    def needed(self, min_overlap: int | float) -> np.ndarray:
        """int64 (items,): the overlap that is too much. An int is a number of runs (all, of an item that has fewer), a
        float the share of the item's runs."""
        counts = np.maximum(self.counts, 1)
        if isinstance(min_overlap, int):
            return np.minimum(counts, min_overlap)
        share = Fraction(str(min_overlap))
        lowest = np.array([max(1, math.ceil(share * n)) for n in range(int(counts.max(initial=1)) + 1)], np.int64)
        return lowest[counts]


@dataclass(frozen=True)
class Found:
    """Pairs of a document and an item with too much in common: `rows`, `items`, `overlaps` (int64, sorted by row, then
    item); and the runs that they share: `run_rows`, `firsts` (tokens), `lengths` and `run_pairs` (number of the first
    pair that has it), sorted by row, then token."""

    rows: np.ndarray
    items: np.ndarray
    overlaps: np.ndarray
    run_rows: np.ndarray
    firsts: np.ndarray
    lengths: np.ndarray
    run_pairs: np.ndarray


def build_index(items: Sequence[str], n: int, min_tokens: int) -> Index:
    """The index of the items. Memory: 8 bytes a token, some 40 a different n-gram."""
    tokens, sizes = _tokens_of(items)
    begins = np.cumsum(sizes) - sizes
    looked_for = sizes >= min(n, min_tokens)
    many = np.where(looked_for, np.maximum(sizes - n, 0) + 1, 0)
    item = np.repeat(np.arange(len(items)), many)
    places = np.repeat(begins - (np.cumsum(many) - many), many) + np.arange(len(item))
    lengths = np.minimum(sizes, n)[item]
    hashes = np.empty(len(places), np.uint64)
    places, lengths = frozen(places, np.int64), frozen(lengths, np.int64)
    run_hashes(tokens, places, lengths, hashes)
    order = np.argsort(hashes, kind="stable")
    hashes, item = hashes[order], item[order]
    new = np.ones(len(order), bool)
    new[1:] = hashes[1:] != hashes[:-1]
    first = order[new]
    owners, ends = _owners(np.cumsum(new) - 1, item)
    hashes, places, lengths = hashes[new], frozen(places[first], np.int64), frozen(lengths[first], np.int64)
    seen = np.zeros(_filter_words(len(hashes)), np.uint64)
    head = int(lengths.min(initial=n))
    shift = int(fill_filter(tokens, places, head, seen))
    bits = max(1, min(24, len(hashes).bit_length() - 2))
    hashes = frozen(hashes, np.uint64)
    return Index(
        tokens, hashes, places, lengths, ends, owners, frozen(np.unique(lengths), np.int64),
        np.bincount(owners, minlength=len(items)), looked_for, frozen(seen, np.uint64), shift,
        frozen(directory(hashes, bits), np.int64), bits,
    )  # fmt: skip


def _filter_words(runs: int) -> int:
    """A power of two."""
    return min(_LARGEST_FILTER, 1 << max(1, (runs * _FILTER_BITS // 64).bit_length()))


def _owners(run: np.ndarray, item: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(owners, ends) of runs, both sorted by run, then item: each item once, the first OWNERS of a run."""
    once = np.ones(len(run), bool)
    once[1:] = (run[1:] != run[:-1]) | (item[1:] != item[:-1])
    run, item = run[once], item[once]
    runs = int(run[-1]) + 1 if len(run) else 0
    place = np.arange(len(run)) - np.searchsorted(run, np.arange(runs))[run]
    run, item = run[place < OWNERS], item[place < OWNERS]
    return item, np.searchsorted(run, np.arange(runs + 1))


def _tokens_of(items: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(tokens of all items uint64, how many each has int64)."""
    tokens, sizes = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for offsets, data in text_buffers(pa.array(items, pa.large_string())):
        for low, high in row_blocks(offsets, _BLOCK_BYTES):
            out = np.empty((offsets[high] - offsets[low]) // 2 + 2 * (high - low), np.uint64)
            counts = np.empty(high - low, np.int64)
            many = token_rows(offsets, data, low, high, character_table(), *_ascii_draws(), out, counts)
            tokens.append(out[:many].copy())
            sizes.append(counts)
    return frozen(np.concatenate(tokens), np.uint64), np.concatenate(sizes)


def find(texts: Column, index: Index, min_overlap: int | float) -> Found:
    """The documents that share too much with an item; see `Index.needed`. Memory beyond the result: that of one block
    of 1 MB, or of the longest document."""
    needed = index.needed(min_overlap)
    found = []
    before = 0
    for offsets, data in text_buffers(texts):
        for low, high in row_blocks(offsets, _BLOCK_BYTES):
            rows, firsts, runs = _runs(offsets, data, low, high, index)
            if len(rows):
                found.append(_judged(rows + (before + low), firsts, runs, index, needed))
        before += len(offsets) - 1
    return _together(found)


def _runs(
    offsets: np.ndarray, data: np.ndarray, low: int, high: int, index: Index
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row from low, first token, run) of each place where a run of an item stands."""
    if not len(index.hashes):
        return (np.zeros(0, np.int64),) * 3
    room = ((offsets[high] - offsets[low]) // 2 + high - low) * len(index.sizes)
    rows, firsts, runs = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    many = shared_runs(
        offsets, data, low, high, character_table(), *_ascii_draws(), int(index.sizes[0]), index.seen,
        np.uint64(index.shift), index.sizes, index.hashes, index.starts, index.bits, index.places, index.lengths,
        index.tokens, rows, firsts, runs,
    )  # fmt: skip
    return rows[:many].copy(), firsts[:many].copy(), runs[:many].copy()


def _judged(rows: np.ndarray, firsts: np.ndarray, runs: np.ndarray, index: Index, needed: np.ndarray) -> Found:
    """What is too much, of the shared runs of some rows."""
    items = len(index.counts)
    once = np.unique(np.stack([rows, runs], axis=1), axis=0)  # a run that stands twice in a document counts once
    owned, owner = _expanded(once[:, 1], index)
    pairs, overlaps = np.unique(once[owned, 0] * items + owner, return_counts=True)
    enough = overlaps >= needed[pairs % items]
    pairs, overlaps = pairs[enough], overlaps[enough]
    owned, owner = _expanded(runs, index)
    key = rows[owned] * items + owner
    place = np.searchsorted(pairs, key)
    blamed = place < len(pairs)
    blamed[blamed] = pairs[place[blamed]] == key[blamed]
    which, first = np.unique(owned[blamed], return_index=True)
    return Found(
        pairs // items, pairs % items, overlaps, rows[which], firsts[which], index.lengths[runs[which]],
        place[blamed][first],
    )  # fmt: skip


def _expanded(runs: np.ndarray, index: Index) -> tuple[np.ndarray, np.ndarray]:
    """(place in `runs`, owner) for each owner of each, in order."""
    many = index.ends[runs + 1] - index.ends[runs]
    which = np.repeat(np.arange(len(runs)), many)
    inside = np.arange(len(which)) - np.repeat(np.cumsum(many) - many, many)
    return which, index.owners[index.ends[runs][which] + inside]


def _together(found: list[Found]) -> Found:
    empty = np.zeros(0, np.int64)
    columns = [[empty] for _ in range(7)]
    pairs = 0
    for each in found:
        parts = (each.rows, each.items, each.overlaps, each.run_rows, each.firsts, each.lengths, each.run_pairs + pairs)
        for column, part in zip(columns, parts, strict=True):
            column.append(part)
        pairs += len(each.rows)
    return Found(*(np.concatenate(column) for column in columns))


def spans_of(text: bytes, firsts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """int64 (n, 3): where the runs of tokens of a text stand, those that touch or overlap as one: the first byte, the end
    of the last token, and the end of what is cut with it (as in `dedup.substrings`)."""
    merged: list[list[int]] = []
    for first, length in zip(firsts.tolist(), lengths.tolist(), strict=True):
        if merged and first <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], first + length)
        else:
            merged.append([first, first + length])
    spans = np.empty((len(merged), 3), np.int64)
    runs = frozen(np.array(merged, np.int64).reshape(-1, 2), np.int64)
    data = frozen(np.frombuffer(text, np.uint8), np.uint8)
    run_spans(data, 0, len(text), runs, character_table(), _opening(), spans)
    return spans
