"""Arrow IPC: `.arrow` and `.feather` files, as `datasets.save_to_disk` and Feather V2 write them.

Both layouts, the file and the stream, are read from front to back, batch by batch: a file whose footer is missing gives
all batches before the cut. One batch is in memory at once, as long as its writer made it (`datasets`: 1,000 rows, Feather:
64 K rows). A row whose buffers do not make sense is quarantined; where a batch does not, reading ends: the next one's
place is not known. Not covered: Feather V1, a text inside a nested column.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from pipeline.errors import InputError
from pipeline.readers import parquet
from pipeline.readers.rows import Batch, Rows, describe

FILE_MAGIC = b"ARROW1\0\0"  # a file is this, a stream, and a footer
SLICE = 1000  # rows of a batch that are Python values at once


def read(path: str, rows: Rows) -> Iterator[Batch]:
    """Batches of the rows of the local file `path`. `InputError` if it is no Arrow file or has no text column."""
    with pa.OSFile(path) as source:
        if not source.size():
            return
        reader = _open(source, rows)
        parquet.check(reader.schema, rows)
        number = 0
        while True:
            try:
                batch = reader.read_next_batch()
                batch.validate()
            except StopIteration:
                return
            except parquet.BROKEN as error:
                letter = f"{describe(error)}; from record batch {number} on all rows are lost. Fetch the file again."
                rows.quarantine(letter, b" ", source.tell(), tail=True)
                return
            yield from _rows(batch, rows)
            number += 1


def _open(source: pa.NativeFile, rows: Rows) -> pa.RecordBatchStreamReader:
    head = source.read(len(FILE_MAGIC))
    if head.startswith(b"FEA1"):
        raise InputError(
            f"{rows.path}: this is Feather V1, which is not read. Write it again with pyarrow 1.0 or newer."
        )
    if head != FILE_MAGIC:
        source.seek(0)
    try:
        return pa.ipc.open_stream(source)
    except parquet.BROKEN as error:
        raise InputError(
            f"{rows.path}: not a readable Arrow file: {error}. Fetch it again, or set input: format if it is of another kind."
        ) from error


def _rows(batch: pa.RecordBatch, rows: Rows) -> Iterator[Batch]:
    step = min(SLICE, rows.batch_rows)
    for start in range(0, batch.num_rows, step):
        part = batch.slice(start, step)
        if _wrong(part):
            part = _as_bytes(part)
        if not _wrong(part):
            good = [part]
        else:  # row by row, since what is wrong with one is told of all
            good = [part.slice(i, 1) for i in range(part.num_rows)]
        for piece in good:
            if error := _wrong(piece):
                rows.quarantine(f"BrokenRow: {error}")
                continue
            for record in parquet.records(piece):
                rows.add(record)
                yield from rows.ready()
        yield from rows.ready()


def _wrong(batch: pa.RecordBatch) -> str | None:
    """What does not make sense in the batch's buffers. Values are never looked at before: offsets may point anywhere."""
    try:
        batch.validate(full=True)
    except parquet.BROKEN as error:
        return describe(error)
    return None


def _as_bytes(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Text columns as bytes: the rows that are not UTF-8 are found one by one. As it was, if its offsets are wrong."""
    views = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}
    try:
        columns = [c.view(views[c.type]) if c.type in views else c for c in batch.columns]
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    except parquet.BROKEN:
        return batch
