"""Stage probe: held-out documents against all others, exactly.

LSH finds nearly all pairs; a split without leaks needs all of those that cross it. One task compares some groups'
held-out documents with one group of document files. Held-out documents are taken so many at a time that their shingles
fit into the recipe's memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dedup.join import HeldoutIndex
from pipeline.files.commit import Attempt
from pipeline.files.stage_files import Files, manifests, opened, output_rows
from pipeline.job import Job
from pipeline.matching.groups import groups, numbers
from pipeline.matching.near import EDGES, unique_pairs, write_nodes, write_table
from pipeline.matching.older import STAGE, compared, first_number
from pipeline.matching.sets import Documents

BLOCK = 2048
"""Documents probed at a time."""


def heldout_chunks(job: Job, this_round: int) -> list[tuple[list[int], list[int]]]:
    """(groups whose held-out documents of a round are probed together, groups they are compared with): the shingles of
    the first take a quarter of the memory or less. Old documents are compared with new ones only."""
    members = groups(compared(job))
    own = [number for number, group in enumerate(members) if group[0]["stage"] != STAGE]
    return [(chunk, list(range(len(members))) if set(chunk) & set(own) else own) for chunk in _chunks(job, this_round)]


def _chunks(job: Job, this_round: int) -> list[list[int]]:
    chunks: list[list[int]] = []
    held = 0
    share = 4 if job.near["similarity"] == "jaccard" else 12  # the index for containment holds all shingles
    for manifest in manifests(job.output, f"assign-{this_round}"):
        counts = manifest["counts"]
        if not counts["heldout"]:
            continue
        size = 8 * counts["heldout_shingles"]
        if not chunks or held + size > job.memory // share:
            chunks.append([])
            held = 0
        chunks[-1].append(manifest["index"])
        held += size
    return chunks


def probe(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """All pairs at or above the threshold between held-out documents and one group."""
    pairs, similarities = [np.empty((0, 2), dtype=np.uint64)], [np.empty(0)]
    with opened(job.output) as files:
        docs, offsets, values = _heldout(job, files, task)
        index = HeldoutIndex(offsets, values, job.near["threshold"], job.near["similarity"])
        sets = Documents(job, files)
        older = first_number(job)
        for manifest in groups(compared(job))[task["group"]]:
            rows = output_rows(manifest, "docs")
            for first in range(0, rows, BLOCK):
                block = numbers(manifest["index"], first, min(BLOCK, rows - first))
                left, right, similarity = index.probe(*sets.gather(block))
                others = block[right]
                distinct = (docs[left] != others) & (np.minimum(docs[left], others) < older)
                pairs.append(np.stack([docs[left][distinct], others[distinct]], axis=1))
                similarities.append(similarity[distinct])
        found, values_out = unique_pairs(np.concatenate(pairs), np.concatenate(similarities))
        prefix = f".work/probe-{task['round']}/{task['index']:06d}"
        write_table(attempt, "edges", f"{prefix}.edges.arrow", EDGES, [found[:, 0], found[:, 1], values_out])
        write_nodes(job, attempt, f"{prefix}.nodes.arrow", sets, [found])
    return {"pairs": len(found)}


def _heldout(job: Job, files: Files, task: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(documents, offsets, shingles) of the groups that the task holds."""
    assigned = manifests(job.output, f"assign-{task['round']}")
    held = [assigned[group] for group in task["held"]]
    tables = [files.table(manifest, "heldout") for manifest in held]
    docs = np.concatenate([table["doc"].to_numpy() for table in tables])
    sizes = np.concatenate([np.diff(table["shingle_end"].to_numpy(), prepend=0) for table in tables])
    values = np.concatenate([files.uint64(manifest, "heldout_shingles") for manifest in held])
    return docs, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), values
