"""As `dedup.external`, for graphs with pairs of equal key: equal to `dedup.keyed`, within a memory budget.

Documents are decided range by range (`dedup.graph_keyed`); then, who is kept being known, each removed one is
offered its kept neighbours, once over similar texts and once over keys (`dedup.graph_ranges`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dedup.external import by_document, by_range, named, pair_rows
from dedup.graph import KEPT, KEY, NEAR, TWIN, Decisions, Graph
from dedup.graph_files import Column, Room, Sizes, Spool
from dedup.graph_keyed import contracted, keyed_set
from dedup.graph_ranges import Ranges, components, keepers, settled
from dedup.graph_ranks import Ranked, ranked


def decide_keyed(graph: Graph, folder: str | Path, memory: int, sizes: Sizes | None = None) -> Iterator[Decisions]:
    """Chunks of decisions, documents ascending, about `memory` bytes at the peak. Arguments and errors as
    `dedup.external.decide_texts`."""
    sizes = sizes or Sizes.within(memory, next(words.shape[1] for _, words in graph.nodes()))
    scratch = tempfile.mkdtemp(prefix="graph-", dir=folder)
    try:
        yield from _on_files(graph, Room(scratch, sizes))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _on_files(graph: Graph, room: Room) -> Iterator[Decisions]:
    known = ranked(room, graph.nodes)
    ranges = Ranges(known.nodes, room.sizes.span)
    key_pairs = graph.keys  # the lower number of a key first, and the better document of one key: as the most similar, with -kind for similarity
    keys = by_range(room, "keys", known, ranges, (pair_rows(p, -k.astype(np.float64)) for p, k in key_pairs()), 3)
    loose = by_range(room, "loose", known, ranges, graph.loose(), 2)
    twins = by_range(room, "twins", known, ranges, graph.twins(), 2)
    node = components(room, "node", ranges, [twins])
    links = contracted(room, known, ranges, node)
    edges = by_range(room, "edges", known, ranges, (pair_rows(*chunk) for chunk in graph.edges()), 3)
    cluster = components(room, "cluster", ranges, [twins, edges, loose, keys])
    for number in range(len(ranges)):
        twins.drop(number)
        loose.drop(number)

    found = room.spool("found", 3, len(ranges))
    kept_texts = room.spool("kept", 2, len(ranges))  # (text, its kept document)
    asking = room.spool("asking", 2, len(ranges))  # (text, index of a document that goes for a similar one)
    whys = room.column("why", 1)
    decided = keyed_set(room, ranges, node, links, edges, keys)
    for bounds, (why, keeper) in zip(ranges, decided):
        text, index = node.read(*bounds)[:, 0], known.table.read(*bounds)[:, 1]
        kept = why == KEPT
        kept_texts.add(ranges.of(text[kept]), np.column_stack([text, keeper.view(np.uint64)])[kept])
        for some, like in ((KEPT, np.nan), (TWIN, 1.0)):
            mine = why == some
            _add(found, ranges, keeper[mine], index[mine], some, np.full(mine.sum(), like))
        near = why == NEAR
        asking.add(ranges.of(text[near]), np.column_stack([text, index])[near])
        whys.write(bounds[0], why.astype(np.uint64))
    _offer_similar(room, ranges, edges, kept_texts, asking, found)
    _offer_keys(room, known, ranges, keys, whys, found)
    yield from by_document(known, *named(room, known, ranges, found, _members(room, known, ranges, cluster)))


def _add(found: Spool, ranges: Ranges, keeper: np.ndarray, index: np.ndarray, why: int, like: np.ndarray) -> None:
    rows = np.column_stack([keeper.view(np.uint64), index * np.uint64(4) + np.uint64(why), like.view(np.uint64)])
    found.add(ranges.of(keeper), rows)


def _members(room: Room, known: Ranked, ranges: Ranges, cluster: Column) -> Spool:
    """(cluster, index, key, key) by the range of the cluster's best document."""
    members = room.spool("members", 4, len(ranges))
    for bounds in ranges:
        root = cluster.read(*bounds)[:, 0]
        members.add(ranges.of(root), np.column_stack([root, known.table.read(*bounds)[:, 1:]]))
    return members


def _offer_similar(room: Room, ranges: Ranges, edges: Spool, kept_texts: Spool, asking: Spool, found: Spool) -> None:
    """The kept document of the most similar kept text, for those that ask."""

    def kept(number: int) -> np.ndarray:
        low, high = ranges[number]
        document = np.full(high - low, -1)
        for block in kept_texts.blocks(number):
            document[(block[:, 0] - np.uint64(low)).astype(np.int64)] = block[:, 1].view(np.int64)
        return document

    state, back = settled(room, "similar", ranges, edges, lambda number, told: kept(number) >= 0)
    offered = room.spool("offered", 3, len(ranges))  # (text, index, similarity)
    for number, bounds in enumerate(ranges):
        keeper, similarity = keepers(state, back, number, bounds)
        for block in asking.blocks(number):
            at = block[:, 0].astype(np.int64) - bounds[0]
            rows = np.column_stack([keeper[at].view(np.uint64), block[:, 1], similarity[at].view(np.uint64)])
            offered.add(ranges.of(keeper[at]), rows)
        asking.drop(number)
    for number, (low, _) in enumerate(ranges):
        document = kept(number)
        for block in offered.blocks(number):
            keeper = document[block[:, 0].astype(np.int64) - low]
            _add(found, ranges, keeper, block[:, 1], NEAR, block[:, 2].copy())
        offered.drop(number)


def _offer_keys(room: Room, known: Ranked, ranges: Ranges, keys: Spool, whys: Column, found: Spool) -> None:
    """The best kept document of equal key, of the first key."""

    def kept(number: int, told: Spool) -> np.ndarray:
        return whys.read(*ranges[number])[:, 0] == KEPT

    state, back = settled(room, "keyed", ranges, keys, kept)
    for number, bounds in enumerate(ranges):
        keeper, kind = keepers(state, back, number, bounds)
        some = whys.read(*bounds)[:, 0] == KEY
        index = known.table.read(*bounds)[some, 1]
        _add(found, ranges, keeper[some], index, KEY, (-kind[some]).astype(np.uint64))
