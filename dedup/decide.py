"""Verdicts on every document that a pair names: in memory here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dedup.keyed import keyed_survivors
from dedup.survivors import cluster_keys, components, survivors

Pairs = np.ndarray


@dataclass(frozen=True)
class Graph:
    nodes: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]
    edges: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]
    loose: Callable[[], Iterator[np.ndarray]]
    twins: Callable[[], Iterator[np.ndarray]]
    keys: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]] = lambda: iter(())


@dataclass(frozen=True)
class Decisions:
    doc: np.ndarray
    kept: np.ndarray
    keeper: np.ndarray
    similarity: np.ndarray
    twin: np.ndarray
    cluster_key: np.ndarray
    cluster: np.ndarray
    cluster_size: np.ndarray
    kind: np.ndarray


def decide(graph: Graph, folder: str, memory: int) -> Iterator[Decisions]:
    found = list(graph.nodes())
    if not found:
        return
    docs, first = np.unique(np.concatenate([f[0] for f in found]), return_index=True)
    words = np.concatenate([f[1] for f in found])[first]
    order = np.lexsort((docs, *words.T[::-1]))
    rank = np.empty(len(docs), np.int64)
    rank[order] = np.arange(len(docs))
    none = np.empty((0, 2), np.uint64)
    edges = list(graph.edges())
    pairs = np.searchsorted(docs, np.concatenate([none, *(e[0] for e in edges)]))
    sims = np.concatenate([np.empty(0), *(e[1] for e in edges)])
    twins = np.searchsorted(docs, np.concatenate([none, *graph.twins()]))
    loose = np.searchsorted(docs, np.concatenate([none, *graph.loose()]))
    keyed = list(graph.keys())
    keys = np.searchsorted(docs, np.concatenate([none, *(k[0] for k in keyed)]))
    if len(keys):
        verdict = keyed_survivors(rank, pairs, sims, twins, keys, np.concatenate([k[1] for k in keyed]))
    else:
        verdict = survivors(rank, pairs, sims, twins)
    whole = components(len(docs), rank[np.concatenate([pairs, twins, loose, keys])])[rank]
    label = order[whole]
    keeper = np.where(verdict.kept, np.arange(len(docs)), verdict.duplicate_of)
    yield Decisions(
        docs,
        verdict.kept,
        docs[keeper],
        verdict.similarity,
        verdict.twin,
        cluster_keys(label, words[:, -2:]),
        docs[label],
        np.bincount(label, minlength=len(docs))[label],
        verdict.kind,
    )
