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

from pipeline.clusters import copies
from pipeline.commit import Attempt
from pipeline.groups import groups, numbers, owners, rows_of
from pipeline.job import Job
from pipeline.ledger import count_rejects
from pipeline.near import write_table
from pipeline.older import STAGE, compared
from pipeline.partitions import write_marks
from pipeline.sets import Documents
from pipeline.stage_files import DOC_BITS, Files, manifests, opened

EXACT, NEAR = 1, 2
KEY = 2  # why of the n-th key (from 1) is KEY + n

VERDICTS = pa.schema(
    [
        ("split", pa.int16()),  # number of the split in the recipe's order, -1 if removed
        ("why", pa.uint8()),  # 0 kept, EXACT, NEAR or KEY + the number of the key
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
    counts: dict[str, Any] = {"rejected": {}, "tasks": [], "sources": {}}
    heldout: list[np.ndarray] = [np.empty(0, dtype=np.uint64)]
    with opened(job.output) as files:
        resolved = manifests(job.output, f"resolve-{this_round}")[0]
        decided = files.table(resolved, f"decisions-{group}")
        output = attempt.create("verdicts", f"{prefix}.verdicts.arrow")
        with pa.ipc.new_file(output.temp, VERDICTS) as sink:
            for manifest in members:
                if manifest["stage"] == STAGE:
                    heldout.append(_old_outside(manifest["index"], files.table(manifest, "features")))
                    continue
                features = files.table(manifest, "features").select(["source", "key0", "key1", "bytes"])
                verdicts = _verdicts(job, features, _of_task(decided, manifest["index"]))
                sink.write_batch(verdicts)
                output.rows += len(verdicts)
                _count(job, counts, features, verdicts)
                heldout.append(_outside(job, manifest["index"], verdicts))
        fresh = _not_probed(job, files, group, this_round, np.concatenate(heldout))
        counts |= _write_heldout(job, files, attempt, prefix, fresh)
        _write_names(job, files, attempt, prefix, files.table(resolved, f"wanted-{group}"))
    return counts


def _of_task(decided: pa.Table, index: int) -> pa.Table:
    """Decisions are in order of document numbers: those of one task are neighbours."""
    docs = decided["doc"].to_numpy()
    low, high = np.searchsorted(docs, np.array([index, index + 1], np.uint64) << np.uint64(DOC_BITS))
    return decided.slice(low, high - low)


def _verdicts(job: Job, features: pa.Table, decided: pa.Table) -> pa.RecordBatch:
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
    split = np.where(why > 0, -1, sides(job.publish, key0, key1)).astype(np.int16)
    columns = [split, why, pa.array(similarity, mask=(why == 0) | (why > KEY)), key0, key1, size]
    return pa.record_batch([pa.array(column) for column in columns], schema=VERDICTS)


def sides(publish: dict[str, Any], key0: np.ndarray, key1: np.ndarray) -> np.ndarray:
    """Split number of each document: by the hash of the smallest key in its cluster."""
    drawn = mixed(key0 ^ (key1 << np.uint64(1)), 2 * publish["seed"])
    bounds = np.cumsum(publish["shares"])[:-1]
    share = (drawn >> np.uint64(11)).astype(np.float64) / 2.0**53
    return np.searchsorted(bounds, share, side="right")


def mixed(values: np.ndarray, seed: int) -> np.ndarray:
    """uint64 -> uint64, one to one and well spread, another order for each seed (splitmix64's finaliser)."""
    x = values ^ np.uint64((seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) & 0xFFFFFFFFFFFFFFFF)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def why_words(job: Job) -> list[tuple[str | None, str | None]]:
    """The recipe's step and the reason of each `why`; "" where the recipe has no such step."""
    names = job.near["names"]
    keys = [(key["name"], key["reason"]) for key in job.near["keys"]]
    return [
        (None, None),
        (names.get("exact", ""), "exact_duplicate"),
        (names.get("minhash", ""), "near_duplicate"),
        *keys,
    ]


def _count(job: Job, counts: dict[str, Any], features: pa.Table, verdicts: pa.RecordBatch) -> None:
    split, why = verdicts["split"].to_numpy(), verdicts["why"].to_numpy()
    inside = np.where(split < 0, 0, split)
    times = copies(job, split, verdicts["cluster_size"].to_numpy())
    many = len(job.publish["splits"])
    counts["tasks"].append(
        [
            np.bincount(inside, weights=weight, minlength=many).astype(np.int64).tolist()
            for weight in (times, times * features["bytes"].to_numpy())
        ]
    )
    for kind in np.unique(why[why > 0]).tolist():
        step, reason = why_words(job)[kind]
        count_rejects(counts, str(step), [reason] * int((why == kind).sum()))
    names, codes = np.unique(features["source"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    docs, lost = np.bincount(codes, minlength=len(names)), np.bincount(codes[why > 0], minlength=len(names))
    for name, n, gone in zip(names.tolist(), docs.tolist(), lost.tolist()):
        before = counts["sources"].get(name, [0, 0])
        counts["sources"][name] = [before[0] + n, before[1] + gone]


# -- documents outside the largest split -----------------------------------------------------------


def _outside(job: Job, index: int, verdicts: pa.RecordBatch) -> np.ndarray:
    shares = job.publish["shares"]
    if len(shares) == 1 or not job.refine["minhash"]:
        return np.empty(0, dtype=np.uint64)
    split = verdicts["split"].to_numpy()
    return numbers(index, 0, len(split))[(split >= 0) & (split != int(np.argmax(shares)))]


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
