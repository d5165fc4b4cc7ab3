"""Stage assign: for one group of document files, which side of the split each document stands on.

In:  the group's features, and what resolve decided of those of its documents that are in pairs
Out: verdicts    a record batch for each task of the group, a row for each of its documents
     names       a record batch for each group of document files: (document there, id of its keeper here)
     heldout     documents that stand outside the largest split and have not been probed, with their shingles

Rounds of resolve, assign and probe end when nobody new stands outside: each held-out document has then been compared
with every document, exactly, and no pair at or above the threshold can stand on two sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from pipeline.files.commit import Attempt
from pipeline.files.stage_files import Files, manifests, opened
from pipeline.job import Job
from pipeline.ledger import count_rejects
from pipeline.matching.groups import groups, numbers, owners, rows_of
from pipeline.matching.near import write_table
from pipeline.matching.older import STAGE, compared
from pipeline.matching.partitions import write_marks
from pipeline.matching.sets import Documents
from pipeline.splits.columns import ACROSS, STEP
from pipeline.splits.report import add_strata
from pipeline.splits.standing import Standing
from pipeline.splits.units import of_task

EXACT, NEAR = 1, 2
KEY = 2  # why of the n-th key (from 1) is KEY + n; what leaks across time comes last

VERDICTS = pa.schema(
    [
        ("split", pa.int16()),  # number of the split in the recipe's order, -1 if removed
        ("why", pa.uint8()),  # number in `why_words`: 0 kept, EXACT, NEAR, KEY + the number of the key, last the split
        ("similarity", pa.float64()),
        ("cluster0", pa.uint64()),
        ("cluster1", pa.uint64()),
        ("cluster_size", pa.int64()),
    ]
)
NAMES = pa.schema([("doc", pa.uint64()), ("id", pa.string()), ("corpus", pa.string())])  # corpus: an earlier one's path
HELDOUT = pa.schema([("doc", pa.uint64()), ("shingle_end", pa.int64())])


def assign(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Counts: rows and bytes of each split in each task, rejects by step and reason, documents still to probe."""
    group, this_round = task["index"], task["round"]
    members = groups(compared(job))[group]
    prefix = f".work/assign-{this_round}/{group:06d}"
    counts: dict[str, Any] = {"rejected": {}, "tasks": [], "sources": {}, "strata": {}}
    heldout: list[np.ndarray] = [np.empty(0, dtype=np.uint64)]
    with opened(job.output) as files:
        resolved = manifests(job.output, f"resolve-{this_round}")[0]
        decided = files.table(resolved, f"decisions-{group}")
        standing = Standing(job, files, this_round)
        output = attempt.create("verdicts", f"{prefix}.verdicts.arrow")
        with pa.ipc.new_file(output.temp, VERDICTS) as sink:
            for manifest in members:
                if manifest["stage"] == STAGE:
                    heldout.append(_old_outside(manifest["index"], files.table(manifest, "features")))
                    continue
                features = files.table(manifest, "features").drop_columns(["bands"] if job.refine["minhash"] else [])
                verdicts = _verdicts(job, features, of_task(decided, manifest["index"]), standing)
                sink.write_batch(verdicts)
                output.rows += len(verdicts)
                _count(job, counts, features, verdicts)
                heldout.append(_outside(job, manifest["index"], verdicts))
        fresh = _not_probed(job, files, group, this_round, np.concatenate(heldout))
        counts |= _write_heldout(job, files, attempt, prefix, fresh)
        _write_names(job, files, attempt, prefix, files.table(resolved, f"wanted-{group}"))
    return counts


def _verdicts(job: Job, features: pa.Table, decided: pa.Table, standing: Standing) -> pa.RecordBatch:
    """A row for each document of a task."""
    n, rows = len(features), rows_of(decided["doc"].to_numpy())
    key0, key1 = features["key0"].to_numpy().copy(), features["key1"].to_numpy().copy()
    size, similarity = np.ones(n, np.int64), np.full(n, np.nan)
    why = np.zeros(n, np.uint8)
    key0[rows], key1[rows] = decided["cluster0"].to_numpy(), decided["cluster1"].to_numpy()
    size[rows] = decided["cluster_size"].to_numpy()
    if job.near["names"] and not job.near["marks"]:
        removed = ~decided["kept"].to_numpy(zero_copy_only=False)
        twin = decided["twin"].to_numpy(zero_copy_only=False) & ("exact" in job.near["names"])
        kind = decided["kind"].to_numpy()
        why[rows] = np.where(removed, np.where(kind > 0, KEY + kind, np.where(twin, EXACT, NEAR)), 0)
        similarity[rows] = decided["similarity"].to_numpy()
    split, across = standing.of(features, key0, key1)
    why[(why == 0) & across] = len(why_words(job)) - 1
    split = np.where(why > 0, -1, split).astype(np.int16)
    columns = [split, why, pa.array(similarity, mask=(why == 0) | (why > KEY)), key0, key1, size]
    return pa.record_batch([pa.array(column) for column in columns], schema=VERDICTS)


def why_words(job: Job) -> list[tuple[str | None, str | None]]:
    """The recipe's step and the reason of each `why`; "" where the recipe has no such step."""
    names = job.near["names"]
    keys = [(key["name"], key["reason"]) for key in job.near["keys"]]
    return [
        (None, None),
        (names.get("exact", ""), "exact_duplicate"),
        (names.get("minhash", ""), "near_duplicate"),
        *keys,
        (STEP, ACROSS),
    ]


def _count(job: Job, counts: dict[str, Any], features: pa.Table, verdicts: pa.RecordBatch) -> None:
    split, why = verdicts["split"].to_numpy(), verdicts["why"].to_numpy()
    inside = np.where(split < 0, 0, split)
    once = (split >= 0).astype(np.int64)
    many = len(job.publish["splits"])
    counts["tasks"].append(
        [
            np.bincount(inside, weights=weight, minlength=many).astype(np.int64).tolist()
            for weight in (once, once * features["bytes"].to_numpy())
        ]
    )
    for kind in np.unique(why[why > 0]).tolist():
        step, reason = why_words(job)[kind]
        count_rejects(counts, str(step), [reason] * int((why == kind).sum()))
    if "stratum" in features.schema.names:
        add_strata(counts["strata"], features["stratum"], split, many)
    lost_to_dedup = (why > 0) & (why < len(why_words(job)) - 1)
    names, codes = np.unique(features["source"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    docs, lost = np.bincount(codes, minlength=len(names)), np.bincount(codes[lost_to_dedup], minlength=len(names))
    for name, n, gone in zip(names.tolist(), docs.tolist(), lost.tolist()):
        before = counts["sources"].get(name, [0, 0])
        counts["sources"][name] = [before[0] + n, before[1] + gone]


# -- documents outside the largest split -----------------------------------------------------------


def _outside(job: Job, index: int, verdicts: pa.RecordBatch) -> np.ndarray:
    if len(job.publish["splits"]) == 1 or not job.refine["minhash"]:
        return np.empty(0, dtype=np.uint64)
    split = verdicts["split"].to_numpy()
    return numbers(index, 0, len(split))[(split >= 0) & (split != job.publish["main"])]


def _old_outside(index: int, features: pa.Table) -> np.ndarray:
    """Old documents that stand outside their corpus's largest split: a new one must not be like them unseen."""
    return numbers(index, 0, len(features))[features["heldout"].to_numpy(zero_copy_only=False)]


def _not_probed(job: Job, files: Files, group: int, this_round: int, docs: np.ndarray) -> np.ndarray:
    for number in range(this_round):
        done = files.table(manifests(job.output, f"assign-{number}")[group], "heldout")["doc"].to_numpy()
        docs = np.setdiff1d(docs, done)
    return docs


def _write_heldout(job: Job, files: Files, attempt: Attempt, prefix: str, docs: np.ndarray) -> dict[str, int]:
    if not job.refine["minhash"]:
        return {"heldout": 0, "heldout_shingles": 0}
    offsets, values = Documents(job, files).gather(docs)
    write_table(attempt, "heldout", f"{prefix}.heldout.arrow", HELDOUT, [docs, offsets[1:]])
    output = attempt.create("heldout_shingles", f"{prefix}.heldout.u64")
    values.astype("<u8").tofile(output.temp)
    output.rows = len(values)
    return {"heldout": len(docs), "heldout_shingles": len(values)}


# -- ids of keepers --------------------------------------------------------------------------------


def _write_names(job: Job, files: Files, attempt: Attempt, prefix: str, wanted: pa.Table) -> None:
    """The ids of this group's keepers for the documents of all groups that name them."""
    refined = compared(job)
    keeper, doc = wanted["keeper"].to_numpy(), wanted["doc"].to_numpy()
    ids, corpora = np.empty(len(keeper), dtype=object), np.empty(len(keeper), dtype=object)
    for manifest in groups(refined)[attempt.index]:
        mine = np.flatnonzero(owners(keeper) == manifest["index"])
        if len(mine):
            column = files.table(manifest, "features")["id"]
            ids[mine] = column.take(pa.array(rows_of(keeper[mine]))).to_numpy(zero_copy_only=False)
            corpora[mine] = manifest.get("corpus")
    order = np.argsort(doc)
    columns = [column[order] for column in (doc, ids, corpora)]
    write_marks(attempt, f"{prefix}.names.arrow", NAMES, columns, refined, "names")
