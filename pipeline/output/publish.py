"""Stage publish: one output shard, its documents from all deal tasks, in order of position, written as
train/part-00000.jsonl.zst. A task holds one piece of the shard (see `pipeline.output.deal`)."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from filters.step import set_column
from pipeline.chat.tables_out import written_rows
from pipeline.documents import documents
from pipeline.files.commit import Attempt
from pipeline.files.stage_files import Files, manifests, opened
from pipeline.files.tables import Packed
from pipeline.job import Job
from pipeline.matching.clusters import corpus_schema, published_schema
from pipeline.output.deal import COPIED, ROW
from pipeline.output.writers import SINKS, WRITERS, write_rows
from pipeline.tokenized import FORMATS
from pipeline.tokenized.publish import count_tokens, publish_tokens


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
    found: dict[int, list[tuple[dict[str, Any], int, int]]] = {}
    for manifest in manifests(job.output, "deal"):
        for at, (its_split, its_part, piece, group) in enumerate(manifest["counts"]["batches"]):
            if (its_split, its_part) == (split, part):
                found.setdefault(piece, []).append((manifest, at, group))
    with opened(job.output) as files, contextlib.closing(_Texts(job, files)) as texts:
        for _, pieces in sorted(found.items(), key=lambda item: item[0]):
            batches = []
            for _, mine in itertools.groupby(pieces, key=lambda piece: piece[0]["task"]):
                batches += _dealt(files, texts, list(mine))
            yield _in_order(pa.concat_tables(batches)).drop_columns(["_position", ROW])


class _Texts:
    """The texts of documents' files. The last record batch is kept: where one piece ends, the next one begins."""

    def __init__(self, job: Job, files: Files) -> None:
        self._job, self._files = job, files
        self._open = contextlib.ExitStack()
        self._task = self._group = COPIED
        self._docs: Any = None
        self._texts: Any = None

    def of(self, task: int, group: int) -> pa.ChunkedArray:
        """Of one record batch of a task of deal."""
        if task != self._task:
            self._open.close()
            source = self._open.enter_context(self._files.source(documents(self._job)[task], "docs"))
            self._docs, self._task, self._group = Packed(source), task, COPIED
        if group != self._group:
            self._texts = None  # not two at a time
            self._texts, self._group = self._docs.read(group, ["text"])["text"], group
        return self._texts

    def close(self) -> None:
        self._open.close()


def _dealt(files: Files, texts: _Texts, places: list[tuple[dict[str, Any], int, int]]) -> list[pa.Table]:
    """Batches (number, record batch or COPIED) of one deal task, with their texts."""
    manifest = places[0][0]
    with files.source(manifest, "dealt") as source:
        reader = pa.ipc.open_file(source)
        tables = [pa.Table.from_batches([reader.get_batch(at)]) for _, at, _ in places]
    for number, (_, _, group) in enumerate(places):
        if group != COPIED:
            found, rows = texts.of(manifest["index"], group), tables[number][ROW]
            taken = found if len(rows) == len(found) else found.take(rows)
            tables[number] = set_column(tables[number], "text", taken)
    return tables


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
