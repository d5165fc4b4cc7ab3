"""Lines that stand in many documents: menus, footers, notices. What counts as equal, and a text without them.

    "Cookies: 3 partners (2024)"  ->  "cookies0partners0000"

A unit is a line (up to a line feed), or a paragraph (lines in a row, none of them blank). Its normal form is lower case,
each digit a 0, and nothing but letters, digits and marks: what CCNet compares (Wenzek et al. 2019, arXiv 1911.00359,
section 3.1; there punctuation goes and accents with it, here symbols and white space go too and accents stay). A unit
whose normal form is empty is never cut. Equal means an equal 64-bit hash of the normal form, as in CCNet: among 10**10
different lines, 10**7 of them frequent, the chance that any other line meets a frequent one is 0.5 %.

Where units are cut, the rest is joined by line feeds as it was; blank lines behind a cut go if a blank line (or
nothing) stands before it, and so do those at an end that was cut. The twin is `dedup.plain_cuts`.
"""

import unicodedata
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

from dedup.characters import SEPARATOR, character_classes, character_table
from dedup.columns import Column, frozen, row_blocks, text_buffers
from kernels.units import BLANK, drop_units, find_units

_BLOCK_BYTES = 1 << 20


@dataclass
class Units:
    """The units of a column of texts, row by row: `hashes` uint64 and `chars` int64 of the normal forms (0 where it is
    empty), `starts` and `ends` int64 (bytes from the beginning of the row's text), `counts` int64 (rows,)."""

    hashes: np.ndarray
    chars: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    counts: np.ndarray

    def rows(self) -> np.ndarray:
        """int64 (units,): the row of each."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def numbers(self) -> np.ndarray:
        """int64 (units,): the place of each among the units of its row."""
        before = np.cumsum(self.counts) - self.counts
        return np.arange(len(self.hashes)) - np.repeat(before, self.counts)


def units(texts: Column, paragraphs: bool = False) -> Units:
    """The units of each text. Null counts as ""."""
    pieces = [
        _block_units(offsets, data, low, high, paragraphs)
        for offsets, data in text_buffers(texts)
        for low, high in row_blocks(offsets, _BLOCK_BYTES)
    ]
    empty = np.zeros(0, np.int64)
    pieces.append(Units(np.zeros(0, np.uint64), empty, empty, empty, empty))
    return Units(*(np.concatenate([getattr(piece, name) for piece in pieces]) for name in Units.__annotations__))


def without_units(texts: Column, found: Units, cut: np.ndarray) -> pa.Array:
    """The texts (large_string) without the units of `found` for which `cut` (bool) is set."""
    rows, first = 0, 0
    results = [pa.array([], pa.large_string())]
    for offsets, data in text_buffers(texts):
        many = len(offsets) - 1
        counts = found.counts[rows : rows + many]
        here = slice(first, first + int(counts.sum()))
        base = np.repeat(offsets[:-1], counts)
        out, ends = np.empty(offsets[-1] - offsets[0] + 1, np.uint8), np.empty(many, np.int64)
        starts = found.starts[here] + base
        drop_units(offsets, data, 0, many, starts, found.ends[here] + base, frozen(counts, np.int64),
                   frozen(cut[here], np.bool_), out, ends)  # fmt: skip
        places = np.concatenate(([0], ends))
        results.append(pa.LargeStringArray.from_buffers(many, pa.py_buffer(places), pa.py_buffer(out[: places[-1]])))
        rows, first = rows + many, here.stop
    return pa.concat_arrays(results)


def _block_units(offsets: np.ndarray, data: np.ndarray, low: int, high: int, paragraphs: bool) -> Units:
    room = int(np.count_nonzero(data[offsets[low] : offsets[high]] == 10)) + high - low
    hashes, counts = np.empty(room, np.uint64), np.empty(high - low, np.int64)
    chars, starts, ends = (np.empty(room, np.int64) for _ in range(3))
    many = find_units(offsets, data, low, high, normal_table(), paragraphs, hashes, chars, starts, ends, counts)
    base = np.repeat(offsets[low:high], counts)
    return Units(hashes[:many], chars[:many], starts[:many] - base, ends[:many] - base, counts)


@cache
def normal_table() -> np.ndarray:
    """uint32 by code point: what stands for it in the normal form, or one of `kernels.units.DROPPED` and `BLANK`."""
    lower = character_table() & np.uint32(0x1FFFFF)
    lower[0x3A3] = 0x3C3
    lower[lower == 0x3C2] = 0x3C3  # one sigma, wherever it stands
    table = np.where(character_classes()[lower] == SEPARATOR, 0, lower)
    table[(character_table() >> 25 & 1).astype(bool)] = BLANK
    digits = [code for code in np.flatnonzero(table).tolist() if unicodedata.category(chr(code)) == "Nd"]
    table[digits] = ord("0")
    return frozen(table, np.uint32)


# -- what is repeated ------------------------------------------------------------------------------


@dataclass
class Repeats:
    """Units to cut or to tell of, sorted by document and unit: `docs` uint64, `numbers` uint32 (see `Units.numbers`),
    `cut` bool, `listed` bool (the first of its equals, whether it is cut or not), and of the equals `documents` and
    `removed` uint32."""

    docs: np.ndarray
    numbers: np.ndarray
    cut: np.ndarray
    listed: np.ndarray
    documents: np.ndarray
    removed: np.ndarray


def repeats(
    hashes: np.ndarray, docs: np.ndarray, numbers: np.ndarray, groups: np.ndarray, ranks: np.ndarray,
    limit: int, keep_first: bool,
) -> Repeats:  # fmt: skip
    """The units whose hash stands in more than `limit` different `groups` (documents, or sources as uint64).

    The first of equal units is that of the lowest `ranks`, then document, then unit; it stays if `keep_first`.
    Arrays of one length, rows in any order.
    """
    order = np.argsort(hashes, kind="stable")
    sizes = _run_sizes(hashes[order])
    order = order[np.repeat(sizes, sizes) > limit]  # fewer places than that cannot be as many groups
    order = order[np.lexsort((groups[order], hashes[order]))]
    starts, sizes = _runs(hashes[order])
    many = np.repeat(_distinct(hashes[order], groups[order], starts), sizes) > limit
    order = order[many]
    order = order[np.lexsort((numbers[order], docs[order], ranks[order], hashes[order]))]
    starts, sizes = _runs(hashes[order])
    listed = np.zeros(len(order), bool)
    listed[starts] = True
    cut = ~listed if keep_first else np.ones(len(order), bool)
    documents = np.repeat(_distinct_documents(hashes[order], docs[order]), sizes)
    removed = np.repeat(sizes - 1 if keep_first else sizes, sizes)
    back = np.lexsort((numbers[order], docs[order]))
    rows = order[back]
    return Repeats(
        docs[rows], numbers[rows].astype(np.uint32), cut[back], listed[back],
        documents[back].astype(np.uint32), removed[back].astype(np.uint32),
    )  # fmt: skip


def _runs(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where runs of equal values begin, and how long they are."""
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if len(ordered) else np.zeros(0, int)
    return starts, np.diff(np.append(starts, len(ordered)))


def _run_sizes(ordered: np.ndarray) -> np.ndarray:
    return _runs(ordered)[1]


def _distinct(hashes: np.ndarray, groups: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """How many different groups each run of equal hashes has; sorted by hash, then group."""
    if not len(hashes):
        return np.zeros(0, np.int64)
    new = np.concatenate(([True], (groups[1:] != groups[:-1]) | (hashes[1:] != hashes[:-1])))
    return np.add.reduceat(new.astype(np.int64), starts)


def _distinct_documents(hashes: np.ndarray, docs: np.ndarray) -> np.ndarray:
    order = np.lexsort((docs, hashes))
    return _distinct(hashes[order], docs[order], _runs(hashes[order])[0])
