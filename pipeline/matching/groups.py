"""Numbers of documents, groups of document files, partitions of hashes: the arithmetic that stages share.

A document's number is task << 32 | row in that task's files. All of it depends on the documents alone, never on
memory, workers or engine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dedup.containment import LEAST_ROWS, SAMPLE
from pipeline.files.stage_files import DOC_BITS, output_rows
from pipeline.job import Job

GROUP = 64
GROUP_DOCS = 1_000_000
"""A group is as many neighbouring tasks: 20,000 shards x 4,096 partitions would be 82 million slices of files. The
second bound is for short documents: a group's keys, verdicts and names are held in memory together."""

Tiers = tuple[tuple[int, int], ...]
"""(rows of a partition, about; partitions up to which that holds), more and more of both."""

PARTITION_ROWS: Tiers = ((1 << 19, 1024), (1 << 23, 1 << 31))
"""(rows a match task gets, about; tasks up to which that holds). The cost is in verification, and each task verifies a pair
anew; half a million rows last half a second; from 1,024 tasks on fewer slices of files matter more, and 8 million rows are
sorted in 600 MB."""

BUCKET_TASKS = 256

CUT_ROWS: Tiers = ((1 << 19, 64), (1 << 21, 1 << 31))
"""What a cut's task sorts in memory, 100 bytes a row at the worst. Half a million stay closer to the cache (windows of
77 MB: 1.2 s of sorting, with two million 2.0); from 64 tasks on fewer files matter more."""


def numbers(index: int, start: int, rows: int) -> np.ndarray:
    """Document numbers of `rows` rows of task `index` from row `start` on."""
    return (np.uint64(index) << np.uint64(DOC_BITS)) + np.arange(start, start + rows, dtype=np.uint64)


def owners(docs: np.ndarray) -> np.ndarray:
    """int64: the task of each document."""
    return (docs >> np.uint64(DOC_BITS)).astype(np.int64)


def rows_of(docs: np.ndarray) -> np.ndarray:
    """int64: the row of each document in its task's files."""
    return (docs & np.uint64((1 << DOC_BITS) - 1)).astype(np.int64)


def partitions(job: Job, refined: list[dict[str, Any]]) -> int:
    """How many match tasks there are: a power of two, from the number of documents alone."""
    docs, shingles = (sum(output_rows(manifest, name) for manifest in refined) for name in ("docs", "shingles"))
    sketch, rows = job.refine["minhash"], (2 + len(job.refine["keys"]) + has_pages(job)) * docs
    if sketch:
        rows += docs * sketch["bands"] if "bands" in sketch else max(docs * LEAST_ROWS, shingles // SAMPLE)
    return partition_count(rows, PARTITION_ROWS)


def bucket_tasks(job: Job, refined: list[dict[str, Any]]) -> int:
    """How many tasks deal the rows of shared hashes once more: one for eight partitions, BUCKET_TASKS at most, for each
    partition opens each of their files. None for one partition, where all rows are together anyway."""
    count = partitions(job, refined)
    return min(-(-count // 8), BUCKET_TASKS) if job.refine["minhash"] and count > 1 else 0


def has_pages(job: Job) -> bool:
    """Whether documents of one URL are held together in the split."""
    return bool(job.refine["split"] and job.refine["split"]["urls"])


def partition_count(rows: int, tiers: Tiers) -> int:
    """A power of two, so that a partition has as many rows as the tiers say."""
    count = 1
    for each, most in tiers:
        wanted = 1 << (rows // each).bit_length()
        if wanted <= most:
            return max(count, wanted)
        count = most
    return count


def groups(refined: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Manifests of document files in groups of neighbours, in task order; old documents apart (`pipeline.matching.older`)."""
    result: list[list[dict[str, Any]]] = []
    docs = 0
    for manifest in refined:
        rows = output_rows(manifest, "docs")
        full = not result or len(result[-1]) == GROUP or docs + rows > GROUP_DOCS
        if full or result[-1][0]["stage"] != manifest["stage"]:
            result.append([])
            docs = 0
        result[-1].append(manifest)
        docs += rows
    return result


def group_starts(refined: list[dict[str, Any]]) -> np.ndarray:
    """uint64: the smallest document number of each group; with `np.searchsorted(..., side="right") - 1` the group of a
    document."""
    first = [group[0]["index"] for group in groups(refined)]
    return np.array(first, dtype=np.uint64) << np.uint64(DOC_BITS)


def mixed(values: np.ndarray, seed: int) -> np.ndarray:
    """uint64 -> uint64, one to one and well spread, another order for each seed (splitmix64's finaliser)."""
    x = values ^ np.uint64((seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) & 0xFFFFFFFFFFFFFFFF)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
