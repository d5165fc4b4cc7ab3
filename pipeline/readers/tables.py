"""CSV and TSV with a header line.

    id,text
    a1,"Some text,
    on two lines."

Fields may be quoted, in TSV too, and hold newlines, separators, doubled quotes and NUL. A row with more or
fewer fields than the header is quarantined: its text cannot be told from its neighbours. Not covered: files
without a header, other separators, comments.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

from filters.registry import nearest
from pipeline.errors import InputError
from pipeline.readers.rows import Batch, Rows, describe
from pipeline.readers.streams import Line, TailError, as_utf8, chunks, lines

# Longest field, in characters. A quote that is never closed eats the file up to here, so it bounds the
# memory; Python's own limit of 128 K characters is shorter than many documents.
FIELD_LIMIT = 64 << 20


class _Physical:
    """Feeds lines to the csv module and remembers where the current record began."""

    def __init__(self, plain: Iterator[Line]):
        self._lines = plain
        self.first: Line | None = None  # the first line of the current record
        self.last: Line | None = None

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.first, self.last = self.first or line, line
            if line.end == "cut":
                continue  # the rest of the record is gone: the TailError that comes next tells
            if line.length > len(line.data):
                raise csv.Error(f"line of {line.length} bytes, the limit is {FIELD_LIMIT}")
            # bytes that are not UTF-8 stay visible as lone surrogates, so that only their own record suffers
            yield line.data.decode("utf-8", "surrogateescape") + ("\n" if line.end == "newline" else "")


def read_csv(stream: BinaryIO, rows: Rows) -> Iterator[Batch]:
    """As `read`, fields apart by commas."""
    return read(stream, rows, ",")


def read_tsv(stream: BinaryIO, rows: Rows) -> Iterator[Batch]:
    """As `read`, fields apart by tabs."""
    return read(stream, rows, "\t")


def read(stream: BinaryIO, rows: Rows, delimiter: str) -> Iterator[Batch]:
    """Batches of the table's rows. `InputError` if the header has no text column."""
    csv.field_size_limit(FIELD_LIMIT)
    physical = _Physical(lines(as_utf8(chunks(stream)), FIELD_LIMIT))
    header: list[str] = []
    feed = iter(physical)
    while True:
        physical.first = None
        # a reader a record: after an error inside quotes the csv module has no defined state
        try:
            fields = next(csv.reader(feed, delimiter=delimiter, strict=True), None)
            if fields is None:
                break
        except csv.Error as error:
            _bad(rows, physical, describe(error))
            if physical.last and physical.last.length > len(physical.last.data):
                feed = iter(physical)  # the generator that raised is finished
            continue
        except TailError as tail:
            first = physical.first
            rows.lost_tail(tail, first.offset if first else None, first.data if first else b"")
            break
        if not header and any(fields):
            header = _header(fields, rows)
        elif any(fields):
            _row(header, fields, rows, physical)
        if rows.full:
            yield rows.take()


def _bad(rows: Rows, physical: _Physical, error: str) -> None:
    first, last = physical.first, physical.last
    if first is None:
        return
    open_end = "unexpected end of data" in error and last is not None
    rows.quarantine(error, first.data, first.offset, tail=open_end)


def _header(fields: list[str], rows: Rows) -> list[str]:
    wanted = rows.main
    names = [name.strip().encode("utf-8", "replace").decode() for name in fields]
    if rows.chat:
        rows.chat.check(names, rows.path)
    elif wanted not in names:
        raise InputError(
            f"{rows.path}: the header has no column {wanted!r}{nearest(wanted, names)} "
            f"(it has {', '.join(names[:20])}). "
            "Name the one that holds the text: input: {text: COLUMN}."
        )
    return names


def _row(header: list[str], fields: list[str], rows: Rows, physical: _Physical) -> None:
    if len(fields) != len(header):
        _bad(rows, physical, f"FieldCount: expected {len(header)} fields, got {len(fields)}")
    elif any(max(each, default="") >= "\udc80" and not _is_text(each) for each in fields):
        _bad(rows, physical, "UnicodeDecodeError: bytes that are not UTF-8; convert the file (iconv -t UTF-8)")
    else:
        first = physical.first
        # an empty field says nothing, except in the text column, where it is a document without text
        record = {k: v for k, v in zip(header, fields) if v or k == rows.columns.text or rows.chat}
        rows.add(record, first.offset if first else None, first.data if first else None)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
