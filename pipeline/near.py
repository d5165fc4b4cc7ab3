"""Stages band, match and probe: which documents are duplicates of each other, proven.

    band    a group of refine tasks -> rows (band hash, twin, doc) and (text hash, doc), dealt into partitions by hash
    match   one partition -> twins (equal texts), verified pairs (true Jaccard at or above the threshold), loose pairs
    probe   documents outside the largest split against a group of shards: every pair at or above the threshold,
            exactly. LSH finds nearly all pairs; a split without leaks needs all of those that cross it.

`pipeline.resolve` decides between match and probe who stays. Nothing here depends on which task ran first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from dedup.candidates import candidate_pairs, represent, twins
from dedup.join import HeldoutIndex
from dedup.similarity import jaccards
from dedup.survivors import policy_order
from pipeline.commit import Attempt
from pipeline.documents import documents
from pipeline.job import Job
from pipeline.policy import criteria, policy_columns
from pipeline.stage_files import DOC_BITS, Files, manifests, opened, output_rows

GROUP = 64
"""Refine tasks a band, probe or resolve file speaks of: 20,000 shards x 4,096 partitions would be 82 million slices."""

PARTITION_ROWS = 1 << 17
"""Band rows a match task gets, about: its cost is in verification, and a task should last seconds."""

PAIR_BLOCK = 20_000
"""Pairs verified at once: their shingle sets are held in memory together."""

EDGES = pa.schema([("a", pa.uint64()), ("b", pa.uint64()), ("similarity", pa.float64())])
PAIRS = pa.schema([("a", pa.uint64()), ("b", pa.uint64())])


def partitions(job: Job, refined: list[dict[str, Any]]) -> int:
    """How many match tasks there are: a power of two, from the number of documents alone."""
    bands = job.refine["minhash"]["bands"] if job.refine["minhash"] else 0
    rows = sum(output_rows(manifest, "docs") for manifest in refined) * (bands + 1)
    return 1 << max(0, (rows // PARTITION_ROWS).bit_length())


def groups(refined: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Refine manifests in groups of GROUP, in task order."""
    return [refined[i : i + GROUP] for i in range(0, len(refined), GROUP)]


def numbers(index: int, rows: int) -> np.ndarray:
    """Document numbers of the rows of refine task `index`."""
    return (np.uint64(index) << np.uint64(DOC_BITS)) + np.arange(rows, dtype=np.uint64)


# -- band ------------------------------------------------------------------------------------------


def band(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Deals the hashes of one group of refine tasks into partitions; partition p is record batch p of each file."""
    refined = documents(job)
    count = partitions(job, refined)
    hashes: list[np.ndarray] = []
    texts: list[np.ndarray] = []
    with opened(job.output) as files:
        for manifest in groups(refined)[task["index"]]:
            table = files.table(manifest, "features")
            docs = numbers(manifest["index"], len(table))
            first, second = table["text0"].to_numpy(), table["text1"].to_numpy()
            texts.append(np.stack([first, second, docs], axis=1))
            if job.refine["minhash"]:
                hashes.append(_band_rows(table, first, docs, job.refine["minhash"]["bands"]))
        prefix = f".work/band/{task['index']:06d}"
        rows = _deal(attempt, "texts", f"{prefix}.texts.arrow", texts, ("text0", "text1", "doc"), count)
        if job.refine["minhash"]:
            rows += _deal(attempt, "bands", f"{prefix}.bands.arrow", hashes, ("hash", "twin", "doc"), count)
    return {"rows": rows}


def _band_rows(table: pa.Table, twin: np.ndarray, docs: np.ndarray, bands: int) -> np.ndarray:
    """(rows * bands, 3) uint64: band hash, first half of the text hash, document."""
    columns = table["bands"].combine_chunks() if len(table) else None
    flat = np.asarray(columns.flatten(), dtype=np.uint64) if columns is not None else np.empty(0, dtype=np.uint64)
    return np.stack([flat, np.repeat(twin, bands), np.repeat(docs, bands)], axis=1)


def _deal(
    attempt: Attempt, name: str, path: str, pieces: list[np.ndarray], columns: tuple[str, ...], count: int
) -> int:
    rows = np.concatenate(pieces) if pieces else np.empty((0, 3), dtype=np.uint64)
    bits = count.bit_length() - 1
    part = rows[:, 0] >> np.uint64(64 - bits) if bits else np.zeros(len(rows), dtype=np.uint64)
    order = np.argsort(part, kind="stable")
    rows, ends = rows[order], np.searchsorted(part[order], np.arange(count, dtype=np.uint64), side="right")
    output = attempt.create(name, path)
    schema = pa.schema([(column, pa.uint64()) for column in columns])
    with pa.ipc.new_file(output.temp, schema) as sink:
        start = 0
        for end in ends.tolist():
            sink.write_batch(
                pa.record_batch([pa.array(rows[start:end, i]) for i in range(len(columns))], schema=schema)
            )
            start = end
    output.rows = len(rows)
    return len(rows)


# -- match -----------------------------------------------------------------------------------------


def match(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Candidate pairs of one partition, verified by the true similarity of their shingle sets."""
    prefix = f".work/match/{task['index']:06d}"
    banded = manifests(job.output, "band")
    with opened(job.output) as files:
        texts = _partition(files, banded, "texts", task["index"])
        same = twins(texts[:, :2], texts[:, 2])
        write_table(attempt, "twins", f"{prefix}.twins.arrow", PAIRS, [same[:, 0], same[:, 1]])
        counts = {"twins": len(same), "compared": 0, "pairs": 0, "uncompared": 0, "big_groups": 0}
        if job.refine["minhash"]:
            counts |= _match_bands(
                job, _partition(files, banded, "bands", task["index"]), Shingles(job, files), attempt, prefix
            )
    return counts


def _partition(files: Files, banded: list[dict[str, Any]], name: str, index: int) -> np.ndarray:
    batches = [files.arrow(manifest, name).get_batch(index) for manifest in banded]
    return np.concatenate([np.stack([column.to_numpy() for column in batch.columns], axis=1) for batch in batches])


def _match_bands(job: Job, rows: np.ndarray, shingles: Shingles, attempt: Attempt, prefix: str) -> dict[str, Any]:
    threshold = job.near["threshold"]
    found = candidate_pairs(rows[:, 0], rows[:, 1], rows[:, 2])
    edges = [verified(shingles, found.pairs[:, 0], found.pairs[:, 1], threshold)]
    loose: list[np.ndarray] = []
    counts = {"compared": len(found.pairs), "uncompared": 0, "big_groups": len(found.big)}
    for docs in found.big:
        ranks = shingles.ranks(docs)
        result = represent(
            docs, lambda left, right: shingles.similarities(left, right, threshold), threshold, rank=ranks
        )
        edges.append((result.edges, result.similarities))
        loose.append(result.loose)
        counts["compared"] += result.compared
        counts["uncompared"] += result.uncompared
    pairs, similarities = _unique(np.concatenate([e[0] for e in edges]), np.concatenate([e[1] for e in edges]))
    write_table(attempt, "edges", f"{prefix}.edges.arrow", EDGES, [pairs[:, 0], pairs[:, 1], similarities])
    apart = np.concatenate(loose) if loose else np.empty((0, 2), dtype=np.uint64)
    write_table(attempt, "loose", f"{prefix}.loose.arrow", PAIRS, [apart[:, 0], apart[:, 1]])
    return {**counts, "pairs": len(pairs)}


def verified(
    shingles: Shingles, left: np.ndarray, right: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs whose true similarity is at or above the threshold, as (m, 2) and (m,)."""
    if not len(left):
        return np.empty((0, 2), dtype=np.uint64), np.empty(0)
    similarity = shingles.similarities(left, right, threshold)
    good = similarity >= threshold
    return np.stack([left[good], right[good]], axis=1), similarity[good]


def _unique(pairs: np.ndarray, similarities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each pair once, smaller number first, sorted."""
    pairs, first = np.unique(np.sort(pairs, axis=1), axis=0, return_index=True)
    return pairs.reshape(-1, 2), similarities[first]


def write_table(attempt: Attempt, name: str, path: str, schema: pa.Schema, columns: list[np.ndarray]) -> None:
    output = attempt.create(name, path)
    with pa.ipc.new_file(output.temp, schema) as sink:
        sink.write_table(
            pa.table([pa.array(column, field.type) for column, field in zip(columns, schema)], schema=schema)
        )
    output.rows = len(columns[0])


class Shingles:
    """Random access to the shingle sets that refine wrote."""

    def __init__(self, job: Job, files: Files) -> None:
        self._refined = {manifest["index"]: manifest for manifest in documents(job)}
        self._files = files
        self._keep = job.near["keep"]
        self._open: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def shard(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(offsets of shape (rows + 1,), values) of one refine task."""
        if index not in self._open:
            manifest = self._refined[index]
            ends = self._files.table(manifest, "features")["shingle_end"].to_numpy()
            self._open[index] = (np.concatenate([[0], ends]).astype(np.int64), self._files.uint64(manifest, "shingles"))
        return self._open[index]

    def gather(self, docs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sets of `docs` as (offsets, values), in the order given."""
        owners = (docs >> np.uint64(DOC_BITS)).astype(np.int64)
        rows = (docs & np.uint64((1 << DOC_BITS) - 1)).astype(np.int64)
        shards = {index: self.shard(index) for index in np.unique(owners).tolist()}
        sizes = np.zeros(len(docs), dtype=np.int64)
        for index, (offsets, _) in shards.items():
            mine = owners == index
            sizes[mine] = offsets[rows[mine] + 1] - offsets[rows[mine]]
        ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        gathered = np.empty(ends[-1], dtype=np.uint64)
        for index, (offsets, values) in shards.items():
            mine = np.flatnonzero(owners == index)
            gathered[_ranges(ends[mine], sizes[mine])] = values[_ranges(offsets[rows[mine]], sizes[mine])]
        return ends, gathered

    def ranks(self, docs: np.ndarray) -> np.ndarray:
        """Ranks of `docs` among themselves under the keep policy."""
        names = ["key0", "key1", *policy_columns(self._keep)]
        owners = (docs >> np.uint64(DOC_BITS)).astype(np.int64)
        tables, places = [], []
        for index in np.unique(owners).tolist():
            mine = np.flatnonzero(owners == index)
            rows = (docs[mine] & np.uint64((1 << DOC_BITS) - 1)).astype(np.int64)
            tables.append(self._files.table(self._refined[index], "features").select(names).take(pa.array(rows)))
            places.append(mine)
        whole = pa.concat_tables(tables).take(pa.array(np.argsort(np.concatenate(places))))
        keys = np.stack([whole["key0"].to_numpy(), whole["key1"].to_numpy()], axis=1)
        return policy_order(keys, *criteria(self._keep, {name: whole[name] for name in names[2:]}))

    def similarities(self, left: np.ndarray, right: np.ndarray, threshold: float) -> np.ndarray:
        """True Jaccard similarities of pairs of documents; a pair that cannot reach the threshold may read 0."""
        result = np.empty(len(left))
        for start in range(0, len(left), PAIR_BLOCK):
            part = slice(start, start + PAIR_BLOCK)
            docs, places = np.unique(np.concatenate([left[part], right[part]]), return_inverse=True)
            offsets, values = self.gather(docs)
            half = len(places) // 2
            result[part] = jaccards(offsets, values, places[:half], places[half:], min_similarity=threshold)
        return result


def _ranges(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """start, start + 1, ... of each range, one after another."""
    before = np.cumsum(sizes) - sizes
    return np.repeat(starts - before, sizes) + np.arange(int(sizes.sum()))


# -- probe -----------------------------------------------------------------------------------------


def probe(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """All pairs at or above the threshold between the held-out documents of a round and one group of shards."""
    refined = documents(job)
    resolved = manifests(job.output, f"resolve-{task['round']}")[0]
    pairs, similarities = [np.empty((0, 2), dtype=np.uint64)], [np.empty(0)]
    with opened(job.output) as files:
        heldout = files.table(resolved, "heldout")
        docs = heldout["doc"].to_numpy()
        offsets = np.concatenate([[0], heldout["shingle_end"].to_numpy()]).astype(np.int64)
        index = HeldoutIndex(offsets, files.uint64(resolved, "heldout_shingles"), job.near["threshold"])
        shingles = Shingles(job, files)
        for manifest in groups(refined)[task["index"]]:
            for first, shard_offsets, values in _blocks(shingles.shard(manifest["index"])):
                left, right, similarity = index.probe(shard_offsets, values)
                others = numbers(manifest["index"], first + len(shard_offsets) - 1)[first:][right]
                distinct = docs[left] != others
                pairs.append(np.stack([docs[left][distinct], others[distinct]], axis=1))
                similarities.append(similarity[distinct])
        found, values_out = _unique(np.concatenate(pairs), np.concatenate(similarities))
        write_table(
            attempt,
            "edges",
            f".work/probe-{task['round']}/{task['index']:06d}.edges.arrow",
            EDGES,
            [found[:, 0], found[:, 1], values_out],
        )
    return {"pairs": len(found)}


def _blocks(shard: tuple[np.ndarray, np.ndarray], rows: int = 2048) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """A shard's sets, `rows` documents at a time: (first row, offsets from 0, values)."""
    offsets, values = shard
    for first in range(0, len(offsets) - 1, rows):
        part = offsets[first : first + rows + 1]
        yield first, part - part[0], np.asarray(values[part[0] : part[-1]])
