"""From bucket rows to the pairs worth comparing.

In: rows (hash, twin, doc), uint64 each: the hash of one band, the first 64 bits of the text's hash, and the
dense number of the document. Out: pairs of documents that share a band, and the groups too big for all pairs.

    hash  twin  doc
    77    5     0        documents 0 and 9 have equal texts: 0 stands for both here
    77    5     9
    77    8     3        ->  the pair (0, 3)

Nothing here says that two documents are alike: pages of one template share bands by their frame alone (a
cluster of 825 million unverified documents was reported, marin PR 8237), so pairs are verified and big groups
are worked through with representatives.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dedup.columns import frozen
from dedup.hashing import mix_in_place
from kernels.graph import order_rows, seen_again

# Documents of different text in a group up to which all pairs are compared: 64 give 2,016 pairs, 2 to 4
# ms once their sets are read. At this size a greedy pass with 64 representatives costs the same, so the cost has no
# step where the rule changes.
PAIRS_CAP = 64

# Representatives a document of a big group is compared with at most. A group of n costs at most 64 n
# comparisons.
REPRESENTATIVES_CAP = 64

NONE_OLDER = np.uint64((1 << 64) - 1)
"""Above all document numbers."""

Similar = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass
class Candidates:
    """`pairs`: uint64 (m, 2), unique, sorted, first < second. `big`: the groups above the cap, each uint64
    (k,), ordered by the hash of the text, that is by content and not by file; equal groups of several bands
    come once."""

    pairs: np.ndarray
    big: list[np.ndarray]


def candidate_pairs(hash: np.ndarray, twin: np.ndarray, doc: np.ndarray, cap: int = PAIRS_CAP) -> Candidates:
    """Candidates of bucket rows in any order, of any number of bands. Documents of equal twin are represented
    by the smallest number (see `twins`); a row given twice counts once.

    At the worst (all groups at the cap) a row gives 31 pairs of 16 bytes: a caller with millions of rows
    hands them over in ranges of `hash`.
    """
    rows, sizes = buckets(hash, twin, doc)
    doc, starts = doc[rows], np.cumsum(sizes) - sizes
    pairs = [np.zeros((0, 2), np.uint64)]
    for size in np.unique(sizes[(sizes > 1) & (sizes <= cap)]).tolist():
        members = doc[starts[sizes == size][:, None] + np.arange(size)]
        left, right = np.triu_indices(size, 1)
        pairs.append(np.stack((members[:, left].ravel(), members[:, right].ravel()), axis=1))
    large = np.flatnonzero(sizes > cap).tolist()
    groups = {doc[starts[i] : starts[i] + sizes[i]].tobytes(): None for i in large}
    big = sorted((np.frombuffer(group, np.uint64) for group in groups), key=lambda group: group.tolist())
    return Candidates(unique_pairs(np.concatenate(pairs)), big)


def buckets(hash: np.ndarray, twin: np.ndarray, doc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows (int64) one bucket after the other, in it by twin and only the smallest document of each; and the sizes of all these
    buckets. Those of one row need not be among them."""
    rows = gathered(hash, twin, doc)
    rows = rows[changes(hash[rows]) | changes(twin[rows])]
    starts = np.flatnonzero(changes(hash[rows]))
    return rows, np.diff(np.append(starts, len(rows)))


def shared(
    hash: np.ndarray, twin: np.ndarray, doc: np.ndarray, older: np.uint64 = NONE_OLDER, cap: int = PAIRS_CAP
) -> tuple[np.ndarray, np.ndarray]:
    """The rows (int64) that stand in a bucket with others, and for each a key to deal it by, uint64: where buckets with many
    common documents meet, a pair is verified once for all of them, and a set read once. Buckets in which all numbers are
    `older` or above are left out: of earlier documents alone nothing is decided.

    The key of a bucket is its smallest document, mixed. That of one above the cap is its hash: the buckets of a cluster of
    millions together would be too much for whoever gets them.
    """
    rows, sizes = buckets(hash, twin, doc)
    smallest = np.minimum.reduceat(doc[rows], np.cumsum(sizes) - sizes) if len(rows) else doc[rows]
    wanted = np.repeat((sizes > 1) & (smallest < older), sizes)
    keys = np.repeat(mix_in_place(smallest.astype(np.uint64)), sizes)
    keys = np.where(np.repeat(sizes > cap, sizes), hash[rows], keys)
    return rows[wanted], keys[wanted]


@dataclass
class Represented:
    """What comparing a big group with representatives found.

    `edges`: uint64 (m, 2), (representative, document) at or above the threshold, with `similarities` float64
    (m,). `loose`: uint64 (k, 2), pairs that only hold together what was not compared: for the components of
    the split, never for a removal. `compared`, `uncompared`: numbers of pairs."""

    edges: np.ndarray
    similarities: np.ndarray
    loose: np.ndarray
    compared: int
    uncompared: int


def represent(
    docs: np.ndarray,
    similar: Similar,
    threshold: float,
    cap: int = REPRESENTATIVES_CAP,
    rank: np.ndarray | None = None,
) -> Represented:
    """Compare the documents of a big group with at most `cap` representatives.

    The first document represents; all that are at or above the threshold to it get an edge and leave; the
    first of the rest represents next. So each document is compared with the representatives before it until
    one matches, and the work is linear in the documents. `rank` (as many as `docs`, lower is kept first) puts
    the documents in the order of the keep policy before: without it the middle of a star can be a document
    that is not kept, and its edges then remove nobody (of a star only the middle is removed if a leaf comes
    before it).

    `loose` is empty where every pair was compared or is connected by edges already.
    """
    rest = np.asarray(docs, np.uint64)
    if rank is not None:
        rest = rest[np.lexsort((rest, rank))]
    edges, similarities, apart = [np.zeros((0, 2), np.uint64)], [np.zeros(0)], []
    compared = 0
    matched_before = False
    while len(rest) and cap:
        representative, rest = rest[0], rest[1:]
        cap -= 1
        found = similar(np.full(len(rest), representative, np.uint64), rest)
        compared += len(rest)
        match = found >= threshold
        # a representative that met all others, before anyone had left, needs no loose edge
        if match.any() or matched_before:
            apart.append(representative)
            matched_before = True
        edges.append(np.stack((np.full(match.sum(), representative, np.uint64), rest[match]), axis=1))
        similarities.append(found[match])
        rest = rest[~match]
    joined = np.concatenate((np.array(apart, np.uint64), rest))
    loose = np.stack((np.full(len(joined[1:]), joined[0]), joined[1:]), axis=1) if len(joined) else joined
    pairs = len(docs) * (len(docs) - 1) // 2
    return Represented(
        np.concatenate(edges), np.concatenate(similarities), loose.reshape(-1, 2), compared, pairs - compared
    )


def twins(first: np.ndarray, second: np.ndarray, doc: np.ndarray) -> np.ndarray:
    """Documents of equal 128-bit hash (two halves, uint64 each): pairs (smallest number, other), uint64 (k, 2),
    sorted."""
    rows = gathered(first, second, doc)
    first, second, doc = first[rows], second[rows], doc[rows]
    starts = changes(first) | changes(second)
    winner = doc[starts][np.cumsum(starts) - 1]
    other = winner != doc
    return unique_pairs(np.stack((winner[other], doc[other]), axis=1))


def repeated(values: np.ndarray) -> np.ndarray:
    """int64: the rows whose hash is not the only one of its value, and some more. Most hashes of a corpus stand alone; to leave them
    out first is three times as fast as to sort them."""
    again = np.empty(len(values), bool)
    seen_again(frozen(values, np.uint64), again)
    return np.flatnonzero(again)


def gathered(hash: np.ndarray, second: np.ndarray, third: np.ndarray) -> np.ndarray:
    """int64: the rows that `repeated` finds, in the order of the columns."""
    rows = repeated(hash)
    return rows[ordered(hash[rows], second[rows], third[rows])]


def ordered(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> np.ndarray:
    """int64: the rows in the order of three uint64 columns."""
    order = np.empty(len(first), np.int64)
    order_rows(frozen(first, np.uint64), frozen(second, np.uint64), frozen(third, np.uint64), order)
    return order


def changes(ordered: np.ndarray) -> np.ndarray:
    """True where a value differs from the one before, and at the first."""
    changes = np.ones(len(ordered), bool)
    changes[1:] = ordered[1:] != ordered[:-1]
    return changes


def unique_pairs(pairs: np.ndarray) -> np.ndarray:
    """Sorted, each once, the smaller number first."""
    pairs = np.sort(pairs, axis=1)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return pairs[changes(pairs[:, 0]) | changes(pairs[:, 1])]
