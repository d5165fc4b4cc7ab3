"""Verdicts on every document that a pair names.

    for some in decide(Graph(nodes, edges, loose, twins), scratch, memory=1 << 30):
        some.doc, some.kept, some.keeper, ...

Without keys the graph is decided in memory or on files, whichever fits (`dedup.external`); with keys on files
(`dedup.external_keyed`), which costs a small graph some ms.
"""

from __future__ import annotations

from collections.abc import Iterator

from dedup.external import decide_texts
from dedup.external_keyed import decide_keyed
from dedup.graph import Decisions, Graph


def decide(graph: Graph, folder: str, memory: int) -> Iterator[Decisions]:
    """Chunks of decisions, documents ascending; `folder` is for scratch files. ValueError if a pair names a document
    that is no node."""
    keys = graph.keys
    has_keys = any(len(pairs) for pairs, _ in keys())
    return (decide_keyed if has_keys else decide_texts)(graph, folder, memory)
