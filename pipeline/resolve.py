"""Stage resolve: from verified pairs to a verdict on every document: who stays, in which split, where in it.

Round 0 works on what match found. If the recipe splits, documents that would stand outside the largest
split are then probed against all others (`pipeline.near.probe`), and the next round works on those pairs
too, until nobody new stands outside. So each held-out document has been compared with every document,
exactly, and no pair at or above the threshold can stand on two sides.

One process, whole corpus: about 150 bytes a document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from dedup.survivors import Verdict, cluster_keys, components, policy_order, survivors
from pipeline.commit import Attempt
from pipeline.documents import documents
from pipeline.job import Job
from pipeline.ledger import count_rejects
from pipeline.near import Shingles, groups, numbers, write_table
from pipeline.policy import criteria, policy_columns
from pipeline.stage_files import DOC_BITS, Files, manifests, opened

VERDICTS = pa.schema(
    [
        ("split", pa.int16()),  # number of the split in the recipe's order, -1 if removed
        ("part", pa.int32()),  # output shard inside the split
        ("position", pa.uint64()),  # place inside the split
        ("reason", pa.string()),  # null if kept
        ("step", pa.string()),
        ("duplicate_of", pa.string()),
        ("similarity", pa.float64()),
    ]
)
HELDOUT = pa.schema([("doc", pa.uint64()), ("shingle_end", pa.int64())])


@dataclass
class Corpus:
    """What resolve knows of every document, in the order of their numbers; arrays of one length."""

    docs: np.ndarray
    keys: np.ndarray
    bytes: np.ndarray
    columns: dict[str, pa.ChunkedArray]

    def rows(self, docs: np.ndarray) -> np.ndarray:
        """Positions of document numbers in these arrays."""
        return np.searchsorted(self.docs, docs).astype(np.int64)


def resolve(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """One round. Counts: kept, rejected by step and reason, splits, and `heldout`, the documents still to probe."""
    this_round = task["round"]
    with opened(job.output) as files:
        corpus = _corpus(job, files)
        order = policy_order(corpus.keys, *criteria(job.near["keep"], corpus.columns))
        pairs, similarities, loose, twin_pairs = _graph(job, files, corpus, this_round)
        removing = bool(job.near["names"])
        verdict = survivors(order, pairs, similarities, twin_pairs) if removing else _all_stay(len(order))
        cluster = components(len(order), np.concatenate([pairs, loose, twin_pairs]))
        split = _sides(job.publish, corpus.keys, cluster)
        split[~verdict.kept] = -1
        position, part, splits = _places(job.publish, corpus, split)
        heldout = _heldout(job, files, corpus, split, this_round)
        _write_heldout(job, files, attempt, corpus.docs[heldout], this_round)
        steps, why = _why(job.near["names"], verdict)
        _write_verdicts(job, files, attempt, corpus, (split, part, position), (steps, why), verdict, this_round)
    counts: dict[str, Any] = {
        "kept": int(verdict.kept.sum()),
        "rejected": {},
        "splits": splits,
        "heldout": len(heldout),
        "pairs": len(pairs),
    }
    counts["repeated_ids"] = len(corpus.keys) - len(np.unique(corpus.keys, axis=0))
    for step in sorted(set(steps[~verdict.kept].tolist())):
        count_rejects(counts, step, why[(steps == step) & ~verdict.kept].tolist())
    return counts


# -- what is known ---------------------------------------------------------------------------------


def _corpus(job: Job, files: Files) -> Corpus:
    docs, tables = [], []
    names = ["key0", "key1", "bytes", *policy_columns(job.near["keep"])]
    for manifest in documents(job):
        table = files.table(manifest, "features").select(names)
        docs.append(numbers(manifest["index"], len(table)))
        tables.append(table)
    whole = pa.concat_tables(tables)
    column = {name: whole[name].to_numpy() for name in ("key0", "key1", "bytes")}
    return Corpus(
        docs=np.concatenate(docs),
        keys=np.stack([column["key0"], column["key1"]], axis=1),
        bytes=column["bytes"].astype(np.uint64),
        columns={name: whole[name] for name in policy_columns(job.near["keep"])},
    )


def _graph(
    job: Job, files: Files, corpus: Corpus, this_round: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Verified pairs, their similarities, loose pairs and twins, in positions of `corpus`."""
    edges = [files.table(m, "edges") for m in manifests(job.output, "match") if job.refine["minhash"]]
    for number in range(this_round):
        edges += [files.table(m, "edges") for m in manifests(job.output, f"probe-{number}")]
    loose = [files.table(m, "loose") for m in manifests(job.output, "match") if job.refine["minhash"]]
    twins = [files.table(m, "twins") for m in manifests(job.output, "match")]
    similarities = np.concatenate([t["similarity"].to_numpy() for t in edges]) if edges else np.empty(0)
    return _pairs(edges, corpus), similarities, _pairs(loose, corpus), _pairs(twins, corpus)


def _pairs(tables: list[pa.Table], corpus: Corpus) -> np.ndarray:
    if not tables:
        return np.empty((0, 2), dtype=np.int64)
    whole = pa.concat_tables(tables)
    return np.stack([corpus.rows(whole["a"].to_numpy()), corpus.rows(whole["b"].to_numpy())], axis=1)


def _all_stay(n: int) -> Verdict:
    nobody = np.full(n, -1, dtype=np.int64)
    return Verdict(
        kept=np.ones(n, dtype=bool),
        duplicate_of=nobody,
        similarity=np.full(n, np.nan),
        twin=np.zeros(n, dtype=bool),
        cluster=np.arange(n),
    )


# -- where each document goes ----------------------------------------------------------------------


def mixed(values: np.ndarray, seed: int) -> np.ndarray:
    """uint64 -> uint64, one to one and well spread, another order for each seed (splitmix64's finaliser)."""
    x = values ^ np.uint64((seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) & 0xFFFFFFFFFFFFFFFF)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _sides(publish: dict[str, Any], keys: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Split number of each document: by the hash of the smallest key in its cluster."""
    smallest = cluster_keys(cluster, keys)
    drawn = mixed(smallest[:, 0] ^ (smallest[:, 1] << np.uint64(1)), 2 * publish["seed"])
    bounds = np.cumsum(publish["shares"])[:-1]
    share = (drawn >> np.uint64(11)).astype(np.float64) / 2.0**53
    return np.searchsorted(bounds, share, side="right").astype(np.int16)


def _places(
    publish: dict[str, Any], corpus: Corpus, split: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Position (uint64) and output shard of each document inside its split, and the size of each split.

    Positions spread over the whole range of uint64: at random with `shuffle`, else by bytes before the document
    in input order; a shard takes an equal piece of the range.
    """
    position = mixed(corpus.keys[:, 0] ^ (corpus.keys[:, 1] << np.uint64(1)), 2 * publish["seed"] + 1)
    part = np.zeros(len(split), dtype=np.int32)
    splits = {}
    for number, name in enumerate(publish["splits"]):
        inside = split == number
        total = int(corpus.bytes[inside].sum())
        parts = -(-total // publish["shard_size"])
        if not publish["shuffle"] and total:
            before = np.cumsum(corpus.bytes[inside]) - corpus.bytes[inside]
            position[inside] = before * np.uint64((2**64 - 1) // total)
        part[inside] = ((position[inside] >> np.uint64(32)) * np.uint64(parts)) >> np.uint64(32)
        splits[name] = {"rows": int(inside.sum()), "bytes": total, "parts": parts}
    return position, part, splits


def _heldout(job: Job, files: Files, corpus: Corpus, split: np.ndarray, this_round: int) -> np.ndarray:
    """Documents that stand outside the largest split and that no earlier round has probed."""
    shares = job.publish["shares"]
    if len(shares) == 1 or not job.refine["minhash"]:
        return np.empty(0, dtype=np.int64)
    outside = (split >= 0) & (split != int(np.argmax(shares)))
    for number in range(this_round):
        done = files.table(manifests(job.output, f"resolve-{number}")[0], "heldout")["doc"].to_numpy()
        outside[corpus.rows(done)] = False
    return np.flatnonzero(outside)


# -- files -----------------------------------------------------------------------------------------


def _write_heldout(job: Job, files: Files, attempt: Attempt, docs: np.ndarray, this_round: int) -> None:
    prefix = f".work/resolve-{this_round}/heldout"
    offsets, values = Shingles(job, files).gather(docs)
    write_table(attempt, "heldout", f"{prefix}.arrow", HELDOUT, [docs, offsets[1:]])
    output = attempt.create("heldout_shingles", f"{prefix}.u64")
    values.astype("<u8").tofile(output.temp)
    output.rows = len(values)


def _why(names: dict[str, str], verdict: Verdict) -> tuple[np.ndarray, np.ndarray]:
    """(step, reason) of each removed document: an equal text is exact's where the recipe has that step."""
    exact, near = names.get("exact", ""), names.get("minhash", "")
    by_exact = verdict.twin if exact else np.zeros(len(verdict.twin), dtype=bool)
    steps = np.where(by_exact, exact, near)
    return steps, np.where(by_exact, "exact_duplicate", "near_duplicate")


def _write_verdicts(
    job: Job, files: Files, attempt: Attempt, corpus: Corpus, places: tuple[np.ndarray, np.ndarray, np.ndarray],
    why: tuple[np.ndarray, np.ndarray], verdict: Verdict, this_round: int,
) -> None:  # fmt: skip
    """A file for each group of refine tasks, a record batch for each task, a row for each of its documents."""
    refined = documents(job)
    ids = _ids_of(files, refined, corpus, np.unique(verdict.duplicate_of[~verdict.kept]))
    removed = ~verdict.kept
    for number, group in enumerate(groups(refined)):
        output = attempt.create(f"verdicts-{number}", f".work/resolve-{this_round}/{number:06d}.verdicts.arrow")
        with pa.ipc.new_file(output.temp, VERDICTS) as sink:
            for manifest in group:
                low, high = np.searchsorted(
                    corpus.docs,
                    np.array([manifest["index"], manifest["index"] + 1], dtype=np.uint64) << np.uint64(DOC_BITS),
                )
                rows, out = slice(low, high), removed[low:high]
                columns = [pa.array(values[rows]) for values in places]
                columns += [
                    pa.array(values[rows].astype(object), pa.string(), mask=~out) for values in (why[1], why[0])
                ]
                columns.append(pa.array([ids.get(d) for d in verdict.duplicate_of[rows].tolist()], pa.string()))
                columns.append(pa.array(verdict.similarity[rows], mask=~out))
                sink.write_batch(pa.record_batch(columns, schema=VERDICTS))
                output.rows += int(high - low)


def _ids_of(files: Files, refined: list[dict[str, Any]], corpus: Corpus, rows: np.ndarray) -> dict[int, str]:
    """Row -> id of the documents that others are duplicates of."""
    wanted: dict[int, str] = {}
    owners = (corpus.docs[rows] >> np.uint64(DOC_BITS)).astype(np.int64)
    for manifest in refined:
        mine = rows[owners == manifest["index"]]
        if len(mine):
            places = (corpus.docs[mine] & np.uint64((1 << DOC_BITS) - 1)).astype(np.int64)
            names = files.table(manifest, "features")["id"].take(pa.array(places)).to_pylist()
            wanted.update(zip(mine.tolist(), names))
    return wanted
