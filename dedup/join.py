"""All pairs at or above a threshold between a small held-out side and a stream: exact, no signatures.

Prefix filter (Chaudhuri, Ganti and Kaushik 2006; Xiao et al. 2008): sets put in one global order. If two sets
x and y have a Jaccard similarity of at least t, they share at least ceil(t |x|) elements, so one of the first
|x| - ceil(t |x|) + 1 elements of x is among the first |y| - ceil(t |y|) + 1 of y. Only these are indexed and
looked up. Then, before a pair is verified: |y| lies between t |x| and |x| / t, and if k prefix elements are
shared, the last at places i and j, at most k + min(|x| - i - 1, |y| - j - 1) elements are shared at all.

For containment (the shared part of the smaller set) the larger set has no such prefix: its elements may be anywhere.
So the join is done twice, with the prefixes of the index against all elements of what is probed where that is the
larger, and the other way round.

Any global order is right; here it is that of the hashes, which is random, so a frequent shingle is not
put last and can give many hits: they are worked through in chunks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dedup.columns import frozen
from dedup.similarity import MEASURES, similarities_of
from kernels.lookup import directory, equal_ranges, marked

# Hits in hand at once: 2**20 of them are about 80 MB of index arrays.
_CHUNK_HITS = 1 << 20
# t * |x| in float64 can be a rounding error above the true product; this much is forgiven before it is rounded
# up. A bound that is too low only lets more candidates through.
_SLACK = 1e-9
# 32 bits for each hash of an index: one look-up in 30 passes that finds nothing, and the marks of 100,000 stay in the cache.
_MARK_BITS = 5

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]
_Fit = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass
class _Entries:
    """Elements of sets that are looked up: row and place in the row, in the order of their hashes."""

    rows: np.ndarray
    places: np.ndarray
    hashes: np.ndarray
    starts: np.ndarray
    bits: int
    marks: np.ndarray

    @classmethod
    def of(cls, offsets: np.ndarray, values: np.ndarray, rows: np.ndarray, places: np.ndarray) -> "_Entries":
        hashes = values[offsets[rows] + places]
        order = np.argsort(hashes, kind="stable")
        hashes = frozen(hashes[order], np.uint64)
        # one part of the hashes for each of them: a look-up reads two starts and hardly more
        bits = max(1, len(rows).bit_length())
        starts, marks = frozen(directory(hashes, bits), np.int64), frozen(marked(hashes, bits + _MARK_BITS), np.uint64)
        return cls(rows[order], places[order], hashes, starts, bits, marks)


class HeldoutIndex:
    """An index of the held-out sets (CSR: offsets int64 (n + 1), values uint64, rows sorted and unique).

    Memory: the sets, and 32 to 40 bytes for each prefix entry ((1 - threshold) of the values, and one for each
    set); for containment another 32 to 40 for each value."""

    def __init__(self, offsets: np.ndarray, values: np.ndarray, threshold: float, measure: str = "jaccard"):
        if not 0.0 < threshold <= 1.0:
            raise ValueError(f"threshold: expected a similarity above 0 and up to 1, got {threshold}")
        if measure not in MEASURES:
            raise ValueError(f"measure: expected one of {', '.join(MEASURES)}, got {measure!r}")
        self.threshold = threshold
        self.measure = measure
        self._sets = (offsets, values)
        self._sizes = np.diff(offsets)
        self._prefixes = _Entries.of(offsets, values, *_prefixes(self._sizes, threshold))
        self._all = _Entries.of(offsets, values, *_everything(self._sizes)) if measure == "containment" else None

    def probe(self, offsets: np.ndarray, values: np.ndarray) -> Pairs:
        """Every pair at or above the threshold: rows of the index int64, rows of the probed sets int64,
        similarity float64; sorted by the probed row, then the index row."""
        found: list[Pairs] = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        for held, probed in self._candidates(offsets, values):
            similarity = similarities_of(self._sets, (offsets, values), held, probed, self.threshold, self.measure)
            match = similarity >= self.threshold
            found.append((held[match], probed[match], similarity[match]))
        held, probed, similarity = (np.concatenate(column) for column in zip(*found))
        # a set whose entries lie in two chunks can be found in both
        _, first = np.unique(probed * (len(self._sizes) + 1) + held, return_index=True)
        return held[first], probed[first], similarity[first]

    def _candidates(self, offsets: np.ndarray, values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Chunks of (index rows, probed rows) that can be at the threshold; unique within a chunk."""
        sizes = np.diff(offsets)
        passes: list[tuple[_Entries, tuple[np.ndarray, np.ndarray], _Fit]]
        if self._all is None:
            passes = [(self._prefixes, _prefixes(sizes, self.threshold), self._sizes_fit)]
        else:
            passes = [
                (self._prefixes, _everything(sizes), np.less_equal),
                (self._all, _prefixes(sizes, self.threshold), np.greater),
            ]
        for index, (rows, places), fit in passes:
            hashes = values[offsets[rows] + places]
            low, hits = np.empty(len(hashes), np.int64), np.empty(len(hashes), np.int64)
            equal_ranges(index.hashes, index.starts, index.bits, index.marks, frozen(hashes, np.uint64), low, hits)
            some = np.flatnonzero(hits)
            rows, places, low, hits = rows[some], places[some], low[some], hits[some]
            for start, stop, whole in _chunks(rows, hits):
                part = slice(start, stop)
                yield self._pairs(index, (rows[part], places[part], low[part], hits[part]), sizes, fit, whole)

    def _pairs(
        self, index: _Entries, looked_up: tuple[np.ndarray, ...], sizes: np.ndarray, fit: _Fit, whole: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """(index rows, probed rows) of the hits of some probed elements (row, place, first hit, hits)."""
        rows, places, low, count = looked_up
        probed, place = np.repeat(rows, count), np.repeat(places, count)
        entry = np.arange(len(probed)) + np.repeat(low - np.cumsum(count) + count, count)
        held, held_place = index.rows[entry], index.places[entry]
        able = np.flatnonzero(fit(self._sizes[held], sizes[probed]))
        # the hits of a row are in the order of its places, and a stable sort leaves the last of a pair last
        packed = (probed * (len(self._sizes) + 1) + held)[able]
        order = np.argsort(packed, kind="stable")
        ends = np.flatnonzero(np.append(packed[order][1:] != packed[order][:-1], len(order) > 0))
        last = able[order[ends]]
        held, probed = held[last], probed[last]
        if not whole:
            return held, probed
        left = np.minimum(self._sizes[held] - held_place[last], sizes[probed] - place[last]) - 1
        shared = np.diff(ends, prepend=-1) + left
        enough = shared >= self._overlap(self._sizes[held], sizes[probed])
        return held[enough], probed[enough]

    def _sizes_fit(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        larger = np.maximum(a, b)
        return np.minimum(a, b) >= larger * self.threshold - larger * _SLACK

    def _overlap(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The fewest elements that two sets of these sizes must share."""
        if self.measure == "containment":
            smaller = np.minimum(a, b)
            return smaller * self.threshold - smaller * _SLACK
        return (a + b) * (self.threshold / (1 + self.threshold)) - (a + b) * _SLACK


def _chunks(rows: np.ndarray, hits: np.ndarray) -> Iterator[tuple[int, int, bool]]:
    """Ranges of prefix entries of bounded hits; True if no row goes on in another range."""
    totals = np.cumsum(hits)
    start = 0
    while start < len(rows):
        done = int(totals[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(totals, done + _CHUNK_HITS, side="right")))
        row_start = int(np.searchsorted(rows, rows[stop - 1]))
        if stop < len(rows) and rows[stop] == rows[stop - 1] and row_start > start:
            stop = row_start
        cut = stop < len(rows) and rows[stop] == rows[stop - 1]
        yield start, stop, not cut and (start == 0 or rows[start] != rows[start - 1])
        start = stop


def _prefixes(sizes: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Row and place in the row, int64, of each prefix entry, by row and place."""
    needed = np.ceil(sizes * threshold - sizes * _SLACK).astype(np.int64)
    lengths = np.where(sizes > 0, sizes - needed + 1, 0)
    rows = np.repeat(np.arange(len(sizes)), lengths)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _everything(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and place in the row, int64, of every element."""
    rows = np.repeat(np.arange(len(sizes)), sizes)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
