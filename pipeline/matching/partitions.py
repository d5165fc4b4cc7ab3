"""Rows dealt into partitions by hash, and what a partition says of documents, handed back to them.

A dealing task writes one Arrow file of runs: in each run partition p is record batch p, and a run is closed at RUN_ROWS
rows, so that memory does not follow the number of documents. A partition's task writes its marks (rows that begin with a
document's number) as one record batch for each group of document tasks (`pipeline.matching.groups`), sorted by document.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from pipeline.files.commit import Attempt
from pipeline.files.stage_files import DOC_BITS, manifests, opened, output_rows
from pipeline.matching.groups import group_starts

RUN_ROWS = 1 << 20
"""Rows of a run: 20 to 40 MB, and as much again while they are sorted."""


class Dealer:
    """Writes rows, columns at a time, dealt by the top bits of their first column (uint64)."""

    def __init__(
        self,
        attempt: Attempt,
        path: str,
        schema: pa.Schema,
        count: int,
        name: str = "rows",
        run_rows: int | None = None,
    ) -> None:
        self._output = attempt.create(name, path)
        self._schema = schema
        self._count = count
        self._run_rows = run_rows or RUN_ROWS
        self._pending: list[Sequence[np.ndarray]] = []
        self._held = 0
        self._sink = pa.ipc.new_file(self._output.temp, schema)

    def write(self, columns: Sequence[np.ndarray]) -> None:
        self._pending.append(columns)
        self._held += len(columns[0])
        self._output.rows += len(columns[0])
        if self._held >= self._run_rows:
            self._flush()

    def close(self) -> int:
        """Returns the number of rows."""
        self._flush()
        self._sink.close()
        return self._output.rows

    def _flush(self) -> None:
        if not self._held:
            return
        columns = [np.concatenate(pieces) for pieces in zip(*self._pending)]
        self._pending, self._held = [], 0
        bits = self._count.bit_length() - 1
        top = columns[0] >> np.uint64(64 - bits) if bits else np.zeros(len(columns[0]), np.uint64)
        part = top.astype(np.uint16 if bits <= 16 else np.uint32)  # small numbers are sorted by counting
        order = np.argsort(part, kind="stable")
        ends = np.cumsum(np.bincount(part, minlength=self._count)).tolist()
        table = [pa.array(column[order], field.type) for column, field in zip(columns, self._schema)]
        for start, end in zip([0, *ends], ends):
            self._sink.write_batch(pa.record_batch([c.slice(start, end - start) for c in table], schema=self._schema))


def dealt(root: str, stage: str, part: int, count: int, name: str = "rows") -> list[np.ndarray]:
    """The columns of one partition, from all tasks of a dealing stage in order. One file is open at a time."""
    pieces: list[list[np.ndarray]] = []
    schema = None
    for manifest in manifests(root, stage):
        with opened(root) as files:
            reader = files.arrow(manifest, name)
            schema = reader.schema
            for number in range(part, reader.num_record_batches, count):
                pieces.append([np.array(column.to_numpy()) for column in reader.get_batch(number).columns])
    assert schema is not None
    empty = [np.zeros(0, field.type.to_pandas_dtype()) for field in schema]
    return [np.concatenate(columns) for columns in zip(empty, *pieces)]


def write_marks(
    attempt: Attempt, path: str, schema: pa.Schema, columns: list[np.ndarray], documents: list[dict[str, Any]],
    name: str = "marks",
) -> None:  # fmt: skip
    """Rows sorted by their first column, a document's number. `documents` are the manifests that numbers speak of."""
    output = attempt.create(name, path)
    ends = np.append(np.searchsorted(columns[0], group_starts(documents)[1:]), len(columns[0])).tolist()
    with pa.ipc.new_file(output.temp, schema) as sink:
        for start, end in zip([0, *ends], ends):
            arrays = [pa.array(column[start:end], field.type) for column, field in zip(columns, schema)]
            sink.write_batch(pa.record_batch(arrays, schema=schema))
    output.rows = len(columns[0])


def marks(root: str, stage: str, documents: list[dict[str, Any]], index: int) -> list[np.ndarray]:
    """What all partitions say of the documents of one task, sorted by the first two columns; [] if nothing."""
    bounds = np.array([index, index + 1], np.uint64) << np.uint64(DOC_BITS)
    group = int(np.searchsorted(group_starts(documents), bounds[0], side="right")) - 1
    pieces: list[list[np.ndarray]] = []
    for manifest in manifests(root, stage):
        if not output_rows(manifest, "marks"):
            continue
        with opened(root) as files:
            columns = [
                c.to_numpy(zero_copy_only=False) for c in files.arrow(manifest, "marks").get_batch(group).columns
            ]
            here = slice(*np.searchsorted(columns[0], bounds).tolist())
            pieces.append([np.array(column[here]) for column in columns])
    if not pieces:
        return []
    together = [np.concatenate(columns) for columns in zip(*pieces)]
    order = np.lexsort((together[1], together[0]))
    return [column[order] for column in together]
