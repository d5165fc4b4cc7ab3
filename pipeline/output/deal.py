"""Stage deal: verdicts meet documents. A refine task's documents -> the kept ones, sorted into output shards
(`pipeline.output.publish` writes them); its part of the ledger (rejected/part-00003.parquet) and of the quarantine
(quarantine/part-00003.jsonl).

A task holds one record batch at a time. An output shard is cut into pieces, ranges of positions, as many as it takes for a
piece to have about PIECE_BYTES of text: so much publish holds at once.

Where half of what is kept of a record batch goes to one piece, or all of it to two pieces of an output shard, as it mostly does without
`shuffle`, its texts are not copied: publish reads them from the documents' file.
"""

from __future__ import annotations

import functools
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from filters.step import set_column
from pipeline import ledger
from pipeline.documents import docs_schema, documents, text_stages
from pipeline.files.commit import Attempt
from pipeline.files.stage_files import DOC_BITS, Files, manifests, opened, output_rows
from pipeline.files.tables import Packed, SteadyWriter, conform
from pipeline.job import Job
from pipeline.matching.clusters import published_schema, repeated, with_cluster, with_fold
from pipeline.matching.groups import group_starts, groups, mixed
from pipeline.matching.older import compared, write_part
from pipeline.mixtures.augmented import augmented
from pipeline.mixtures.conflicts import details
from pipeline.mixtures.labels import CONFLICT
from pipeline.mixtures.labels import STEP as LABELS_STEP
from pipeline.mixtures.labels import count as count_labels
from pipeline.mixtures.mix import LEFT_OUT
from pipeline.mixtures.mix import STEP as MIX_STEP
from pipeline.mixtures.mixing import draws, times_of
from pipeline.plan import final_splits
from pipeline.splits.assign import why_words

ROW = "_row"
"""Column of a dealt document: its row in its record batch."""
COPIED = -1
"""In place of a record batch: the texts were copied."""
STAYS = 0.5
"""Part of the text kept of a record batch that must go to one piece for it not to be copied."""

PIECE_BYTES = 16 << 20
"""Text of an output shard that a publish task holds at once. An output shard of 143 MB in one piece took 580 MB of memory."""


def deal(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Counts: the account of what this refine task's documents became in dedup, and `batches`: (split, output shard, piece,
    record batch that has the texts or COPIED) of each."""
    index = task["index"]
    manifest = documents(job)[index]
    rejected_to = attempt.create("rejected", f"rejected/part-{index:05d}.parquet")
    rejects = SteadyWriter(rejected_to.temp, ledger.rejected_schema(job.refine["signals"], job.refine["rejected_text"]))
    dealt = attempt.create("dealt", f".work/deal/{index:06d}.arrow")
    schema = dealt_schema(job)
    shape = _shape(job, task["round"])
    account: dict[str, Any] = {"kept": 0, "rejected": {}, "labels": {}}
    where: list[list[int]] = []
    noise = {"rows": 0, "unchanged": 0}
    with opened(job.output) as files:
        for stage in text_stages(job):
            before = manifests(job.output, stage)[index]
            for batch in pq.ParquetFile(files.local(before, "rejects")).iter_batches():
                rejects.write(pa.Table.from_batches([batch]))
        with pa.ipc.new_file(dealt.temp, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as sink:
            verdicts = _verdicts(job, files, manifest, task["round"])
            if job.publish["index"] and job.refine["minhash"]:
                write_part(job, files, manifest, verdicts["split"].to_numpy(), attempt, index)
            for docs, group in _judged(job, files, manifest, verdicts):
                removed = pc.less(docs["split"], 0)
                kept = docs
                if pc.any(removed).as_py():
                    _reject(rejects, with_cluster(docs.filter(removed)), account)
                    kept = docs.filter(pc.invert(removed))
                kept = with_cluster(kept) if job.near["marks"] else kept
                kept = with_fold(job, kept)
                account["kept"] += len(kept)
                if job.refine["labels"]:
                    count_labels(job.publish["splits"], kept, account["labels"])
                copies = repeated(job, kept, shape[:, 0])
                for copy in itertools.chain(copies, augmented(job, kept, shape[:, 0], noise)):
                    dealt.rows += len(copy)
                    for place, rows in _by_piece(copy, shape, schema, group):
                        sink.write_table(rows)
                        where.append(place)
        rejects.close()
        _quarantine(files, manifests(job.output, "refine")[index], attempt, index)
    rejected_to.rows = rejects.rows
    if not rejects.rows:
        attempt.drop(rejected_to)
    if account["kept"] + ledger.rejected_total(account) != output_rows(manifest, "docs"):
        raise AssertionError(
            f"deal task {index}: {output_rows(manifest, 'docs')} documents came in, {account} went out"
        )
    copied = dealt.rows - account["kept"] - noise["rows"]
    return {**account, "copies": copied, "augmented": noise, "batches": where}


def dealt_schema(job: Job) -> pa.Schema:
    """Columns of a document on its way to its output shard: what is published, its place, and its row in its record batch."""
    return published_schema(job).append(pa.field("_position", pa.uint64())).append(pa.field(ROW, pa.int64()))


@dataclass
class _Batch:
    """What `_by_piece` asks of the record batch that its rows are of."""

    docs: Packed
    number: int
    sizes: np.ndarray
    """int64, bytes of each text"""
    changed: bool
    """rows may have other texts than their documents"""

    @functools.cached_property
    def texts(self) -> pa.ChunkedArray:
        return self.docs.read(self.number, ["text"])["text"]


def _judged(job: Job, files: Files, manifest: dict[str, Any], verdicts: pa.Table) -> Iterator[tuple[pa.Table, _Batch]]:
    """The documents of a task with the columns of their verdicts, a record batch at a time; their texts only where the
    ledger or augmentation asks for them."""
    docs = Packed(files.local(manifest, "docs"))
    changed = bool(job.publish["augment"])
    names = [name for name in docs.names if name != "text" or changed or job.refine["rejected_text"]]
    start = 0
    for number in range(docs.batches):
        table = docs.read(number, names)
        table = conform(table, docs_schema(job.refine))
        for name in verdicts.schema.names:
            table = set_column(table, name, verdicts[name].slice(start, len(table)))
        start += len(table)
        table = set_column(table, ROW, pa.array(np.arange(len(table))))
        yield table, _Batch(docs, number, table["bytes"].to_numpy(), changed)


def _verdicts(job: Job, files: Files, manifest: dict[str, Any], final_round: int) -> pa.Table:
    """A row for each document of a task: split, part, position; step, reason, duplicate_of, similarity if removed."""
    assigned = manifests(job.output, f"assign-{final_round}")
    refined = compared(job)
    group = (
        int(np.searchsorted(group_starts(refined), np.uint64(manifest["index"]) << np.uint64(DOC_BITS), "right")) - 1
    )
    place = manifest["index"] - groups(refined)[group][0]["index"]
    table = pa.Table.from_batches([files.arrow(assigned[group], "verdicts").get_batch(place)])
    features = files.table(manifest, "features").select(["key0", "key1", "bytes"])
    split, why = table["split"].to_numpy(), table["why"].to_numpy()
    # in the order of the input documents stand where they would stand without a mixture; copies are moved from there
    splits, once = final_splits(job, final_round), final_splits(job, final_round, once=True)
    splits = {name: {**found, "bytes": once[name]["bytes"]} for name, found in splits.items()}
    position, part = places(job, features, split, _before(assigned, group, place), splits)
    steps, reasons = np.array(why_words(job), dtype=object).T
    named = _names(files, assigned, manifest["index"], group) if (why > 0).any() else {}
    first = manifest["index"] << DOC_BITS
    keepers = [named.get(first + row, (None, None)) for row in range(len(table))]
    columns = {
        "bytes": features["bytes"],
        "part": pa.array(part),
        "position": pa.array(position),
        "step": pa.array(steps[why], pa.string()),
        "reason": pa.array(reasons[why], pa.string()),
        "duplicate_of": pa.array([name for name, _ in keepers], pa.string()),
        "detail": pa.array([corpus and f"{ledger.EARLIER}{corpus}" for _, corpus in keepers], pa.string()),
    }
    for name, column in columns.items():
        table = table.append_column(name, column)
    table = _contradicted(job, table, details(job, files, final_round, manifest["index"], len(table)))
    if job.publish["augment"]:
        keys = files.table(manifest, "features").select(["key0", "key1", "text0"])
        table = table.append_column("noise_seed", pa.array(draws(job.publish["augment"], keys)))
    return _left_out(table, times_of(job, files, final_round, group, place))


def _contradicted(job: Job, table: pa.Table, told: np.ndarray) -> pa.Table:
    """With what the ledger says of a label in conflict; the document goes if the recipe drops such."""
    if not job.refine["labels"]:
        return table
    said = pa.array(told, pa.string())
    table = set_column(table, "detail", pc.coalesce(table["detail"], said))
    if job.refine["labels"]["conflicts"] == "list":
        return table
    out = pc.and_(pc.is_valid(said), pc.greater_equal(table["split"], 0))
    values = {"split": pa.scalar(-1, pa.int16()), "step": LABELS_STEP, "reason": CONFLICT}
    for name, value in values.items():
        table = set_column(table, name, pc.if_else(out, value, table[name]))
    return table


def _left_out(table: pa.Table, times: dict[str, pa.Array]) -> pa.Table:
    """With `times`, `augmented`; a document that the mixture does not take once goes to the ledger, with its bucket."""
    bucket = times.pop("left_out_of", None)
    if bucket is not None:
        out = pc.is_valid(bucket)
        values = {"split": pa.scalar(-1, pa.int16()), "step": MIX_STEP, "reason": LEFT_OUT, "detail": bucket}
        for name, value in values.items():
            table = set_column(table, name, pc.if_else(out, value, table[name]))
    for name, column in times.items():
        table = table.append_column(name, column)
    return table


def _before(assigned: list[dict[str, Any]], group: int, place: int) -> list[int]:
    """Bytes of each split in the tasks before this one."""
    tasks = [task for m in assigned[:group] for task in m["counts"]["tasks"]] + assigned[group]["counts"]["tasks"][
        :place
    ]
    return [
        sum(task[1][number] for task in tasks) for number in range(len(assigned[group]["counts"]["tasks"][place][1]))
    ]


def _names(files: Files, assigned: list[dict[str, Any]], index: int, group: int) -> dict[int, tuple[str, str | None]]:
    """Document number -> (id of its keeper, path of the earlier corpus that has it), for the documents of one task."""
    names: dict[int, tuple[str, str | None]] = {}
    low, high = index << DOC_BITS, (index + 1) << DOC_BITS
    for manifest in assigned:
        batch = files.arrow(manifest, "names").get_batch(group)
        docs = batch["doc"].to_numpy()
        rows = slice(*np.searchsorted(docs, np.array([low, high], dtype=np.uint64)).tolist())
        found = zip(batch["id"][rows].to_pylist(), batch["corpus"][rows].to_pylist())
        names.update(zip(docs[rows].tolist(), found))
    return names


def places(
    job: Job, features: pa.Table, split: np.ndarray, before: list[int], splits: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Position (uint64) and output shard (int32) of each document inside its split.

    Positions spread over the whole range of uint64: at random with `shuffle`, else by bytes before the document
    in input order; a shard takes an equal piece of the range.
    """
    publish = job.publish
    key0, key1, size = (features[name].to_numpy() for name in ("key0", "key1", "bytes"))
    position = mixed(key0 ^ (key1 << np.uint64(1)), 2 * publish["seed"] + 1)
    part = np.zeros(len(split), dtype=np.int32)
    for number, found in enumerate(splits.values()):
        inside, total = split == number, found["bytes"]
        if not publish["shuffle"] and total:
            ahead = (
                np.cumsum(size[inside], dtype=np.uint64) - size[inside].astype(np.uint64) + np.uint64(before[number])
            )
            position[inside] = ahead * np.uint64((2**64 - 1) // total)
        part[inside] = ((position[inside] >> np.uint64(32)) * np.uint64(found["parts"])) >> np.uint64(32)
    return position, part


def _reject(rejects: SteadyWriter, removed: pa.Table, account: dict[str, Any]) -> None:
    if not len(removed):
        return
    for step in pc.unique(removed["step"]).to_pylist():
        ledger.count_rejects(account, step, removed.filter(pc.equal(removed["step"], step))["reason"].to_pylist())
    removed = set_column(removed, "shard", removed["_shard"])
    rejects.write(set_column(removed, "record", removed["_record"]))


def _shape(job: Job, final_round: int) -> np.ndarray:
    """(output shards, pieces of each) for each split: uint64 of shape (splits, 2)."""
    splits = final_splits(job, final_round)
    rows = []
    for name in job.publish["splits"]:
        parts = max(splits[name]["parts"], 1)
        rows.append((parts, max(1, -(-splits[name]["bytes"] // (parts * PIECE_BYTES)))))
    return np.array(rows, dtype=np.uint64).reshape(-1, 2)


def _by_piece(
    kept: pa.Table, shape: np.ndarray, schema: pa.Schema, group: _Batch
) -> Iterator[tuple[list[int], pa.Table]]:
    """([split, output shard, piece, `group` or COPIED], rows) for each piece of an output shard that some of these go to."""
    rows = conform(set_column(kept, "_position", kept["position"]), schema).combine_chunks()
    split = kept["split"].to_numpy().astype(np.int64)
    parts, pieces = shape[split, 0], shape[split, 1]
    # `places` finds the shard as position * parts >> 64, to 32 bits; the same with more of them finds the piece
    fine = ((kept["position"].to_numpy() >> np.uint64(32)) * (parts * pieces)) >> np.uint64(32)
    before = np.cumsum(shape[:, 0] * shape[:, 1]) - shape[:, 0] * shape[:, 1]
    cell = fine + before[split]
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.diff(cell[order], prepend=cell[order][:1] + np.uint64(1)))
    if len(starts) > 1:  # one, as it mostly is without shuffling, is all rows as they are
        rows = rows.take(pa.array(order))
    sizes = group.sizes[rows[ROW].to_numpy()]
    stays = np.zeros(len(starts), bool)
    if not group.changed and len(starts):
        firsts = order[starts]
        stays = _stays(np.add.reduceat(sizes, starts), split[firsts], fine[firsts] // pieces[firsts])
        if not stays.all():
            rows = set_column(rows, "text", group.texts.take(rows[ROW]))
    for start, end, stay in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], stays.tolist()):
        first, found = order[start], rows.slice(start, end - start)
        if stay:
            found = set_column(found, "text", pa.nulls(len(found), pa.large_string()))
        yield (
            [int(split[first]), *map(int, divmod(fine[first], pieces[first])), group.number if stay else COPIED],
            found,
        )


def _stays(sizes: np.ndarray, splits: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Whether texts stay where they are, for each piece that has some of a record batch: their bytes, its split and output shard."""
    together = len(sizes) <= 2 and len(np.unique(splits)) == len(np.unique(parts)) == 1
    return (sizes >= STAYS * sizes.sum()) | together


def _quarantine(files: Files, manifest: dict[str, Any], attempt: Attempt, index: int) -> None:
    if output_rows(manifest, "quarantine"):
        output = attempt.create("quarantine", f"quarantine/part-{index:05d}.jsonl")
        shutil.copyfile(files.local(manifest, "quarantine"), output.temp)
        output.rows = output_rows(manifest, "quarantine")
