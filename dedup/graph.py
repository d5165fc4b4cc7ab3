"""The graph of duplicates, and what is decided of it: the words that `dedup.external`, `dedup.keyed` and the pipeline
share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

KEPT, TWIN, KEY, NEAR = 0, 1, 2, 3
"""Why a document goes: not at all, for an equal text, an equal key, a similar text."""


@dataclass(frozen=True)
class Graph:
    """Functions that give the chunks of a graph, in any order, equal rows more than once or not; called several times.

    nodes   (documents uint64 (n,), order words uint64 (n, w)): every document that a pair names. Rows of words in
            ascending order are documents kept first to last; the last two words are the 128-bit key; the document's
            number decides between equal words.
    edges   (pairs uint64 (m, 2), similarities float64 (m,)): verified pairs.
    loose   pairs uint64 (k, 2) that only hold a cluster together.
    twins   pairs uint64 (k, 2) of documents of equal text.
    keys    (pairs uint64 (k, 2), kinds uint8 (k,), from 1) of documents with an equal key, such as a URL.
    """

    nodes: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]
    edges: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]
    loose: Callable[[], Iterator[np.ndarray]]
    twins: Callable[[], Iterator[np.ndarray]]
    keys: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]] = lambda: iter(())


@dataclass
class Decisions:
    """Of n documents, in ascending order of their numbers.

    doc           uint64
    kept          bool
    keeper        uint64: the kept document it duplicates, itself if kept
    similarity    float64: to that document, NaN if kept
    twin          bool: removed because its text equals that of the kept document it names
    cluster       uint64: the best-ranked document of its component over edges, loose pairs and twins
    cluster_key   uint64 (n, 2): the smallest 128-bit key in that component
    cluster_size  int64: documents in that component
    kind          uint8: the kind of the key it shares with the keeper, 0 if that is not why it goes
    """

    doc: np.ndarray
    kept: np.ndarray
    keeper: np.ndarray
    similarity: np.ndarray
    twin: np.ndarray
    cluster: np.ndarray
    cluster_key: np.ndarray
    cluster_size: np.ndarray
    kind: np.ndarray
