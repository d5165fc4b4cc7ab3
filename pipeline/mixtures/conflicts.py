"""Stage conflicts: documents that are alike and have different labels; after the last round of assign.

Alike are documents of equal text (case and white space aside) and verified near-duplicates, whatever became of them in dedup: see
`dedup.contradictions`. One task; pairs and documents go over scratch files, in half of `run.memory`; the labels that there are, each
once, are held.

    labels/conflicts.parquet     a row a pair: one of each label, with ids and similarity
    .work/conflicts/docs.arrow   (document, what the ledger says of it), by number
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from dedup.contradictions import Contradictions
from dedup.graph_files import Room, Sizes
from pipeline.files.commit import Attempt
from pipeline.files.stage_files import DOC_BITS, Files, manifests, opened, output_rows
from pipeline.files.tables import ZSTD_LEVEL
from pipeline.job import Job
from pipeline.matching.groups import owners, rows_of
from pipeline.matching.older import compared, first_number

FOLDER = "labels"
EXAMPLES = 20
LABEL = "carried.label"
BLOCK = 1 << 16
"""Pairs read or written at once."""
WORDS = 4
"""What a document takes while a range of them is held, as order words of a node (see `dedup.graph_files.Sizes`)."""

DOCS = pa.schema([("doc", pa.uint64()), ("detail", pa.string())])
PAIRS = pa.schema(
    [(name, pa.string()) for name in ("id", "label", "other_id", "other_label")] + [("similarity", pa.float64())]
)


def conflicts(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Counts: pairs, documents, the first pairs as examples."""
    with opened(job.output) as files, tempfile.TemporaryDirectory(prefix="gristmill-conflicts-") as scratch:
        corpus = _Corpus(job, files)
        room = Room(scratch, Sizes.within(job.memory // 2, WORDS))
        twins, near = corpus.twins(), corpus.near(task["round"])
        found = Contradictions(room, corpus.places, twins, near, corpus.labels)
        output = attempt.create("docs", ".work/conflicts/docs.arrow")
        with pa.ipc.new_file(output.temp, DOCS) as sink:
            for rows in _cut(found.rows()):
                sink.write_table(corpus.details(rows))
                output.rows += len(rows)
        pairs, examples = _write_pairs(corpus, found, attempt)
    return {"pairs": pairs, "documents": output.rows, "examples": examples}


def _write_pairs(corpus: _Corpus, found: Contradictions, attempt: Attempt) -> tuple[int, list[dict[str, Any]]]:
    """Writes the list of pairs, if there are any. Returns how many, and the first ones."""
    count, examples = 0, list[dict[str, Any]]()
    rows = (np.column_stack([pairs, similarity.view(np.int64)]) for pairs, similarity in found.pairs())
    with ExitStack() as stack:
        for block in _cut(rows):
            table = corpus.table(block)
            if not count:
                output = attempt.create("conflicts", f"{FOLDER}/conflicts.parquet")
                options = {"compression": "zstd", "compression_level": ZSTD_LEVEL, "version": "2.6"}
                writer = stack.enter_context(pq.ParquetWriter(output.temp, PAIRS, **options))
            writer.write_table(table)
            examples += table.slice(0, EXAMPLES - len(examples)).to_pylist()
            count += len(table)
            output.rows = count
    return count, examples


def _cut(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The same rows, BLOCK at a time but for the last."""
    held = None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block])
        whole = len(held) - len(held) % BLOCK
        for start in range(0, whole, BLOCK):
            yield held[start : start + BLOCK]
        held = held[whole:]
    if held is not None and len(held):
        yield held


class _Corpus:
    """The run's own documents by place (0, 1, ... in the order of their numbers), and their labels as numbers: places in the
    order of labels."""

    def __init__(self, job: Job, files: Files) -> None:
        self._job, self._files, self._older = job, files, first_number(job)
        self._manifests = [m for m in compared(job) if m["index"] < int(self._older >> np.uint64(DOC_BITS))]
        self._starts = np.cumsum([0, *(output_rows(m, "docs") for m in self._manifests)])
        self.places = int(self._starts[-1])
        found = [pc.unique(files.table(m, "features")[LABEL]) for m in self._manifests]
        self._names = pc.unique(pa.chunked_array(found, pa.string())).drop_null().sort()

    def twins(self) -> Iterator[np.ndarray]:
        """Pairs of equal text, without documents of earlier corpora."""
        for manifest in manifests(self._job.output, "match"):
            yield from (pairs for pairs, _ in self._pairs(self._files.table(manifest, "twins")))

    def near(self, assigned: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Verified pairs and their similarity, likewise."""
        if self._job.refine["minhash"]:
            probed = (m for number in range(assigned) for m in manifests(self._job.output, f"probe-{number}"))
            for manifest in itertools.chain(manifests(self._job.output, "match"), probed):
                for pairs, batch in self._pairs(self._files.table(manifest, "edges")):
                    yield pairs, batch["similarity"].to_numpy()

    def _pairs(self, table: pa.Table) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
        for batch in table.to_batches(max_chunksize=BLOCK):
            docs = np.stack([batch["a"].to_numpy(), batch["b"].to_numpy()], axis=1)
            own = (docs < self._older).all(axis=1)
            yield self._starts[owners(docs[own])] + rows_of(docs[own]), batch.filter(pa.array(own))

    def labels(self, low: int, high: int) -> np.ndarray:
        """int64: the number of each label of some places, -1 where there is none."""
        values = pa.chunked_array(self._values(low, high, LABEL), pa.string())
        return pc.fill_null(pc.index_in(values, self._names), -1).to_numpy().astype(np.int64)

    def _values(self, low: int, high: int, column: str) -> list[pa.Array]:
        found: list[pa.Array] = []
        first, last = np.searchsorted(self._starts, [low, high - 1], side="right") - 1
        for at in range(first, last + 1):
            start, rows = self._starts[at], output_rows(self._manifests[at], "docs")
            some = slice(max(low - start, 0), min(high - start, rows))
            found += self._files.table(self._manifests[at], "features")[column][some].chunks
        return found

    def _of(self, places: np.ndarray, column: str) -> pa.Array:
        """A column (text) of the features for places in any order."""
        told, back = np.unique(places, return_inverse=True)
        task = np.searchsorted(self._starts, told, side="right") - 1
        found: list[pa.Array] = []
        for at in np.unique(task).tolist():
            rows = pa.array(told[slice(*np.searchsorted(task, [at, at + 1]).tolist())] - self._starts[at])
            found += self._files.table(self._manifests[at], "features")[column].take(rows).chunks
        return pa.chunked_array(found, pa.string()).combine_chunks().take(pa.array(back))

    def details(self, rows: np.ndarray) -> pa.Table:
        """Rows of DOCS of (document, one that contradicts it, label, label)."""
        label, other_label = (self._names.take(pa.array(rows[:, side])) for side in (2, 3))
        ids = self._of(rows[:, 1], "id")
        task = np.searchsorted(self._starts, rows[:, 0], side="right") - 1
        docs = (task.astype(np.uint64) << np.uint64(DOC_BITS)) + (rows[:, 0] - self._starts[task]).astype(np.uint64)
        told = pc.binary_join_element_wise("labelled ", label, ", ", ids, " ", other_label, "")
        return pa.table([pa.array(docs), told], schema=DOCS)

    def table(self, rows: np.ndarray) -> pa.Table:
        """Rows of PAIRS of (document, document, bits of the similarity)."""
        sides = [self._of(rows[:, side], name) for side in (0, 1) for name in ("id", LABEL)]
        return pa.table([*sides, rows[:, 2].copy().view(np.float64)], schema=PAIRS)


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
