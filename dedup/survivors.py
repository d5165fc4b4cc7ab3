"""Who stays: the first maximal independent set, by the keep policy, over the graph of verified pairs.

Documents are taken in the order of the policy; one is kept unless a kept neighbour exists, else it is removed
and names the kept neighbour it is most similar to. That set is unique, so it hangs on no order of edges,
files or workers; each removed document is at or above the threshold to the kept one it names; no two kept
documents share an edge.

    order 0, 1, 2 and edges 0-1, 1-2 (0 and 2 unlike)  ->  0 and 2 kept, 1 removed: duplicate_of 0

The closure of a chain is not taken: 2 is no duplicate of 0. Twins (equal texts) are one node: their shingle
sets are equal, so what one is similar to, all are.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dedup.columns import frozen
from kernels.graph import first_independent_set, most_similar, smallest_members


@dataclass
class Verdict:
    """One entry for each document number.

    kept          bool
    duplicate_of  int64: the kept document it duplicates, -1 if kept
    similarity    float64: to that document, NaN if kept
    twin          bool: removed because its text equals that of the kept document it names
    cluster       int64: the best-ranked document of its connected component (edges and twins)
    kind          uint8: the step of the key that it shares with the kept one (see `dedup.keyed`), else 0
    """

    kept: np.ndarray
    duplicate_of: np.ndarray
    similarity: np.ndarray
    twin: np.ndarray
    cluster: np.ndarray
    kind: np.ndarray


def survivors(order: np.ndarray, edges: np.ndarray, similarities: np.ndarray, twin_pairs: np.ndarray) -> Verdict:
    """Decide about n documents.

    `order` int64 (n,): rank of each document, a permutation, 0 is kept first (the keep policy).
    `edges` (m, 2) with `similarities` (m,): verified pairs, any order and direction, repeats allowed.
    `twin_pairs` (k, 2): documents of equal text.

    A twin of a kept document names it with 1.0; a twin of a removed one names that one's keeper with its
    similarity. Of several kept neighbours the most similar is named, of equally similar ones the best-ranked.
    """
    order = np.asarray(order, np.int64)
    n = len(order)
    edges, twin_pairs = _as_pairs(edges), _as_pairs(twin_pairs)
    # work on ranks: then "better" is "smaller" and the smallest member of a node or component is its best
    ranked = order[edges]
    node = components(n, order[twin_pairs])
    ends = np.sort(node[ranked], axis=1)
    real = ends[:, 0] != ends[:, 1]
    ends, weights = ends[real], np.asarray(similarities, np.float64)[real]

    alive = _first_independent_set(n, ends)
    keeper, similarity = _keepers(n, alive, ends, weights)
    keeper, similarity = keeper[node], similarity[node]  # from nodes to their members
    is_best = node == np.arange(n)
    kept = alive[node] & is_best
    twin = alive[node] & ~is_best
    keeper[twin], similarity[twin] = node[twin], 1.0
    cluster = components(n, np.concatenate((ranked, order[twin_pairs])))

    document = np.empty(n, np.int64)
    document[order] = np.arange(n)
    named = np.where(kept, -1, document[keeper]) if n else keeper
    no_key = np.zeros(n, np.uint8)
    return Verdict(kept[order], named[order], similarity[order], twin[order], document[cluster[order]], no_key)


def _first_independent_set(n: int, ends: np.ndarray) -> np.ndarray:
    """bool (n,): nodes kept. `ends` (m, 2): the better first."""
    alive = np.ones(n, bool)
    first_independent_set(frozen(ends, np.int64), alive)
    return alive


def _keepers(n: int, alive: np.ndarray, ends: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each node its most similar kept neighbour (the node itself if none) and the similarity (NaN if
    none)."""
    keeper, similarity = np.arange(n), np.full(n, np.nan)
    most_similar(frozen(ends, np.int64), frozen(weights, np.float64), alive, keeper, similarity)
    return keeper, similarity


def components(n: int, edges: np.ndarray) -> np.ndarray:
    """The smallest member of the connected component of each of n nodes: int64 (n,)."""
    parent = np.arange(n)
    smallest_members(parent, frozen(_as_pairs(edges), np.int64))
    return parent


def cluster_keys(cluster: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The smallest 128-bit key (see `exact.record_keys`) of each document's cluster: uint64 (n, 2)."""
    by = np.lexsort((keys[:, 1], keys[:, 0], cluster))
    labels, first = np.unique(cluster[by], return_index=True)
    return keys[by[first]][np.searchsorted(labels, cluster)]


def _as_pairs(pairs: Any) -> np.ndarray:
    return np.asarray(pairs, np.int64).reshape(-1, 2)
