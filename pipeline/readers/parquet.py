"""Parquet, row group by row group.

A row group that cannot be decoded is one quarantined entry and the next one is read. A file without a
readable footer has no rows to speak of: `InputError`. Not covered: encrypted files, a text inside a nested
column.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from filters.registry import nearest
from pipeline.errors import InputError
from pipeline.readers.rows import Batch, Rows, describe

# what pyarrow raises on damaged bytes; MemoryError comes from a length that lies
BROKEN = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)


def read(path: str, rows: Rows) -> Iterator[Batch]:
    """Batches of the rows of the local file `path`."""
    file = _open(path, rows)
    check(file.schema_arrow, rows)
    for group in range(file.metadata.num_row_groups):
        about = file.metadata.row_group(group)
        if rows.part and not _begins_in(about, rows.part, os.path.getsize(path)):
            rows.record += about.num_rows
            continue
        first, seen = rows.record, 0
        try:
            for batch in file.iter_batches(_batch_rows(about, rows), row_groups=[group], use_threads=False):
                for record in records(batch):
                    rows.add(record)
                    seen += 1
                    if rows.full:
                        yield rows.take()
        except BROKEN as error:
            last = first + about.num_rows - 1
            rows.quarantine(f"{describe(error)}; rows {first + seen} to {last} of row group {group} are lost")
            rows.record = max(last + 1, rows.record)


def _begins_in(group: Any, part: tuple[int, int], size: int) -> bool:
    """Does the row group's first byte lie in the part? One that lies nowhere (a damaged footer) is of the last part."""
    column = group.column(0) if group.num_columns else None
    offset = (column.dictionary_page_offset or column.data_page_offset) if column else 0
    return part[0] <= min(max(offset, 0), size - 1) < part[1]


def _open(path: str, rows: Rows) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=False, pre_buffer=False)
    except BROKEN as error:
        raise InputError(
            f"{rows.path}: not a readable Parquet file: {error}. Its footer is missing or damaged: "
            "fetch the file again, or set input: format if it is of another kind."
        ) from error


def check(schema: pa.Schema, rows: Rows) -> None:
    """`InputError` if there is no column that the text could be in."""
    try:
        names = schema.names
    except UnicodeDecodeError as error:
        raise InputError(f"{rows.path}: a column's name is not UTF-8: {error}. Fetch the file again.") from error
    if rows.chat:
        rows.chat.check(names, rows.path)
        return
    wanted = rows.main
    if wanted not in names:
        raise InputError(
            f"{rows.path}: there is no column {wanted!r}{nearest(wanted, names)} "
            f"(it has {', '.join(names[:20])}). "
            "Name the one that holds the text: input: {text: COLUMN}."
        )
    kind = schema.field(wanted).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_string_view,
            pa.types.is_null,
        )
    ):
        raise InputError(f"{rows.path}: column {wanted!r} holds {kind}, expected text. Set input: columns: text.")


def _batch_rows(about: Any, rows: Rows) -> int:
    """Rows to decode at once, so that a batch of long documents stays within the batch's bytes."""
    average = max(about.total_byte_size // max(about.num_rows, 1), 1)
    return max(1, min(rows.batch_rows, rows.batch_bytes // average))


def records(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """The rows of a batch as Python values."""
    columns = [_values(column) for column in batch.columns]
    names = batch.schema.names
    for values in zip(*columns):
        yield dict(zip(names, values))


def _values(column: pa.Array) -> list[Any]:
    """The column as Python values; text that was stored without being marked as text is decoded."""
    try:
        return [_text(value) for value in column.to_pylist()]
    except (UnicodeDecodeError, ValueError, OverflowError, pa.ArrowException):
        return [_value(scalar) for scalar in column]


def _text(value: Any) -> Any:
    if type(value) is not bytes:
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _value(scalar: pa.Scalar) -> Any:
    """One value that Python's types may have no room for: text that is not UTF-8 as bytes, the year 30000 as
    text."""
    try:
        return _text(scalar.as_py())
    except (UnicodeDecodeError, ValueError, OverflowError, pa.ArrowException):
        pass
    try:
        return scalar.cast(pa.binary()).as_py()
    except pa.ArrowException:
        return scalar.cast(pa.string()).as_py()
