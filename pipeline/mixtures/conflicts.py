"""Stage conflicts: documents that are alike and have different labels; after the last round of assign.

Alike are documents of equal text (case and white space aside) and verified near-duplicates, whatever became of them in dedup. Equal
texts are one node: of a node and of two neighbouring nodes each document whose label another one contradicts is in
conflict. One task, which holds all pairs at once, whatever `run.memory` says: about 400 bytes a pair at its peak, and the ids of those
in conflict.

    labels/conflicts.parquet     a row a pair: one of each label, with ids and similarity
    .work/conflicts/docs.arrow   (document, what the ledger says of it), by number
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from pipeline.files.commit import Attempt
from pipeline.files.stage_files import DOC_BITS, Files, manifests, opened
from pipeline.files.tables import ZSTD_LEVEL
from pipeline.job import Job
from pipeline.matching.groups import owners, rows_of
from pipeline.matching.older import compared, first_number

FOLDER = "labels"
EXAMPLES = 20
BLOCK = 1 << 16
"""Pairs written at once."""

DOCS = pa.schema([("doc", pa.uint64()), ("detail", pa.string())])
PAIRS = pa.schema(
    [(name, pa.string()) for name in ("id", "label", "other_id", "other_label")] + [("similarity", pa.float64())]
)


def conflicts(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Counts: pairs, documents, the first pairs as examples."""
    with opened(job.output) as files:
        edges, similarity, twins = _pairs(job, files, task["round"])
        docs = np.unique(np.concatenate([edges.ravel(), twins.ravel()]))
        names, label = _labels(job, files, docs)
        found = contradictions(np.searchsorted(docs, edges), similarity, np.searchsorted(docs, twins), label)
        told = np.unique(np.concatenate([found.pairs.ravel(), found.rows]))
        named = _Named(told, _values(job, files, docs[told], "id"), names, label)
        details = pc.binary_join_element_wise(
            "labelled ", named.labels(found.rows), ", ", named.ids(found.others), " ", named.labels(found.others), ""
        )
        output = attempt.create("docs", ".work/conflicts/docs.arrow")
        with pa.ipc.new_file(output.temp, DOCS) as sink:
            sink.write_table(pa.table([pa.array(docs[found.rows]), details], schema=DOCS))
        output.rows = len(found.rows)
    if len(found.pairs):
        output = attempt.create("conflicts", f"{FOLDER}/conflicts.parquet")
        with pq.ParquetWriter(
            output.temp, PAIRS, compression="zstd", compression_level=ZSTD_LEVEL, version="2.6"
        ) as writer:
            for start in range(0, len(found.pairs), BLOCK):
                writer.write_table(named.table(found, slice(start, start + BLOCK)))
        output.rows = len(found.pairs)
    examples = named.table(found, slice(0, EXAMPLES)).to_pylist()
    return {"pairs": len(found.pairs), "documents": len(found.rows), "examples": examples}


@dataclass
class _Named:
    """Ids (of the rows `told`, ascending) and labels (`names` by the numbers `label`) of rows as Arrow columns."""

    told: np.ndarray
    names_of: pa.ChunkedArray
    names: pa.Array
    label: np.ndarray

    def ids(self, rows: np.ndarray) -> pa.ChunkedArray:
        return self.names_of.take(pa.array(np.searchsorted(self.told, rows)))

    def labels(self, rows: np.ndarray) -> pa.Array:
        return self.names.take(pa.array(self.label[rows]))

    def table(self, found: Contradictions, some: slice) -> pa.Table:
        """Some of the pairs as rows of PAIRS."""
        one, other = found.pairs[some].T
        columns = [self.ids(one), self.labels(one), self.ids(other), self.labels(other), found.similarity[some]]
        return pa.table(columns, schema=PAIRS)


def _pairs(job: Job, files: Files, assigned: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(near pairs, their similarity, pairs of equal text), without documents of earlier corpora."""
    matched = manifests(job.output, "match")
    probed = [m for number in range(assigned) for m in manifests(job.output, f"probe-{number}")]
    near, likeness, equal = [np.empty((0, 2), np.uint64)], [np.empty(0)], [np.empty((0, 2), np.uint64)]
    for manifest in [*matched, *probed] if job.refine["minhash"] else []:
        table = files.table(manifest, "edges")
        near.append(np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1))
        likeness.append(table["similarity"].to_numpy())
    for manifest in matched:
        table = files.table(manifest, "twins")
        equal.append(np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1))
    edges, similarity, twins = np.concatenate(near), np.concatenate(likeness), np.concatenate(equal)
    own = (edges < first_number(job)).all(axis=1)
    return edges[own], similarity[own], twins[(twins < first_number(job)).all(axis=1)]


def _labels(job: Job, files: Files, docs: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """The labels there are, in order, and the number of each document's (-1: it has none)."""
    values = _values(job, files, docs, "carried.label")
    names = pc.drop_null(pc.unique(values)).sort()
    return names, pc.fill_null(pc.index_in(values, names), -1).to_numpy().astype(np.int64)


def _values(job: Job, files: Files, docs: np.ndarray, column: str) -> pa.ChunkedArray:
    """A column (text) of the features for documents in the order of their numbers."""
    found: list[pa.Array] = []
    owner = owners(docs)
    for manifest in compared(job):
        mine = docs[slice(*np.searchsorted(owner, [manifest["index"], manifest["index"] + 1]).tolist())]
        if len(mine):
            found += files.table(manifest, "features")[column].take(pa.array(rows_of(mine))).chunks
    return pa.chunked_array(found, pa.string())


# -- who contradicts whom --------------------------------------------------------------------------


@dataclass(frozen=True)
class Contradictions:
    """`pairs` (n, 2) with `similarity`: rows that are alike and have two labels; `rows`: all rows in conflict, and one that
    contradicts each in `others`."""

    pairs: np.ndarray
    similarity: np.ndarray
    rows: np.ndarray
    others: np.ndarray


def contradictions(edges: np.ndarray, similarity: np.ndarray, twins: np.ndarray, label: np.ndarray) -> Contradictions:
    """Of documents 0..n-1 with labels (int64, -1: none), near pairs (int64 (m, 2)) and pairs (first of equal texts, other).

    A pair is listed for each document of a text whose label is not the smallest of that text, and for each pair of texts
    that have two labels between them.
    """
    n = len(label)
    text = np.arange(n)
    text[twins[:, 1]] = twins[:, 0]
    known = np.flatnonzero(label >= 0)
    low, high = _extremes(n, text[known], known, label[known])
    inside = known[label[known] != label[low[text[known]]]]
    edges, similarity = edges[(low[text[edges]] < n).all(axis=1)], similarity[(low[text[edges]] < n).all(axis=1)]
    a, b = text[edges[:, 0]], text[edges[:, 1]]
    ways = [np.stack(way, axis=1) for way in ((low[a], low[b]), (high[a], low[b]), (low[a], high[b]))]
    differ = [label[way[:, 0]] != label[way[:, 1]] for way in ways]
    chosen = np.select([each[:, None] for each in differ], ways, 0)
    some = np.any(differ, axis=0)
    pairs = np.sort(np.concatenate([np.stack([low[text[inside]], inside], axis=1), chosen[some]]), axis=1)
    pairs, first = np.unique(pairs, axis=0, return_index=True)
    alike = np.concatenate([np.ones(len(inside)), similarity[some]])[first]
    # a text's labels and those of its neighbours
    rows, near = np.concatenate([known, low[a], high[a], low[b], high[b]]), np.concatenate([text[known], b, b, a, a])
    low, high = _extremes(n, near, rows, label[rows])
    least, most = low[text[known]], high[text[known]]
    out = (label[least] != label[known]) | (label[most] != label[known])
    others = np.where(label[least] != label[known], least, most)
    return Contradictions(pairs, alike, known[out], others[out])


def _extremes(n: int, text: np.ndarray, rows: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each text the first row with its smallest label, and the first with its largest; n if it has none."""
    found = []
    for order in (np.lexsort((-rows, -label)), np.lexsort((-rows, label))):
        at = np.full(n, n, np.int64)
        at[text[order]] = rows[order]  # of several the last one stays
        found.append(at)
    return found[0], found[1]


# -- what others read ------------------------------------------------------------------------------


def stage_of(job: Job, assigned: int) -> list[str]:
    """The stage's name, if the job has labels."""
    return [f"conflicts-{assigned}"] if job.refine["labels"] else []


def details(job: Job, files: Files, assigned: int, index: int, rows: int) -> np.ndarray:
    """What the ledger says of each document of a task that is in conflict (object array, else None)."""
    found = np.full(rows, None, dtype=object)
    for stage in stage_of(job, assigned):
        table = files.table(manifests(job.output, stage)[0], "docs")
        docs = table["doc"].to_numpy()
        here = slice(*np.searchsorted(docs, np.array([index, index + 1], np.uint64) << np.uint64(DOC_BITS)).tolist())
        found[rows_of(docs[here])] = table["detail"][here].to_numpy(zero_copy_only=False)
    return found


def without_conflicts(job: Job, files: Files, assigned: int, index: int, split: np.ndarray) -> np.ndarray:
    """Split numbers, -1 for documents that the recipe drops for a label in conflict."""
    if (job.refine["labels"] or {}).get("conflicts") != "drop":
        return split
    return np.where(details(job, files, assigned, index, len(split)) != None, -1, split).astype(split.dtype)  # noqa: E711
