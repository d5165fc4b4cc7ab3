"""All pairs at or above a threshold between a small held-out side and a stream: exact, no signatures.

Prefix filter (Chaudhuri, Ganti and Kaushik 2006; Xiao et al. 2008): sets put in one global order. If two sets
x and y have a Jaccard similarity of at least t, they share at least ceil(t |x|) elements, so one of the first
|x| - ceil(t |x|) + 1 elements of x is among the first |y| - ceil(t |y|) + 1 of y. Only these are indexed and
looked up. Then, before a pair is verified: |y| lies between t |x| and |x| / t, and if k prefix elements are
shared, the last at places i and j, at most k + min(|x| - i - 1, |y| - j - 1) elements are shared at all.

Any global order is right; here it is that of the hashes, which is random, so a frequent shingle is not
put last and can give many hits: they are worked through in chunks.
"""

from collections.abc import Iterator

import numpy as np

from dedup.columns import frozen
from dedup.similarity import jaccards_between
from kernels.lookup import directory, equal_ranges

# Hits in hand at once: 2**20 of them are about 80 MB of index arrays.
_CHUNK_HITS = 1 << 20
# t * |x| in float64 can be a rounding error above the true product; this much is forgiven before it is rounded
# up. A bound that is too low only lets more candidates through.
_SLACK = 1e-9

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


class HeldoutIndex:
    """An index of the held-out sets (CSR: offsets int64 (n + 1), values uint64, rows sorted and unique).

    Memory: the sets, and 32 to 40 bytes for each prefix entry ((1 - threshold) of the values, and one for each
    set)."""

    def __init__(self, offsets: np.ndarray, values: np.ndarray, threshold: float):
        if not 0.0 < threshold <= 1.0:
            raise ValueError(f"threshold: expected a similarity above 0 and up to 1, got {threshold}")
        self.threshold = threshold
        self._sets = (offsets, values)
        self._sizes = np.diff(offsets)
        rows, places = _prefixes(self._sizes, threshold)
        hashes = values[offsets[rows] + places]
        order = np.argsort(hashes, kind="stable")
        self._rows, self._places, self._hashes = rows[order], places[order], frozen(hashes[order], np.uint64)
        # one part of the hashes for each of them: a look-up reads two starts and hardly more
        self._bits = max(1, len(rows).bit_length())
        self._starts = frozen(directory(self._hashes, self._bits), np.int64)

    def probe(self, offsets: np.ndarray, values: np.ndarray) -> Pairs:
        """Every pair at or above the threshold: rows of the index int64, rows of the probed sets int64,
        similarity float64; sorted by the probed row, then the index row."""
        found: list[Pairs] = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        for held, probed in self._candidates(offsets, values):
            similarity = jaccards_between(self._sets, (offsets, values), held, probed, self.threshold)
            match = similarity >= self.threshold
            found.append((held[match], probed[match], similarity[match]))
        held, probed, similarity = (np.concatenate(column) for column in zip(*found))
        # a set whose entries lie in two chunks can be found in both
        _, first = np.unique(probed * (len(self._sizes) + 1) + held, return_index=True)
        return held[first], probed[first], similarity[first]

    def _candidates(self, offsets: np.ndarray, values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Chunks of (index rows, probed rows) that can be at the threshold; unique within a chunk."""
        sizes = np.diff(offsets)
        rows, places = _prefixes(sizes, self.threshold)
        hashes = values[offsets[rows] + places]
        low, hits = np.empty(len(hashes), np.int64), np.empty(len(hashes), np.int64)
        equal_ranges(self._hashes, self._starts, self._bits, frozen(hashes, np.uint64), low, hits)
        some = np.flatnonzero(hits)
        rows, places, low, hits = rows[some], places[some], low[some], hits[some]
        for start, stop, whole in _chunks(rows, hits):
            count = hits[start:stop]
            probed = np.repeat(rows[start:stop], count)
            place = np.repeat(places[start:stop], count)
            entry = np.arange(len(probed)) + np.repeat(low[start:stop] - np.cumsum(count) + count, count)
            held, held_place = self._rows[entry], self._places[entry]
            able = self._sizes_fit(self._sizes[held], sizes[probed])
            # the hits of a row are in the order of its places, and a stable sort leaves the last of a pair last
            packed = (probed * (len(self._sizes) + 1) + held)[able]
            order = np.argsort(packed, kind="stable")
            ends = np.flatnonzero(np.append(packed[order][1:] != packed[order][:-1], len(order) > 0))
            last = np.flatnonzero(able)[order[ends]]
            held, probed = held[last], probed[last]
            if whole:
                left = np.minimum(self._sizes[held] - held_place[last], sizes[probed] - place[last]) - 1
                shared = np.diff(ends, prepend=-1) + left
                enough = shared >= self._overlap(self._sizes[held] + sizes[probed])
                held, probed = held[enough], probed[enough]
            yield held, probed

    def _sizes_fit(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        larger = np.maximum(a, b)
        return np.minimum(a, b) >= larger * self.threshold - larger * _SLACK

    def _overlap(self, both: np.ndarray) -> np.ndarray:
        """The fewest elements that two sets of so many elements together must share."""
        return both * (self.threshold / (1 + self.threshold)) - both * _SLACK


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
