"""Which documents stand on one side of the split whatever happens: its units.

Two kept documents are in one unit if they are in one near-duplicate cluster, share a value of a column of `by`, have one
URL, one source and id, or are parts of one text that was too long; and so on from each to the next. Who was removed as a duplicate ties nobody.

Everything is done on 64-bit names: a document's own name is the hash of its first group value, or its cluster's
smallest key folded. Own names that some document ties are the nodes of a graph, decided within the recipe's memory
(`dedup.external`); a unit bears the smallest group name in it, so a domain stays where it is when pages come to it:

    names.u64 -> units.u64     own names, ascending, that are not their unit's name; and the unit's name
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from dedup.external import decide_texts
from dedup.graph import Graph
from dedup.graph_files import Room, Spool
from pipeline.files.commit import Attempt
from pipeline.files.stage_files import DOC_BITS, manifests, opened, output_rows
from pipeline.job import Job
from pipeline.matching.groups import groups, rows_of
from pipeline.matching.older import STAGE, compared
from pipeline.splits.columns import split_fields

GROUP, CLUSTER, TIE = 0, 1, 2
"""Kinds of names, in the order in which they name a unit."""

BLOCK_PAIRS = 1 << 18


def needed(job: Job) -> bool:
    """Whether sides take more than a hash of the cluster: a stage of their own. Known once match is done."""
    more = job.publish["split"]
    asked = any(more[key] for key in ("by", "stratify", "counts", "times"))
    return len(job.publish["splits"]) > 1 and (
        asked or any(m["counts"]["ties"] for m in manifests(job.output, "match")) or _has_parts(job)
    )


def _has_parts(job: Job) -> bool:
    return job.refine["parts"] and any(m["counts"]["split"] for m in manifests(job.output, "refine"))


def folded(key0: np.ndarray, key1: np.ndarray) -> np.ndarray:
    """uint64: the name of a cluster, from its smallest key."""
    return key0 ^ (key1 << np.uint64(1))


@dataclass
class Members:
    """The kept documents of one task: `rows` int64 in its files; `own` names and `cluster` names, uint64; `several`: whether the
    cluster has more documents than this; `shared`: rows here (int64) and names (uint64) of what they share besides."""

    index: int
    features: pa.Table
    rows: np.ndarray
    own: np.ndarray
    cluster: np.ndarray
    several: np.ndarray
    shared: tuple[np.ndarray, np.ndarray]


def of_task(decided: pa.Table, index: int) -> pa.Table:
    """Decisions are in order of document numbers: those of one task are neighbours."""
    docs = decided["doc"].to_numpy()
    low, high = np.searchsorted(docs, np.array([index, index + 1], np.uint64) << np.uint64(DOC_BITS))
    return decided.slice(low, high - low)


def own_names(features: pa.Table, cluster: np.ndarray) -> np.ndarray:
    """uint64: of each document, by the first of its group values, or its cluster."""
    names, free = cluster.copy(), np.ones(len(cluster), bool)
    for column in _groups(features):
        here = free & column.is_valid().to_numpy(zero_copy_only=False)
        names[here] = column.fill_null(0).to_numpy()[here]
        free &= ~here
    return names


def _groups(features: pa.Table) -> list[pa.Array]:
    names = [name for name in features.schema.names if name.startswith("group")]
    return [features[name].combine_chunks() for name in names]


def members(job: Job, this_round: int, shared: Spool) -> Iterator[Members]:
    """The kept documents of each task, in order. `shared`: of `shared_names`."""
    resolved, all_groups = manifests(job.output, f"resolve-{this_round}")[0], groups(compared(job))
    split = [name for name, _ in _columns(job)]
    for number, group in enumerate(all_groups):
        if group[0]["stage"] == STAGE:
            continue
        rows = shared.whole(number)
        docs, names = rows[np.argsort(rows[:, 0], kind="stable")].T
        with opened(job.output) as files:
            decided = files.table(resolved, f"decisions-{number}")
            for manifest in group:
                index = manifest["index"]
                features = files.table(manifest, "features").select(["id", "key0", "key1", *split])
                here = slice(*np.searchsorted(docs, np.array([index, index + 1], np.uint64) << np.uint64(DOC_BITS)))
                yield _members(job, index, features, of_task(decided, index), (rows_of(docs[here]), names[here]))


def shared_names(job: Job, room: Room) -> Spool:
    """(document, name) of what documents share besides, dealt by their groups of files. Every ties file is opened once: with
    hundreds of groups and thousands of partitions, more would be millions of times (remotely: downloads)."""
    spool = room.spool("ties", 2, len(groups(compared(job))))
    for manifest in manifests(job.output, "match"):
        if output_rows(manifest, "ties"):
            with opened(job.output) as files:
                reader = files.arrow(manifest, "ties")
                for group in range(reader.num_record_batches):
                    batch = reader.get_batch(group)
                    spool.add(group, np.stack([batch["doc"].to_numpy(), batch["name"].to_numpy()], axis=1))
    return spool


def _columns(job: Job) -> list[tuple[str, Any]]:
    return [field for field in split_fields(job.refine["split"]) if field[0] != "page"]


def _members(
    job: Job, index: int, features: pa.Table, decided: pa.Table, shared: tuple[np.ndarray, np.ndarray]
) -> Members:
    rows = rows_of(decided["doc"].to_numpy())
    key0, key1 = features["key0"].to_numpy().copy(), features["key1"].to_numpy().copy()
    key0[rows], key1[rows] = decided["cluster0"].to_numpy(), decided["cluster1"].to_numpy()
    kept, several = np.ones(len(features), bool), np.zeros(len(features), bool)
    several[rows] = decided["cluster_size"].to_numpy() > 1
    if job.near["names"] and not job.near["marks"]:
        kept[rows] = decided["kept"].to_numpy(zero_copy_only=False)
    left, place = np.flatnonzero(kept), np.cumsum(kept) - 1
    if len(left) < len(features):
        features = features.take(pa.array(left))
    cluster = folded(key0, key1)[left]
    here = kept[shared[0]]
    found = place[shared[0][here]], shared[1][here]
    return Members(index, features, left, own_names(features, cluster), cluster, several[left], found)


# -- names that are tied ---------------------------------------------------------------------------


def join(job: Job, this_round: int, attempt: Attempt, shared: Spool, scratch: str) -> tuple[np.ndarray, np.ndarray]:
    """Writes the two files; returns them, memory-mapped or empty."""
    prefix = f".work/sides-{this_round}"
    names, units = attempt.create("names", f"{prefix}/names.u64"), attempt.create("units", f"{prefix}/units.u64")
    pairs = os.path.join(scratch, "pairs")
    with open(pairs, "wb") as file:
        for some in members(job, this_round, shared):
            _ties(some).tofile(file)
    graph = Graph(
        nodes=lambda: ((rows[:, :2].ravel(), _words(rows)) for rows in _blocks(pairs)),
        edges=lambda: iter(()),
        loose=lambda: (np.ascontiguousarray(rows[:, :2]) for rows in _blocks(pairs)),
        twins=lambda: iter(()),
    )
    with open(names.temp, "wb") as names_file, open(units.temp, "wb") as units_file:
        for found in decide_texts(graph, scratch, job.memory // 2) if os.path.getsize(pairs) else ():
            other = found.doc != found.cluster
            found.doc[other].astype("<u8").tofile(names_file)
            found.cluster[other].astype("<u8").tofile(units_file)
            names.rows += int(other.sum())
    units.rows = names.rows
    os.unlink(pairs)
    return _mapped(names.temp, names.rows), _mapped(units.temp, names.rows)


def _blocks(path: str) -> Iterator[np.ndarray]:
    """Rows of the scratch file: two names, and their kinds."""
    with open(path, "rb") as file:
        while len(words := np.fromfile(file, np.uint64, 4 * BLOCK_PAIRS)):
            yield words.reshape(-1, 4)


def _words(rows: np.ndarray) -> np.ndarray:
    """The order words of both ends of pairs, that choose the unit's name: kind, then name."""
    return np.stack([rows[:, 2:].ravel(), rows[:, :2].ravel()], axis=1)


def _mapped(path: str, rows: int) -> np.ndarray:
    return np.memmap(path, dtype="<u8", mode="r") if rows else np.empty(0, np.uint64)


def _ties(some: Members) -> np.ndarray:
    """uint64 (k, 4): pairs of names that documents of one task tie, each once, and their kinds."""
    grouped = np.zeros(len(some.own), bool)
    pieces = [np.empty((0, 4), np.uint64)]
    for column in _groups(some.features):
        has = column.is_valid().to_numpy(zero_copy_only=False)
        grouped |= has
        pieces.append(_rows(some.own[has], column.fill_null(0).to_numpy()[has], GROUP, GROUP))
    tied = grouped & some.several
    pieces.append(_rows(some.own[tied], some.cluster[tied], GROUP, CLUSTER))
    rows, names = some.shared
    pieces.append(_rows(some.own[rows], names, np.where(grouped[rows], GROUP, CLUSTER), TIE))
    if "part" in some.features.schema.names:
        column = some.features["part"].combine_chunks()
        has = column.is_valid().to_numpy(zero_copy_only=False)
        kind = np.where(grouped[has], GROUP, CLUSTER)
        pieces.append(_rows(some.own[has], column.fill_null(0).to_numpy()[has], kind, TIE))
    pairs = np.concatenate(pieces)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    first = np.append(True, (pairs[1:, :2] != pairs[:-1, :2]).any(axis=1))[: len(pairs)]
    return pairs[first]


def _rows(left: np.ndarray, right: np.ndarray, left_kind: np.ndarray | int, right_kind: int) -> np.ndarray:
    rows = np.empty((len(left), 4), np.uint64)
    for number, column in enumerate((left, right, left_kind, right_kind)):
        rows[:, number] = column
    return rows


def renamed(own: np.ndarray, names: np.ndarray, units: np.ndarray) -> np.ndarray:
    """uint64: the unit of each own name."""
    return looked_up(own, names, units, own)


def looked_up(keys: np.ndarray, table: np.ndarray, values: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """`values` at the places of the keys in an ascending table, `otherwise` where a key is not in it."""
    if not len(table) or not len(keys):
        return otherwise
    distinct, places = np.unique(keys, return_inverse=True)  # a table is a file: it is passed through once, in order
    at = np.minimum(np.searchsorted(table, distinct), len(table) - 1)
    return np.where((table[at] == distinct)[places], values[at][places], otherwise)
