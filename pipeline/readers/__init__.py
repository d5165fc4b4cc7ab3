"""Files of any format to tables of documents.

    for batch in read("crawl.warc.gz", format="warc", columns=Columns(), default_source="crawl"):
        batch.table          # DOCUMENT columns + _record (+ _status for WARC), in the order of the file
        batch.quarantined    # records that no document can be made of
        batch.skipped        # records that are no documents: {"request": 12, ...}

Rows do not depend on the size of the batches. Each record of the file is in exactly one of the three.
What each format takes, and what bad input of it gets, stands in docs/formats.md.
"""

from __future__ import annotations

import importlib
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, BinaryIO

from filters.registry import nearest
from pipeline import storage
from pipeline.chat.reader import LayoutReader
from pipeline.errors import InputError
from pipeline.readers import ranges
from pipeline.readers.rows import Batch, Columns, Options, Rows

__all__ = ["FORMATS", "Batch", "Columns", "Options", "format_of", "read"]

FORMATS: dict[str, tuple[str, ...]] = {  # longest endings first: the first that fits counts
    "wet": (".warc.wet", ".wet"),
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".feather"),
    "warc": (".warc",),
    "arc": (".arc",),
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "markdown": (".md", ".markdown"),
    "text": (".txt", ".text"),
    "html": (".html", ".htm", ".xhtml"),
    "epub": (".epub",),
    "mediawiki": (),
    "tar": (".tar", ".tgz", ".tbz2", ".txz"),
    "zip": (".zip",),
    "sql": (),
}
SQL_SCHEMES = ("sqlite", "postgresql", "mysql", "mariadb", "mssql", "oracle", "duckdb", "snowflake")
WIKI_DUMP = re.compile(r"-pages-(articles|meta)[^/]*\.xml|wiki[^/]*\.xml(-p\d+p\d+)?$")  # other XML is no dump
COMPRESSED = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz")
# module and function of each reader. The ones of STREAMS take the raw stream, those of FILES a local file.
STREAMS = {
    "jsonl": "jsonl.read",
    "json": "json_values.read",
    "warc": "warc.read",
    "wet": "warc.read",
    "arc": "arc.read",
    "csv": "tables.read_csv",
    "tsv": "tables.read_tsv",
    "text": "files.read_text",
    "markdown": "markdown.read",
    "html": "files.read_html",
    "mediawiki": "mediawiki.read",
    "tar": "archives.read_tar",
}
FILES = {"parquet": "parquet.read", "arrow": "arrow.read", "epub": "epub.read", "zip": "archives.read_zip"}


def format_of(path: str) -> str | None:
    """The format that a file's name promises, or None."""
    if "://" in path and path.split("://", 1)[0].split("+")[0] in SQL_SCHEMES:
        return "sql"
    name = path.split("?", 1)[0].lower() if path.startswith("http") else path.lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    if WIKI_DUMP.search(name):
        return "mediawiki"
    return next((kind for kind, endings in FORMATS.items() if name.endswith(endings)), None)


def read(
    path: str,
    *,
    format: str,
    columns: Columns,
    default_source: str,
    batch_rows: int = 1000,
    batch_bytes: int = 16 << 20,
    options: Options | None = None,
    part: tuple[int, int] | None = None,
) -> Iterator[Batch]:
    """The documents of one file, or of one `part` of it, in batches bounded by rows and by bytes of content.

    A part is the records that begin in this range of the file's bytes (see `pipeline.parts`).
    Raises `InputError` if the file is not there or cannot be a source of documents at all, `StorageError` if
    storage fails. Bad records and cut files raise nothing: see `Batch.quarantined`.
    """
    if format not in FORMATS:
        raise InputError(f"{path}: unknown format {format!r}{nearest(format, FORMATS)} (known: {', '.join(FORMATS)})")
    rows = Rows(path, columns, default_source, batch_rows, batch_bytes)
    rows.options, rows.part = options or Options(), part
    rows.chat = LayoutReader(rows.options.layout) if rows.options.layout else None
    if format == "sql":
        yield from _whole(reader("sql.read")(path, rows), rows, lambda: 0)
    elif format in FILES:
        with storage.local_copy(path) as local:
            size = os.path.getsize(local)
            yield from _whole(reader(FILES[format])(local, rows), rows, lambda: size)
    else:
        with storage.open_read(path) as stream:
            counted = _Counted(stream if part is None else _of_part(stream, rows, part))
            yield from _whole(reader(STREAMS[format])(counted, rows), rows, lambda: counted.bytes)


def _whole(batches: Iterator[Batch], rows: Rows, consumed: Callable[[], int]) -> Iterator[Batch]:
    """The reader's batches, and the last one, which `rows` still holds at its end."""
    for batch in batches:
        yield replace(batch, consumed=consumed())
    if rows.any:
        yield replace(rows.take(), consumed=consumed())


def reader(name: str) -> Callable[[Any, Rows], Iterator[Batch]]:
    """A reader by name; its module is imported only when a file asks for it."""
    module, _, function = name.partition(".")
    found: Callable[[Any, Rows], Iterator[Batch]] = getattr(
        importlib.import_module(f"pipeline.readers.{module}"), function
    )
    return found


def _of_part(stream: BinaryIO, rows: Rows, part: tuple[int, int]) -> BinaryIO | ranges.Lines:
    """The lines of a part; of a file that cannot be cut the first part is all, the others nothing."""
    if not ranges.whole_or_nothing(stream):
        lines = ranges.Lines(stream, *part)
        rows.base = lambda: lines.base
        return lines
    stream.seek(0)
    return stream if part[0] == 0 else io.BytesIO()


class _Counted:
    """A raw stream that counts what was read of it."""

    def __init__(self, stream: BinaryIO | ranges.Lines) -> None:
        self._stream = stream
        self.bytes = 0

    def read(self, size: int = -1) -> bytes:
        """As the stream's own `read`."""
        data = self._stream.read(size)
        self.bytes += len(data)
        return data
