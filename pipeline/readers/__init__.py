"""Files of any format to tables of documents.

    for batch in read("crawl.warc.gz", format="warc", columns=Columns(), default_source="crawl"):
        batch.table          # DOCUMENT columns + _record (+ _status for WARC), in the order of the file
        batch.quarantined    # records that no document can be made of
        batch.skipped        # records that are no documents: {"request": 12, ...}

Rows do not depend on the size of the batches. Each record of the file is in exactly one of the three.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, BinaryIO

from filters.registry import nearest
from pipeline import storage
from pipeline.errors import InputError
from pipeline.readers import files, jsonl, parquet, tables, warc
from pipeline.readers.rows import Batch, Columns, Rows

__all__ = ["FORMATS", "Batch", "Columns", "format_of", "read"]

FORMATS: dict[str, tuple[str, ...]] = {  # longest endings first: the first that fits counts
    "wet": (".warc.wet", ".wet"),
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "parquet": (".parquet", ".pq"),
    "warc": (".warc",),
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "text": (".txt", ".text", ".md"),
    "html": (".html", ".htm", ".xhtml"),
}
COMPRESSED = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz")


def format_of(path: str) -> str | None:
    """The format that a file's name promises, or None."""
    name = path.split("?", 1)[0].lower() if path.startswith("http") else path.lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return next((kind for kind, endings in FORMATS.items() if name.endswith(endings)), None)


def read(
    path: str,
    *,
    format: str,
    columns: Columns,
    default_source: str,
    batch_rows: int = 1000,
    batch_bytes: int = 16 << 20,
) -> Iterator[Batch]:
    """The documents of one file, in batches bounded by rows and by bytes of content.

    Raises `InputError` if the file is not there or cannot be a source of documents at all, `StorageError` if
    storage fails. Bad records and cut files raise nothing: see `Batch.quarantined`.
    """
    if format not in FORMATS:
        raise InputError(f"{path}: unknown format {format!r}{nearest(format, FORMATS)} (known: {', '.join(FORMATS)})")
    rows = Rows(path, columns, default_source, batch_rows, batch_bytes)
    if format == "parquet":
        with storage.local_copy(path) as local:
            size = os.path.getsize(local)
            for batch in parquet.read(local, rows):
                yield replace(batch, consumed=size)
        return
    with storage.open_read(path) as stream:
        counted = _Counted(stream)
        for batch in _stream_reader(format)(counted, rows):
            yield replace(batch, consumed=counted.bytes)


def _stream_reader(format: str) -> Callable[[Any, Rows], Iterator[Batch]]:
    """The reader of a format that is read from front to back."""
    if format in ("csv", "tsv"):
        return lambda stream, rows: tables.read(stream, rows, "," if format == "csv" else "\t")
    return {"jsonl": jsonl.read, "warc": warc.read, "wet": warc.read, "text": files.read_text, "html": files.read_html}[
        format
    ]


class _Counted:
    """A raw stream that counts what was read of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.bytes = 0

    def read(self, size: int = -1) -> bytes:
        """As the stream's own `read`."""
        data = self._stream.read(size)
        self.bytes += len(data)
        return data
