"""Verdicts on every document that a pair names.

    for some in decide(Graph(nodes, edges, loose, twins), scratch, memory=1 << 30):
        some.doc, some.kept, some.keeper, ...

Without keys the graph is decided in memory or on files, whichever fits (`dedup.external`). Documents that share keys are
decided in memory, whatever their number: about 200 bytes for each that is in a pair.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dedup.external import decide_texts
from dedup.graph import Decisions, Graph
from dedup.keyed import keyed_survivors
from dedup.survivors import cluster_keys, components


def decide(graph: Graph, folder: str, memory: int) -> Iterator[Decisions]:
    """Chunks of decisions, documents ascending; `folder` is for scratch files. ValueError if a pair names a document
    that is no node."""
    keyed = list(graph.keys())
    return _decide_keyed(graph, keyed) if keyed else decide_texts(graph, folder, memory)


def _decide_keyed(graph: Graph, keyed: list[tuple[np.ndarray, np.ndarray]]) -> Iterator[Decisions]:
    docs, words, rank, order = _nodes(graph)
    none = np.empty((0, 2), np.uint64)
    edges = list(graph.edges())
    pairs = np.searchsorted(docs, np.concatenate([none, *(e[0] for e in edges)]))
    similarities = np.concatenate([np.empty(0), *(e[1] for e in edges)])
    twins = np.searchsorted(docs, np.concatenate([none, *graph.twins()]))
    loose = np.searchsorted(docs, np.concatenate([none, *graph.loose()]))
    keys = np.searchsorted(docs, np.concatenate([k[0] for k in keyed]))
    verdict = keyed_survivors(rank, pairs, similarities, twins, keys, np.concatenate([k[1] for k in keyed]))
    cluster = order[components(len(docs), rank[np.concatenate([pairs, twins, loose, keys])])[rank]]
    keeper = np.where(verdict.kept, np.arange(len(docs)), verdict.duplicate_of)
    yield Decisions(
        doc=docs,
        kept=verdict.kept,
        keeper=docs[keeper],
        similarity=verdict.similarity,
        twin=verdict.twin,
        cluster=docs[cluster],
        cluster_key=cluster_keys(cluster, words[:, -2:]),
        cluster_size=np.bincount(cluster, minlength=len(docs))[cluster],
        kind=verdict.kind,
    )


def _nodes(graph: Graph) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Documents ascending, their order words, their ranks, and the documents' places in the order of ranks."""
    found = list(graph.nodes())
    docs, first = np.unique(np.concatenate([f[0] for f in found]), return_index=True)
    words = np.concatenate([f[1] for f in found])[first]
    order = np.lexsort((docs, *words.T[::-1]))
    rank = np.empty(len(docs), np.int64)
    rank[order] = np.arange(len(docs))
    return docs, words, rank, order
