"""Survivors, their keepers and clusters of a graph of any size within a memory budget: equal to `dedup.survivors`.

Only documents that some pair touches are nodes; who is in no pair stays and need not be known here.

    graph = Graph(nodes, edges, loose, twins)              functions that give chunks, again at each call
    for some in decide_texts(graph, scratch, memory=1 << 30):    documents in ascending order
        some.doc, some.kept, some.keeper, ...

What fits the budget is decided in memory. Otherwise nodes are ranked by sorting on files (`graph_ranks`), pairs renamed to
ranks, equal texts contracted, and ranges of ranks decided in turn (`graph_ranges`); the last steps give each node
the names of its keeper and cluster and bring the documents back into order.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dedup.columns import frozen
from dedup.graph import KEPT, KEY, NEAR, TWIN, Decisions, Graph
from dedup.graph_files import Column, Room, Sizes, Spool
from dedup.graph_ranges import Ranges, components, first_set, keepers, ordered
from dedup.graph_ranks import Numbers, Ranked, lexical_order, ranked
from kernels.graph import first_independent_set, smallest_members
from kernels.ranges import gather, settle

# What deciding in memory takes at the peak: bytes a node besides its words, a word of a node, a pair. Measured with 5 M
# nodes of 3 words and 10 M edges: 1.2 GB, for which this says 1.6.
_NODE_BYTES, _WORD_BYTES, _PAIR_BYTES = 120, 16, 80


def decide_texts(graph: Graph, folder: str | Path, memory: int, sizes: Sizes | None = None) -> Iterator[Decisions]:
    """Chunks of decisions, documents ascending, about `memory` bytes at the peak (chunks of the graph on top).

    `folder`: where a scratch folder is made if the graph is larger than that; it is removed at the end. `sizes`:
    on files and in steps of these sizes, whatever the budget. ValueError if a pair names a document that is no node.
    """
    if sizes is None:
        held = _held(graph, memory)
        if held is not None:
            yield from _in_memory(*held)
            return
        sizes = Sizes.within(memory, next(words.shape[1] for _, words in graph.nodes()))
    scratch = tempfile.mkdtemp(prefix="graph-", dir=folder)
    try:
        yield from _on_files(graph, Room(scratch, sizes))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


# -- in memory -------------------------------------------------------------------------------------


def _held(graph: Graph, memory: int) -> list[list[Any]] | None:
    """All chunks of nodes, edges, loose pairs and twins, or None if they do not fit."""
    taken, held = 0, list[list[Any]]()
    for source in (graph.nodes, graph.edges, graph.loose, graph.twins):
        held.append(chunks := [])
        for chunk in source():
            if source == graph.nodes:
                taken += len(chunk[0]) * (_NODE_BYTES + _WORD_BYTES * chunk[1].shape[1])
            else:
                taken += len(chunk[0] if source == graph.edges else chunk) * _PAIR_BYTES
            if taken > memory:
                return None
            chunks.append(chunk)
    return held


def _in_memory(nodes: list[Any], edges: list[Any], loose: list[Any], twins: list[Any]) -> Iterator[Decisions]:
    """As `survivors` decides, on ranks."""
    doc, words = (
        np.concatenate(column) for column in zip(*nodes or [(np.empty(0, np.uint64), np.empty((0, 2), np.uint64))])
    )
    nodes.clear()
    if not (doc[1:] > doc[:-1]).all():
        doc, first = np.unique(doc, return_index=True)
        words = words[first]
    n, order, rank = len(doc), lexical_order([*words.T, doc]), np.empty(len(doc), np.int64)
    rank[order] = np.arange(n)
    table, by_rank, keys = Numbers(doc, rank), doc[order], words[order, -2:]
    edge_rows = _renamed(table, [pair_rows(*chunk) for chunk in edges], 3)
    edges.clear()
    twin_pairs, loose_pairs = _renamed(table, twins, 2), _renamed(table, loose, 2)
    del order, words, table

    node = np.arange(n)
    smallest_members(node, twin_pairs)
    cluster = np.arange(n)
    for pairs in (edge_rows, loose_pairs, twin_pairs):
        smallest_members(cluster, pairs)
    if len(twin_pairs):
        edge_rows = np.column_stack([node[edge_rows[:, :2]], edge_rows[:, 2]])
    edge_rows = frozen(ordered(edge_rows), np.int64)
    alive, keeper, similarity = np.ones(n, bool), np.arange(n), np.full(n, np.nan)
    first_independent_set(edge_rows, alive)
    settle(edge_rows, edge_rows.view(np.float64), 0, alive, keeper, similarity, np.empty((0, 3), np.int64))
    del edge_rows

    least, size = _gathered(cluster, keys)
    for start in range(0, n, 1 << 18):
        some = rank[start : start + (1 << 18)]
        best, root = node[some], cluster[some]
        twin = alive[best] & (best != some)
        yield Decisions(
            doc=doc[start : start + len(some)],
            kept=alive[best] & ~twin,
            keeper=by_rank[keeper[best]],
            similarity=np.where(twin, 1.0, similarity[best]),
            twin=twin,
            cluster=by_rank[root],
            cluster_key=least[root],
            cluster_size=size[root],
            kind=np.zeros(len(some), np.uint8),
        )


def _renamed(table: Numbers, chunks: list[np.ndarray], width: int) -> np.ndarray:
    """int64 (n, width), frozen; takes the chunks away."""
    pairs = np.concatenate([np.empty((0, width), np.uint64), *chunks])
    chunks.clear()
    table.rename(pairs, 0, pairs)
    table.rename(pairs, 1, pairs)
    return frozen(pairs.view(np.int64), np.int64)


def _gathered(cluster: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each cluster its smallest key uint64 (n, 2) and its size int64 (n,)."""
    least, size = np.full((len(keys), 2), 2**64 - 1, np.uint64), np.zeros(len(keys), np.int64)
    step = 1 << 18
    for start in range(0, len(keys), step):
        root = cluster[start : start + step].astype(np.uint64)
        rows = np.column_stack([root, root, keys[start : start + step]])
        gather(frozen(rows, np.uint64), 0, least, size)
    return least, size


# -- on files --------------------------------------------------------------------------------------


def _on_files(graph: Graph, room: Room) -> Iterator[Decisions]:
    known = ranked(room, graph.nodes)
    ranges = Ranges(known.nodes, room.sizes.span)
    node, twins = _contracted(room, known, ranges, graph.twins())
    edges = by_range(room, "edges", known, ranges, (pair_rows(*chunk) for chunk in graph.edges()), 3)
    loose = by_range(room, "loose", known, ranges, graph.loose(), 2)
    cluster = components(room, "cluster", ranges, [edges, loose])
    state, back = first_set(room, ranges, edges)
    found = room.spool("found", 3, len(ranges))  # (keeper, index and why, similarity)
    members = room.spool("members", 4, len(ranges))  # (cluster, index, key, key)
    for number, bounds in enumerate(ranges):
        keeper, similarity = keepers(state, back, number, bounds)
        kept = keeper == np.arange(*bounds)
        root = cluster.read(*bounds)[:, 0]
        for at, index, keys, twin in _members_of(known, node, twins, number, bounds):
            is_twin = kept[at] & twin
            why = np.where(is_twin, TWIN, np.where(kept[at], KEPT, NEAR)).astype(np.uint64)
            like = np.where(is_twin, 1.0, similarity[at]).view(np.uint64)
            found.add(
                ranges.of(keeper[at]), np.column_stack([keeper[at].view(np.uint64), index * np.uint64(4) + why, like])
            )
            members.add(ranges.of(root[at]), np.column_stack([root[at], index, keys]))
    yield from by_document(known, *named(room, known, ranges, found, members))


def pair_rows(pairs: np.ndarray, similarities: np.ndarray) -> np.ndarray:
    """Rows of three words, the last the bits of a float64."""
    weights = np.ascontiguousarray(similarities, np.float64).view(np.uint64)
    return np.column_stack([np.asarray(pairs, np.uint64).reshape(-1, 2), weights])


def by_range(room: Room, name: str, known: Ranked, ranges: Ranges, chunks: Iterable[np.ndarray], width: int) -> Spool:
    """Pairs of documents as pairs of ranks, by the range of the better."""
    spool = room.spool(name, width, len(ranges))
    for rows in known.rename(f"{name}-named", chunks):
        pairs = ordered(rows)
        spool.add(ranges.of(pairs[:, 0]), pairs)
    return spool


def _contracted(
    room: Room, known: Ranked, ranges: Ranges, twins: Iterable[np.ndarray]
) -> tuple[Column | None, Spool | None]:
    """By rank the best-ranked of equal text, whose number `known` then gives for all of them; and (best, index, key,
    key) of the others by range of the best. None for both if no texts are equal."""
    pairs = by_range(room, "twins", known, ranges, twins, 2)
    if not pairs.rows:
        return None, None
    node = components(room, "node", ranges, [pairs])
    others = room.spool("others", 4, len(ranges))
    numbers = room.spool("best", 2, len(known.bounds) + 1)
    for number, bounds in enumerate(ranges):
        pairs.drop(number)
        best = node.read(*bounds)[:, 0]
        other = best != np.arange(*bounds, dtype=np.uint64)
        rows, best = known.table.read(*bounds)[other], best[other]
        others.add(ranges.of(best), np.column_stack([best, rows[:, 1:]]))
        numbers.add(known.parts_of(rows[:, 1]), np.column_stack([rows[:, 1], best]))
    known.place(numbers)
    return node, others


def _members_of(
    known: Ranked, node: Column | None, twins: Spool | None, number: int, bounds: tuple[int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, bool]]:
    """(place of the node in the range, index, keys) of the documents that the nodes of a range stand for; whether they
    are others than the best one."""
    rows, place = known.table.read(*bounds), np.arange(bounds[1] - bounds[0])
    if node is None or twins is None:
        yield place, rows[:, 1], rows[:, 2:], False
        return
    best = node.read(*bounds)[:, 0] == np.arange(*bounds, dtype=np.uint64)
    yield place[best], rows[best, 1], rows[best, 2:], False
    for block in twins.blocks(number):
        yield block[:, 0].astype(np.int64) - bounds[0], block[:, 1], block[:, 2:], True
    twins.drop(number)


def named(room: Room, known: Ranked, ranges: Ranges, found: Spool, members: Spool) -> tuple[Spool, Spool]:
    """Of `found` (keeper, index and why it goes, similarity or kind of key) and `members` (cluster, index, key,
    key), by part of the documents: (index and why, keeper's document, similarity or kind) and (index, cluster's document, key, key,
    size)."""
    parts = len(known.bounds) + 1
    named, clustered = room.spool("named", 3, parts), room.spool("clustered", 5, parts)
    for number, (low, high) in enumerate(ranges):
        doc = known.table.read(low, high)[:, 0].copy()
        for block in found.blocks(number):
            block[:, 0], block[:, 1] = block[:, 1], doc[block[:, 0].astype(np.int64) - low]
            named.add(known.parts_of(block[:, 0] // np.uint64(4)), block)
        found.drop(number)
        least, size = np.full((high - low, 2), 2**64 - 1, np.uint64), np.zeros(high - low, np.int64)
        for block in members.blocks(number):
            gather(frozen(block, np.uint64), low, least, size)
        for block in members.blocks(number):
            at = block[:, 0].astype(np.int64) - low
            rows = np.column_stack([block[:, 1], doc[at], least[at], size[at].view(np.uint64)])
            clustered.add(known.parts_of(block[:, 1]), rows)
        members.drop(number)
    return named, clustered


def by_document(known: Ranked, named: Spool, clustered: Spool) -> Iterator[Decisions]:
    """Decisions, a part at a time; takes the spools away."""
    for part in range(len(named)):
        low, high = known.part(part)
        if low == high:
            continue
        why = np.empty(high - low, np.uint8)
        keeper, cluster = np.empty(high - low, np.uint64), np.empty((high - low, 4), np.uint64)
        like = np.empty(high - low, np.uint64)
        for block in named.blocks(part):
            at = (block[:, 0] // np.uint64(4)).astype(np.int64) - low
            why[at] = block[:, 0] % np.uint64(4)
            keeper[at], like[at] = block[:, 1], block[:, 2]
        for block in clustered.blocks(part):
            cluster[block[:, 0].astype(np.int64) - low] = block[:, 1:]
        yield Decisions(
            doc=known.docs.read(low, high)[:, 0],
            kept=why == KEPT,
            keeper=keeper,
            similarity=np.where(why == KEY, np.nan, like.view(np.float64)),
            twin=why == TWIN,
            cluster=cluster[:, 0],
            cluster_key=cluster[:, 1:3],
            cluster_size=cluster[:, 3].astype(np.int64),
            kind=np.where(why == KEY, like, 0).astype(np.uint8),
        )
        named.drop(part)
        clustered.drop(part)
