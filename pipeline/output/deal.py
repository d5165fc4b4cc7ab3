"""Stages deal and publish: from verdicts to the files that the user gets.

    deal     a refine task's documents -> the kept ones, sorted into output shards; its part of the ledger
             (rejected/part-00003.parquet) and of the quarantine (quarantine/part-00003.jsonl)
    publish  one output shard: its documents from all deal tasks, in order of position, written as
             train/part-00000.jsonl.zst

A deal task holds one row group at a time; a publish task one piece of its output shard. Pieces are ranges of positions,
as many as it takes for a piece to have about PIECE_BYTES of text.
"""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq
import zstandard

from filters.step import set_column
from pipeline import ledger
from pipeline.chat.tables_out import written_rows
from pipeline.documents import docs_schema, documents, text_stages
from pipeline.files.commit import Attempt
from pipeline.files.stage_files import DOC_BITS, Files, manifests, opened, output_rows
from pipeline.files.tables import ZSTD_LEVEL, SteadyWriter, conform
from pipeline.job import Job
from pipeline.matching.clusters import corpus_schema, published_schema, repeated, with_cluster, with_fold
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
from pipeline.tokenized import FORMATS
from pipeline.tokenized.publish import count_tokens, publish_tokens

PIECE_BYTES = 16 << 20
"""Text of an output shard that a publish task holds at once. An output shard of 143 MB in one piece took 580 MB of memory."""

# -- deal ------------------------------------------------------------------------------------------


def deal(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Counts: the account of what this refine task's documents became in dedup, and `batches`: (split, output shard, piece) of each."""
    index = task["index"]
    manifest = documents(job)[index]
    rejected_to = attempt.create("rejected", f"rejected/part-{index:05d}.parquet")
    rejects = SteadyWriter(rejected_to.temp, ledger.rejected_schema(job.refine["signals"], job.refine["rejected_text"]))
    dealt = attempt.create("dealt", f".work/deal/{index:06d}.arrow")
    schema = _dealt_schema(job)
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
            for docs in _judged(job, files, manifest, verdicts):
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
                    for place, rows in _by_piece(copy, shape):
                        sink.write_table(conform(rows, schema).combine_chunks())
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


def _dealt_schema(job: Job) -> pa.Schema:
    return published_schema(job).append(pa.field("_position", pa.uint64()))


def _judged(job: Job, files: Files, manifest: dict[str, Any], verdicts: pa.Table) -> Iterator[pa.Table]:
    """The documents of a task with the columns of their verdicts, a row group at a time."""
    docs = pq.ParquetFile(files.local(manifest, "docs"))
    start = 0
    for number in range(docs.num_row_groups):
        table = docs.read_row_group(number, use_threads=False)
        table = conform(table, docs_schema(job.refine))
        for name in verdicts.schema.names:
            table = set_column(table, name, verdicts[name].slice(start, len(table)))
        start += len(table)
        yield table


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


def _by_piece(kept: pa.Table, shape: np.ndarray) -> Iterator[tuple[list[int], pa.Table]]:
    """([split, output shard, piece], rows) for each piece of an output shard that some of these rows go to."""
    kept = set_column(kept, "_position", kept["position"])
    split, part = (kept[name].to_numpy().astype(np.int64) for name in ("split", "part"))
    parts, pieces = shape[split, 0], shape[split, 1]
    # `places` finds the shard as position * parts >> 64, to 32 bits; the same with more of them finds the piece
    fine = ((kept["position"].to_numpy() >> np.uint64(32)) * (parts * pieces)) >> np.uint64(32)
    triples = np.stack([split, part, fine.astype(np.int64) - part * pieces.astype(np.int64)], axis=1)
    if len(triples) and (triples == triples[0]).all():  # as it mostly is without shuffling
        yield triples[0].tolist(), kept
        return
    distinct, which = np.unique(triples, axis=0, return_inverse=True)
    for number, place in enumerate(distinct.tolist()):
        yield place, kept.filter(pa.array(which.reshape(-1) == number))


def _quarantine(files: Files, manifest: dict[str, Any], attempt: Attempt, index: int) -> None:
    if output_rows(manifest, "quarantine"):
        output = attempt.create("quarantine", f"quarantine/part-{index:05d}.jsonl")
        shutil.copyfile(files.local(manifest, "quarantine"), output.temp)
        output.rows = output_rows(manifest, "quarantine")


# -- publish ---------------------------------------------------------------------------------------


def publish(job: Job, task: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
    """Writes one output shard."""
    split, part = task["split"], task["part"]
    kind, tokens = job.publish["format"], job.publish["tokens"]
    if kind in FORMATS:
        return publish_tokens(
            tokens, kind, _pieces(job, job.publish["splits"].index(split), part), attempt, split, part
        )
    output = attempt.create("part", f"{split}/part-{part:05d}.{kind}")
    counts: dict[str, Any] = {"split": split, "rows": 0, "bytes": 0, "tokens": {"tokens": 0}}

    def counted() -> Iterator[pa.Table]:
        for table in _pieces(job, job.publish["splits"].index(split), part):
            counts["rows"] += len(table)
            counts["bytes"] += int(pc.sum(pc.binary_length(table["text"])).as_py() or 0)
            if tokens:
                counts["tokens"]["tokens"] += count_tokens(tokens, table)
            yield table

    layout = job.publish["layout"]
    if layout is None:
        WRITERS[kind](counted(), output.temp, published_schema(job))
    elif kind == "parquet":
        schema = corpus_schema(job)
        tables = (pa.Table.from_pylist(list(written_rows(t, schema, layout)), schema) for t in counted())
        WRITERS[kind](tables, output.temp, schema)
    else:
        schema = corpus_schema(job)
        write_rows(SINKS[kind], (row for t in counted() for row in written_rows(t, schema, layout)), output.temp)
    output.rows = counts["rows"]
    return counts


def _pieces(job: Job, split: int, part: int) -> Iterator[pa.Table]:
    """The documents of an output shard in order, a piece at a time."""
    found: dict[int, list[tuple[dict[str, Any], int]]] = {}
    for manifest in manifests(job.output, "deal"):
        for at, (its_split, its_part, piece) in enumerate(manifest["counts"]["batches"]):
            if (its_split, its_part) == (split, part):
                found.setdefault(piece, []).append((manifest, at))
    with opened(job.output) as files:
        paths: dict[str, str] = {}
        for _, pieces in sorted(found.items(), key=lambda item: item[0]):
            batches = []
            for task, group in itertools.groupby(pieces, key=lambda piece: piece[0]["task"]):
                mine = list(group)
                if task not in paths:
                    paths[task] = files.local(mine[0][0], "dealt")
                # read, not mapped: mapped pages of all pieces would stay in memory
                with pa.OSFile(paths[task]) as source:
                    reader = pa.ipc.open_file(source)
                    batches += [reader.get_batch(at) for _, at in mine]
            yield _in_order(pa.Table.from_batches(batches, _dealt_schema(job))).drop_columns(["_position"])


def _in_order(table: pa.Table) -> pa.Table:
    """Sorted by position; records that share source and id share a position, and are ordered by their content."""
    positions = table["_position"].to_numpy()
    if (positions[1:] > positions[:-1]).all():
        return table
    order = np.argsort(positions, kind="stable")
    again = np.flatnonzero(positions[order][1:] == positions[order][:-1])
    if len(again):
        tied = np.isin(positions, positions[order][again])
        content = np.array([""] * len(table), dtype=object)
        rows = np.flatnonzero(tied)
        content[rows] = [orjson.dumps(row).hex() for row in table.take(pa.array(rows)).to_pylist()]
        order = np.array(sorted(range(len(table)), key=lambda i: (positions[i], content[i])), dtype=np.int64)
    return table.take(pa.array(order))


Writer = Callable[[Iterator[pa.Table], str, pa.Schema], None]


def _write_jsonl(open_sink: Callable[[str], Any]) -> Writer:
    def write(tables: Iterator[pa.Table], path: str, schema: pa.Schema) -> None:
        batches = (batch for table in tables for batch in table.to_batches(max_chunksize=1024))
        write_rows(open_sink, (row for batch in batches for row in batch.to_pylist()), path)

    return write


def write_rows(open_sink: Callable[[str], Any], rows: Iterator[dict[str, Any]], path: str) -> None:
    """JSON Lines."""
    with open_sink(path) as sink:
        for row in rows:
            sink.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


@contextmanager
def _plain(path: str) -> Iterator[Any]:
    with open(path, "wb") as file:
        yield file


@contextmanager
def _zstd(path: str) -> Iterator[Any]:
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
    with open(path, "wb") as file, compressor.stream_writer(file) as sink:
        yield sink


@contextmanager
def _gzip(path: str) -> Iterator[gzip.GzipFile]:
    # no file name and no time in the header: the same rows are the same bytes
    with (
        open(path, "wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as sink,
    ):
        yield sink


def _write_parquet(tables: Iterator[pa.Table], path: str, schema: pa.Schema) -> None:
    writer = SteadyWriter(path, schema, weigh="text" if "text" in schema.names else None)
    for table in tables:
        writer.write(table)
    writer.close()


SINKS: dict[str, Callable[[str], Any]] = {"jsonl": _plain, "jsonl.gz": _gzip, "jsonl.zst": _zstd}
WRITERS: dict[str, Writer] = {**{kind: _write_jsonl(sink) for kind, sink in SINKS.items()}, "parquet": _write_parquet}


def read_part(path: str, kind: str) -> Iterator[pa.Table]:
    """The rows of a local output shard, as tables."""
    if kind == "parquet":
        for batch in pq.ParquetFile(path).iter_batches(batch_size=1024):
            yield pa.Table.from_batches([batch])
        return
    rows: list[Any] = []
    for line in _lines(path, kind):
        rows.append(json.loads(line))
        if len(rows) == 1024:
            yield pa.Table.from_pylist(rows)
            rows = []
    if rows:
        yield pa.Table.from_pylist(rows)


def _lines(path: str, kind: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        if kind == "jsonl.zst":
            import io

            yield from io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))
        elif kind == "jsonl.gz":
            yield from gzip.GzipFile(fileobj=file)
        else:
            yield from file
