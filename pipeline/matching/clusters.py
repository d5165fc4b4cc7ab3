"""What is published of a document besides itself: the marks of its cluster, and its copies.

    keep: none-removed              nobody goes; rows carry `cluster` (id, null if alone) and `cluster_size`
    mix: ...                        a document may be written several times (`pipeline.mixtures.mixing`); rows carry `epoch` (0, 1, ...)
    upsample: {2: 2, 10: 3}         a mixture by the size of clusters: who is left of a cluster of 2 to 9 documents is written
                                    twice, of 10 and more three times; rows carry `cluster_size` and `epoch`

FineWeb-2 weights what deduplication left by the size of its cluster (Penedo et al. 2025, section 5, "rehydration"). A
document's cluster is what verified pairs connect, and what the cap on comparisons left uncompared.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from filters.step import set_column
from pipeline import ledger
from pipeline.chat.tables_out import shape_names, written_schema
from pipeline.files.stage_files import manifests
from pipeline.job import Job
from pipeline.matching.groups import mixed
from pipeline.mixtures.mix import CLUSTER


def published_schema(job: Job) -> pa.Schema:
    """Columns of a kept record."""
    part = job.refine
    schema = ledger.kept_schema(part["signals"], part["chat"], bool(part["labels"]), part["parts"])
    mix = job.publish["mix"]
    if job.near["marks"]:
        schema = schema.append(pa.field("cluster", pa.string()))
    if job.near["marks"] or (mix and CLUSTER in mix["by"]):
        schema = schema.append(pa.field("cluster_size", pa.int64()))
    if job.publish["split"]["folds"]:
        schema = schema.append(pa.field("fold", pa.int64()))
    schema = schema.append(pa.field("epoch", pa.int64())) if mix else schema
    return schema.append(pa.field("augmented_from", pa.string())) if job.publish["augment"] else schema


def corpus_schema(job: Job) -> pa.Schema:
    """Columns of what is written: those of `published_schema`, or of a layout with what its conversations need."""
    layout = job.publish["layout"]
    if layout is None:
        return published_schema(job)
    bits = 0
    for manifest in manifests(job.output, "refine"):
        bits |= manifest["counts"]["shape"]
    return written_schema(published_schema(job), layout, shape_names(bits))


def with_cluster(table: pa.Table) -> pa.Table:
    """With a column `cluster`: 32 hex digits, the smallest key of the cluster; null for a document alone."""
    halves = zip(table["cluster0"].to_pylist(), table["cluster1"].to_pylist(), table["cluster_size"].to_pylist())
    names = [f"{first:016x}{second:016x}" if size > 1 else None for first, second, size in halves]
    return set_column(table, "cluster", pa.array(names, pa.string()))


def with_fold(job: Job, table: pa.Table) -> pa.Table:
    """With a column `fold`, the number of the fold that a document stands in, where the recipe asks for folds."""
    if not job.publish["split"]["folds"]:
        return table
    fold = table["split"].to_numpy().astype(np.int64) - (len(job.publish["splits"]) - job.publish["split"]["folds"])
    return set_column(table, "fold", pa.array(fold, pa.int64(), mask=fold < 0))


def repeated(job: Job, table: pa.Table, parts: np.ndarray) -> Iterator[pa.Table]:
    """Rows as they are, then once more those that are written a second time, and so on, each time elsewhere. `table`
    has split, position, part and times; `parts`: output shards of each split, uint64."""
    if not job.publish["mix"]:
        yield table
        return
    times = table["times"].to_numpy()
    for epoch in range(int(times.max(initial=0))):
        rows = table.filter(pa.array(times > epoch))
        rows = set_column(rows, "epoch", pa.array(np.full(len(rows), epoch), pa.int64()))
        yield moved(job, rows, parts, epoch) if epoch and len(rows) else rows


def moved(job: Job, rows: pa.Table, parts: np.ndarray, number: int) -> pa.Table:
    """Rows at a place of their own, by a hash of the first place and `number`."""
    position = mixed(rows["position"].to_numpy() + np.uint64(number), 2 * job.publish["seed"] + 1)
    part = ((position >> np.uint64(32)) * parts[rows["split"].to_numpy()]) >> np.uint64(32)
    rows = set_column(rows, "position", pa.array(position))
    return set_column(rows, "part", pa.array(part.astype(np.int32)))
