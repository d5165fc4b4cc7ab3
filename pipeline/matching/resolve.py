"""Stage resolve: from verified pairs to who stays: one verdict on every document that any pair names.

Documents without a pair need no verdict and cost nothing here. The graph is decided in memory if it fits into the
recipe's memory, else (and always where documents share keys) over partition files; the answer is the same (`dedup.decide`).
Round 0 works on what match found, each later round also on what probing held-out documents found (`pipeline.splits.assign`).

Files, one for each group of document files:

    decisions   verdicts of the group's documents, by number
    wanted      (keeper, document): whose ids the ledger needs, in the keeper's group
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from dedup.decide import decide
from dedup.graph import Decisions, Graph
from pipeline.files.commit import Attempt
from pipeline.files.stage_files import Files, manifests, opened
from pipeline.job import Job
from pipeline.matching.groups import group_starts
from pipeline.matching.older import compared

DECISIONS = pa.schema(
    [
        ("doc", pa.uint64()),
        ("kept", pa.bool_()),
        ("keeper", pa.uint64()),  # the document itself if kept
        ("similarity", pa.float64()),
        ("twin", pa.bool_()),
        ("cluster0", pa.uint64()),  # the smallest key in its cluster
        ("cluster1", pa.uint64()),
        ("cluster", pa.uint64()),  # the document of the cluster that the policy ranks first
        ("cluster_size", pa.int64()),
        ("kind", pa.uint8()),  # 1, 2, ...: the exact step whose key it shares with the keeper
    ]
)
WANTED = pa.schema([("keeper", pa.uint64()), ("doc", pa.uint64())])


def resolve(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """One round. Counts: documents in pairs, how many of them stay, verified pairs, the largest clusters."""
    prefix = f".work/resolve-{task['round']}"
    counts: dict[str, Any] = {"docs": 0, "kept": 0}
    clusters = _Largest()
    with opened(job.output) as files, ExitStack() as stack:
        graph = _graph(job, files, task["round"])
        starts = group_starts(compared(job))
        decisions = _Grouped(stack, attempt, "decisions", prefix, DECISIONS, starts)
        wanted = _Grouped(stack, attempt, "wanted", prefix, WANTED, starts)
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="gristmill-resolve-"))
        for found in decide(graph, scratch, job.memory // 2):
            decisions.write(found.doc, _columns(found))
            removed = np.flatnonzero(~found.kept)
            wanted.write(found.keeper[removed], [found.keeper[removed], found.doc[removed]])
            clusters.add(found)
            counts["docs"] += len(found.doc)
            counts["kept"] += int(found.kept.sum())
    return {**counts, "clusters": clusters.count, "largest": clusters.largest}


def _graph(job: Job, files: Files, this_round: int) -> Graph:
    matched = manifests(job.output, "match")
    probed = [m for number in range(this_round) for m in manifests(job.output, f"probe-{number}")]
    near = matched if job.refine["minhash"] else []
    removes_texts = not job.near["names"] or bool({"exact", "minhash"} & job.near["names"].keys())

    def tables(found: list[dict[str, Any]], name: str) -> Iterator[pa.Table]:
        for manifest in found:
            table = files.table(manifest, name)
            if len(table):
                yield table

    def pairs(found: list[dict[str, Any]], name: str) -> Iterator[np.ndarray]:
        return (np.stack([t["a"].to_numpy(), t["b"].to_numpy()], axis=1) for t in tables(found, name))

    return Graph(
        nodes=lambda: (
            (t["doc"].to_numpy(), np.stack([c.to_numpy() for c in t.columns[1:]], axis=1))
            for t in tables([*matched, *probed], "nodes")
        ),
        edges=lambda: (
            (np.stack([t["a"].to_numpy(), t["b"].to_numpy()], axis=1), t["similarity"].to_numpy())
            for t in tables([*near, *probed], "edges")
        ),
        # equal texts that no step removes stand on one side of the split all the same
        loose=lambda: itertools.chain(pairs(near, "loose"), iter(()) if removes_texts else pairs(matched, "twins")),
        twins=lambda: pairs(matched, "twins") if removes_texts else iter(()),
        keys=lambda: (
            (np.stack([t["a"].to_numpy(), t["b"].to_numpy()], axis=1), t["kind"].to_numpy())
            for t in tables(matched if job.refine["keys"] else [], "key_edges")
        ),
    )


def _columns(found: Decisions) -> list[np.ndarray]:
    key = found.cluster_key
    return [
        found.doc, found.kept, found.keeper, found.similarity, found.twin,
        key[:, 0], key[:, 1], found.cluster, found.cluster_size, found.kind,
    ]  # fmt: skip


class _Grouped:
    """An Arrow file for each group of document files; rows go to the group of a document number."""

    def __init__(
        self, stack: ExitStack, attempt: Attempt, name: str, prefix: str, schema: pa.Schema, starts: np.ndarray
    ) -> None:
        self._schema, self._starts = schema, starts
        self._outputs = [attempt.create(f"{name}-{g}", f"{prefix}/{g:06d}.{name}.arrow") for g in range(len(starts))]
        self._sinks = [stack.enter_context(pa.ipc.new_file(output.temp, schema)) for output in self._outputs]

    def write(self, docs: np.ndarray, columns: list[np.ndarray]) -> None:
        group = np.searchsorted(self._starts, docs, side="right") - 1
        order = np.argsort(group, kind="stable")
        for number, rows in zip(*_runs(group, order)):
            batch = [pa.array(column[rows], field.type) for column, field in zip(columns, self._schema)]
            self._sinks[number].write_batch(pa.record_batch(batch, schema=self._schema))
            self._outputs[number].rows += len(rows)


def _runs(group: np.ndarray, order: np.ndarray) -> tuple[list[int], list[np.ndarray]]:
    """Each group that occurs, and its rows in their order."""
    numbers, starts = np.unique(group[order], return_index=True)
    return numbers.tolist(), np.split(order, starts[1:]) if len(numbers) else []


class _Largest:
    """The largest clusters: [[document that ranks first, size], ...], and how many clusters there are."""

    def __init__(self) -> None:
        self.count = 0
        self.largest: list[list[int]] = []

    def add(self, found: Decisions) -> None:
        heads = found.doc == found.cluster
        self.count += int(heads.sum())
        docs, sizes = found.doc[heads], found.cluster_size[heads]
        best = np.lexsort((docs, -sizes))[:100]
        merged = self.largest + [[int(d), int(s)] for d, s in zip(docs[best], sizes[best])]
        self.largest = sorted(merged, key=lambda item: (-item[1], item[0]))[:100]
