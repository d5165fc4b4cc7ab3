"""Candidates for containment: documents of which one may lie in the other, whatever their sizes.

Bands of minima look for equal sets; a page inside a book shares no band with it. So a sample of the shingle hashes
themselves is dealt (FracMinHash: Irber et al. 2022): all hashes below a fixed part of their range, and at least the
LEAST_ROWS smallest. A document asks with its few smallest hashes, its queries, and answers with all that it dealt:

    rows of a document       h0 q   h1 q   h2 q   h3 q   h4   h5   ...          (q: a query; the lowest bit of the row)
    pair (a, b)              a query of one of them is a row of the other

If a lies in b with share s, each query of a is a shingle of b with a chance of s, so all k miss with (1 - s)**k: four
queries find 0.9984 at 0.8. That holds as long as b deals them: a document of 100 shingles or more has its queries
below the common bound, one of 20 in a much larger one may not (docs/dedup.md has the measured recall by size).
Nothing is decided here: candidates are verified.
"""

import math

import numpy as np

from dedup.candidates import Candidates, buckets, unique_pairs
from dedup.hashing import mix_in_place

# One hash of eight is dealt: 112 rows for the mean manual page of 900 shingles, four times the bands of 0.8. With one
# of four, documents of 20 shingles in large ones would be found at 0.99 instead of 0.88, at twice the rows.
SAMPLE = 8
LEAST_ROWS = 64
# A group is compared pair by pair if it has at most so many documents, or so many of them ask: then a document costs
# no more comparisons than with representatives.
GROUP_CAP = 64
QUERY_CAP = 32

_BOUND = np.uint64((1 << 64) // SAMPLE)
_ONE = np.uint64(1)


def choose_queries(threshold: float, recall: float = 0.99) -> int:
    """Queries that find a pair at the threshold with a chance of `recall`, and one 0.05 above it with nine tenths of
    the rest."""
    wanted = [(threshold, recall), (min(threshold + 0.05, 1.0), 1.0 - (1.0 - recall) / 10)]
    return max(_needed(share, chance) for share, chance in wanted)


def _needed(share: float, chance: float) -> int:
    return 1 if share >= 1.0 else max(1, math.ceil(math.log(1.0 - chance) / math.log(1.0 - share) - 1e-9))


def found_chance(queries: int, share: float) -> float:
    """The chance that a pair becomes a candidate whose smaller document lies in the other with this share."""
    return 1.0 - (1.0 - share) ** queries


def sample(offsets: np.ndarray, values: np.ndarray, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of shingle sets (CSR, rows sorted): offsets int64 (n + 1), hashes uint64. A row is the shingle's hash
    mixed once more (what is dealt are small hashes, and partitions go by the upper bits), its lowest bit 1 for a
    query."""
    sizes = np.diff(offsets)
    below = np.concatenate(([0], np.cumsum(values < _BOUND)))
    counts = np.maximum(below[offsets[1:]] - below[offsets[:-1]], np.minimum(sizes, LEAST_ROWS))
    ends = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    place = np.arange(ends[-1]) - np.repeat(ends[:-1], counts)
    hashes = mix_in_place(values[np.repeat(offsets[:-1], counts) + place].astype(np.uint64))
    return ends, hashes & ~_ONE | (place < queries).astype(np.uint64)


def contained_pairs(hash: np.ndarray, twin: np.ndarray, doc: np.ndarray) -> Candidates:
    """Candidates of rows (hash with its query bit, twin, document) in any order; documents of equal twin are
    represented by the smallest number. `big`: groups in which more documents ask than can be compared one by one.

    At the worst a row gives 32 pairs of 16 bytes.
    """
    chosen, sizes = buckets(hash >> _ONE, twin, doc)
    doc, query, starts = doc[chosen], (hash[chosen] & _ONE).astype(bool), np.cumsum(sizes) - sizes
    asking = np.add.reduceat(query, starts, dtype=np.int64) if len(starts) else np.zeros(0, np.int64)

    pairs = [np.zeros((0, 2), np.uint64)]
    for size in np.unique(sizes[(sizes > 1) & (sizes <= GROUP_CAP) & (asking > 0)]).tolist():
        rows = starts[(sizes == size) & (asking > 0)][:, None] + np.arange(size)
        left, right = np.triu_indices(size, 1)
        members, asks = doc[rows], query[rows]
        use = asks[:, left] | asks[:, right]
        pairs.append(np.stack((members[:, left][use], members[:, right][use]), axis=1))
    big: dict[bytes, None] = {}
    for group in np.flatnonzero((sizes > GROUP_CAP) & (asking > 0)).tolist():
        here = slice(starts[group], starts[group] + sizes[group])
        if asking[group] > QUERY_CAP:
            big[doc[here].tobytes()] = None
        else:
            asks = doc[here][query[here]]
            both = np.stack((np.repeat(asks, sizes[group]), np.tile(doc[here], len(asks))), axis=1)
            pairs.append(both[both[:, 0] != both[:, 1]])
    groups = sorted((np.frombuffer(group, np.uint64) for group in big), key=lambda docs: docs.tolist())
    return Candidates(unique_pairs(np.concatenate(pairs)), groups)
