"""Stages band, bucket and match: which documents are duplicates of each other, proven.

    band    a group of document files -> rows (band hash, twin, doc), (text hash, doc) and (key, doc), dealt into
            partitions by hash; what is known of each document, to be looked up (`pipeline.matching.sets`)
    bucket  some partitions of band hashes -> those rows (key, band hash, doc) whose hash several documents share, dealt into
            partitions by key, which is the same for most buckets of a cluster; left out where there is one partition
    match   one partition -> twins (equal texts), verified pairs (true similarity at or above the threshold), loose
            pairs, and the order words of every document in them

`pipeline.matching.resolve` decides who stays. Nothing here depends on which task ran first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from dedup.candidates import candidate_pairs, represent, shared, twins
from dedup.containment import contained_pairs
from dedup.keys import key_pairs
from pipeline.files.commit import Attempt
from pipeline.files.stage_files import opened
from pipeline.job import Job
from pipeline.matching.groups import bucket_tasks, groups, has_pages, numbers, partitions
from pipeline.matching.older import compared, first_number
from pipeline.matching.partitions import Dealer, dealt, write_marks
from pipeline.matching.policy import ranks
from pipeline.matching.sets import Documents, facts

BUCKETS = pa.schema([("key", pa.uint64()), ("hash", pa.uint64()), ("doc", pa.uint64())])
EDGES = pa.schema([("a", pa.uint64()), ("b", pa.uint64()), ("similarity", pa.float64())])
KEY_EDGES = pa.schema([("a", pa.uint64()), ("b", pa.uint64()), ("kind", pa.uint8())])
PAIRS = pa.schema([("a", pa.uint64()), ("b", pa.uint64())])
TIES = pa.schema([("doc", pa.uint64()), ("name", pa.uint64())])

BAND_ROWS = 4 << 20
"""Rows a band task sorts at a time (100 MB): a shard of any size takes no more."""

# -- band ------------------------------------------------------------------------------------------


def band(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Deals the hashes of one group of document files into partitions."""
    refined = compared(job)
    prefix = f".work/band/{task['index']:06d}"
    known = attempt.create("facts", f"{prefix}.facts.u64")
    with opened(job.output) as files, open(known.temp, "wb") as sink:
        dealers = {
            name: Dealer(attempt, f"{prefix}.{name}.arrow", schema, partitions(job, refined), name, BAND_ROWS)
            for name, schema in kinds(job).items()
        }
        for manifest in groups(refined)[task["index"]]:
            reader = files.arrow(manifest, "features")
            start, shingles = 0, 0
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                docs = numbers(manifest["index"], start, len(batch))
                rows = facts(job, manifest, pa.Table.from_batches([batch]), shingles)
                sink.write(rows.astype("<u8", copy=False).data)
                known.rows += len(rows)
                shingles = int(rows[-1, 1]) if len(rows) else shingles
                text, key = _columns(batch, "text0", "text1"), _columns(batch, "key0", "key1")
                dealers["texts"].write([*text, docs])
                dealers["keys"].write([*key, docs])
                if job.refine["minhash"]:
                    flat, sizes = batch["bands"].flatten().to_numpy(), batch["bands"].value_lengths().to_numpy()
                    dealers["bands"].write([flat, np.repeat(text[0], sizes), np.repeat(docs, sizes)])
                if "page" in dealers and "page" in batch.schema.names:
                    has = batch["page"].is_valid()
                    page = _columns(batch.filter(has), "page")[0]
                    dealers["page"].write([page, docs[has.to_numpy(False)]])
                for name in _key_names(job):
                    if f"{name}.0" not in batch.schema.names:
                        continue  # an index of another corpus: made for texts
                    has = batch[f"{name}.0"].is_valid()
                    mine = batch.filter(has)
                    dealers[name].write([*_columns(mine, f"{name}.0", f"{name}.1"), docs[has.to_numpy(False)]])
                start += len(batch)
        return {"rows": sum(dealer.close() for dealer in dealers.values())}


def kinds(job: Job) -> dict[str, pa.Schema]:
    """Files of a band task and their columns, all uint64."""
    found: dict[str, tuple[str, ...]] = {"texts": ("text0", "text1", "doc"), "keys": ("key0", "key1", "doc")}
    if job.refine["minhash"]:
        found["bands"] = ("hash", "twin", "doc")
    if has_pages(job):
        found["page"] = ("page", "doc")
    found |= {name: (f"{name}.0", f"{name}.1", "doc") for name in _key_names(job)}
    return {name: pa.schema([(column, pa.uint64()) for column in columns]) for name, columns in found.items()}


def _key_names(job: Job) -> list[str]:
    return [f"by{number}" for number in range(1, len(job.refine["keys"]) + 1)]


def _columns(batch: pa.RecordBatch, *names: str) -> list[np.ndarray]:
    return [batch[name].to_numpy() for name in names]


# -- bucket ----------------------------------------------------------------------------------------


def bucket(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Deals what several documents share of some partitions."""
    refined = compared(job)
    count, tasks = partitions(job, refined), bucket_tasks(job, refined)
    dealer = Dealer(attempt, f".work/bucket/{task['index']:06d}.rows.arrow", BUCKETS, count)
    ignored = np.uint64(job.near["similarity"] == "containment")  # the lowest bit says who asks (`dedup.containment`)
    for part in range(task["index"] * count // tasks, (task["index"] + 1) * count // tasks):
        hashes, text, docs = dealt(job.output, "band", part, count, "bands")
        rows, keys = shared(hashes >> ignored << ignored, text, docs, first_number(job))
        dealer.write([keys, hashes[rows], docs[rows]])
    return {"rows": dealer.close()}


# -- match -----------------------------------------------------------------------------------------


def match(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Candidate pairs of one partition, verified by the true similarity of their shingle sets."""
    prefix = f".work/match/{task['index']:06d}"
    count = partitions(job, compared(job))

    def partition(name: str) -> list[np.ndarray]:
        return dealt(job.output, "band", task["index"], count, name)

    with opened(job.output) as files:
        rows = {name: partition(name) for name in ("texts", "keys")}
        same, repeated = twins(*rows["texts"]), twins(*rows["keys"])
        write_table(attempt, "twins", f"{prefix}.twins.arrow", PAIRS, [same[:, 0], same[:, 1]])
        counts = {"twins": len(same), "repeated_ids": len(repeated), "compared": 0, "pairs": 0}
        counts |= {"uncompared": 0, "big_groups": 0}
        touched, sets = [same], Documents(job, files)
        if job.refine["minhash"]:
            if bucket_tasks(job, compared(job)):
                _, hashes, docs = dealt(job.output, "bucket", task["index"], count)
                bands = [hashes, docs, docs]  # one document for each text already
            else:
                bands = partition("bands")
            touched += _match_bands(job, bands, sets, attempt, prefix, counts)
        if job.refine["keys"]:
            by_key = [partition(name) for name in _key_names(job)]
            touched.append(_match_keys(by_key, first_number(job), sets, attempt, prefix, counts))
        if job.refine["split"]:
            pages = partition("page") if has_pages(job) else None
            counts["ties"] = _write_ties(job, attempt, f"{prefix}.ties.arrow", repeated, rows["keys"], pages)
        write_nodes(job, attempt, f"{prefix}.nodes.arrow", sets, touched)
    return counts


def _match_keys(
    by_key: list[list[np.ndarray]],
    older: np.uint64,
    sets: Documents,
    attempt: Attempt,
    prefix: str,
    counts: dict[str, Any],
) -> np.ndarray:
    """Writes the pairs of equal key of a partition, with the number of the key; returns them."""
    found = [
        key_pairs(first, second, docs, lambda group: ranks(sets.words(group), group)) for first, second, docs in by_key
    ]
    pairs = np.concatenate([pair for pair, _ in found])
    number = np.repeat(np.arange(1, len(found) + 1, dtype=np.uint8), [len(pair) for pair, _ in found])
    new = pairs[:, 0] < older  # two old documents are both published: nothing to decide
    pairs, number = pairs[new], number[new]
    write_table(attempt, "key_edges", f"{prefix}.key_edges.arrow", KEY_EDGES, [pairs[:, 0], pairs[:, 1], number])
    counts["key_pairs"] = len(pairs)
    counts["uncompared"] += sum(left_out for _, left_out in found)
    return pairs


def _write_ties(
    job: Job, attempt: Attempt, path: str, repeated: np.ndarray, keys: list[np.ndarray], pages: list[np.ndarray] | None
) -> int:
    """Documents that share source and id, or a page, with the 64-bit name of what they share: these stand on one side of
    the split (`pipeline.splits.units`). Returns how many."""
    docs = np.unique(repeated)
    order = np.argsort(keys[2])
    names = keys[0][order][np.searchsorted(keys[2], docs, sorter=order)]
    if pages is not None:
        page, of = pages
        order = np.argsort(page, kind="stable")
        page, of = page[order], of[order]
        same = page[1:] == page[:-1]
        several = np.append(same, False) | np.append(False, same)
        docs, names = np.concatenate([docs, of[several[: len(of)]]]), np.concatenate([names, page[several[: len(of)]]])
    order = np.lexsort((names, docs))
    write_marks(attempt, path, TIES, [docs[order], names[order]], compared(job), "ties")
    return len(docs)


def _match_bands(
    job: Job, rows: list[np.ndarray], sets: Documents, attempt: Attempt, prefix: str, counts: dict[str, Any]
) -> list[np.ndarray]:
    """Writes edges and loose pairs of a partition, adds to its counts; returns all pairs."""
    threshold, contained = job.near["threshold"], job.near["similarity"] == "containment"
    hashes, text, docs = rows
    found, older = (contained_pairs if contained else candidate_pairs)(hashes, text, docs), first_number(job)
    found.pairs = found.pairs[found.pairs[:, 0] < older]  # two old documents are both published: nothing to decide
    found.big = [group for group in found.big if (group < older).any()]
    sets.hold(np.unique(np.concatenate([found.pairs.ravel(), *found.big]).astype(np.uint64)))
    edges = [verified(sets, found.pairs[:, 0], found.pairs[:, 1], threshold)]
    loose: list[np.ndarray] = [np.empty((0, 2), dtype=np.uint64)]
    counts["compared"] += len(found.pairs)
    counts["big_groups"] += len(found.big)
    crowd = np.unique(np.concatenate([np.empty(0, np.uint64), *found.big]))
    rank, similar = ranks(sets.words(crowd), crowd), sets.similar(crowd, threshold)
    for group in found.big:
        result = represent(group, similar, threshold, rank=rank[np.searchsorted(crowd, group)])
        edges.append((result.edges, result.similarities))
        if not contained:  # who shares one frequent shingle need not share a split; what does is found by the probe
            loose.append(result.loose)
        counts["compared"] += result.compared
        counts["uncompared"] += result.uncompared
    pairs, similarities = unique_pairs(np.concatenate([e[0] for e in edges]), np.concatenate([e[1] for e in edges]))
    pairs, similarities = pairs[pairs[:, 0] < older], similarities[pairs[:, 0] < older]
    write_table(attempt, "edges", f"{prefix}.edges.arrow", EDGES, [pairs[:, 0], pairs[:, 1], similarities])
    apart = np.concatenate(loose)
    write_table(attempt, "loose", f"{prefix}.loose.arrow", PAIRS, [apart[:, 0], apart[:, 1]])
    counts["pairs"] += len(pairs)
    return [pairs, apart]


def verified(sets: Documents, left: np.ndarray, right: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The pairs whose true similarity is at or above the threshold, as (m, 2) and (m,)."""
    if not len(left):
        return np.empty((0, 2), dtype=np.uint64), np.empty(0)
    similarity = sets.similarities(left, right, threshold)
    good = similarity >= threshold
    return np.stack([left[good], right[good]], axis=1), similarity[good]


def unique_pairs(pairs: np.ndarray, similarities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each pair once, smaller number first, sorted."""
    pairs = np.sort(pairs, axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs, similarities = pairs[order], similarities[order]
    first = np.append(True, (pairs[1:] != pairs[:-1]).any(axis=1))[: len(pairs)]
    return pairs[first], similarities[first]


def write_nodes(job: Job, attempt: Attempt, path: str, sets: Documents, pairs: list[np.ndarray]) -> None:
    """The order words (see `pipeline.matching.policy`) of every document in `pairs`, by number."""
    docs = np.unique(np.concatenate([pair.ravel() for pair in pairs]).astype(np.uint64))
    words = sets.words(docs)
    schema = pa.schema([("doc", pa.uint64()), *((f"word{i}", pa.uint64()) for i in range(words.shape[1]))])
    write_table(attempt, "nodes", path, schema, [docs, *words.T])


def write_table(attempt: Attempt, name: str, path: str, schema: pa.Schema, columns: list[np.ndarray]) -> None:
    output = attempt.create(name, path)
    with pa.ipc.new_file(output.temp, schema) as sink:
        sink.write_table(
            pa.table([pa.array(column, field.type) for column, field in zip(columns, schema)], schema=schema)
        )
    output.rows = len(columns[0])
