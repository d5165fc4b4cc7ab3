"""Who stays where documents can be equal by a key (a URL, a column) too.

As `dedup.survivors`, but equal texts are no longer one node for everything: they share what is similar to their text,
not the keys of each other. So documents are taken one by one in the order of the policy; one is kept unless a kept one
has its text, one of its keys, or a similar text.

    1 and 2 have one text, 2 and 3 one URL, order 1, 2, 3   ->   1 and 3 kept: nobody who is kept has the URL of 3

In memory and by places; a run decides by the same rule on files (`dedup.external_keyed`).
"""

import numpy as np

from dedup.columns import frozen
from dedup.graph import KEPT, KEY, NEAR, TWIN
from dedup.survivors import Verdict, _as_pairs, _keepers, components
from kernels.keyed import keyed_independent_set


def keyed_survivors(
    order: np.ndarray,
    edges: np.ndarray,
    similarities: np.ndarray,
    twin_pairs: np.ndarray,
    key_pairs: np.ndarray,
    kinds: np.ndarray,
) -> Verdict:
    """As `dedup.survivors.survivors`, with pairs of equal key (k, 2) and the number of their step (uint8, from 1).

    An equal text is named before an equal key, that before a similar text; of several keys that of the first step, of
    several documents the best-ranked (of similar texts the most similar). The similarity of an equal key is NaN.
    """
    order = np.asarray(order, np.int64)
    n = len(order)
    ranked, twins, keys = order[_as_pairs(edges)], order[_as_pairs(twin_pairs)], order[_as_pairs(key_pairs)]
    node = components(n, twins)
    ends = np.sort(node[ranked], axis=1)
    real = ends[:, 0] != ends[:, 1]
    ends, weights = ends[real], np.asarray(similarities, np.float64)[real]

    node_kept, why = np.full(n, -1, np.int64), np.zeros(n, np.uint8)
    struck, blocked = np.zeros(n, bool), np.zeros(n, bool)
    near, equal = beside(n, ends), beside(n, keys)
    keyed_independent_set(0, n, 0, frozen(node, np.int64), *near, *equal, struck, blocked, node_kept, why)
    kept = why == KEPT

    near_keeper, near_similarity = _keepers(n, node_kept >= 0, ends, weights)
    key_keeper, key_kind = _key_keepers(n, kept, keys, np.asarray(kinds, np.uint8))
    keeper = np.where(why == TWIN, node_kept[node], np.where(why == KEY, key_keeper, node_kept[near_keeper[node]]))
    similarity = np.where(why == TWIN, 1.0, np.where(why == NEAR, near_similarity[node], np.nan))
    cluster = components(n, np.concatenate((ranked, twins, keys)))

    document = np.empty(n, np.int64)
    document[order] = np.arange(n)
    named = np.where(kept, -1, document[keeper]) if n else keeper
    kind = np.where(why == KEY, key_kind, 0).astype(np.uint8)
    return Verdict(
        kept[order], named[order], similarity[order], (why == TWIN)[order], document[cluster[order]], kind[order]
    )


def beside(n: int, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of each of n nodes: offsets int64 (n + 1), nodes int64."""
    both = np.concatenate((pairs, pairs[:, ::-1]))
    both = both[np.argsort(both[:, 0], kind="stable")]
    ends = np.concatenate(([0], np.cumsum(np.bincount(both[:, 0], minlength=n))))
    return frozen(ends, np.int64), frozen(both[:, 1], np.int64)


def _key_keepers(n: int, kept: np.ndarray, keys: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The kept document of equal key of each document, -1 if none, and the kind of that key."""
    here, there, kind = np.append(keys[:, 0], keys[:, 1]), np.append(keys[:, 1], keys[:, 0]), np.tile(kinds, 2)
    use = kept[there]
    here, there, kind = here[use], there[use], kind[use]
    order = np.lexsort((there, kind, here))
    first = order[np.flatnonzero(np.diff(here[order], prepend=-1))]
    keeper, of = np.full(n, -1, np.int64), np.zeros(n, np.uint8)
    keeper[here[first]], of[here[first]] = there[first], kind[first]
    return keeper, of
