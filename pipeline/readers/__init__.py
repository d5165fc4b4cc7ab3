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
from typing import TYPE_CHECKING, Any, BinaryIO

from filters.registry import nearest
from pipeline.chat.reader import LayoutReader
from pipeline.errors import InputError
from pipeline.files import storage
from pipeline.readers import members, ranges
from pipeline.readers.decoders import compression
from pipeline.readers.rows import Batch, Columns, Options, Rows

if TYPE_CHECKING:
    from pipeline.readers.wat_fields import Join

__all__ = ["FORMATS", "Batch", "Columns", "Options", "format_of", "read"]

FORMATS: dict[str, tuple[str, ...]] = {  # longest endings first: the first that fits counts
    "wet": (".warc.wet", ".wet"),
    "wat": (".wat",),
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
    "wat": "wat.read",
    "arc": "arc.read",
    "csv": "tables.read_csv",
    "tsv": "tables.read_tsv",
    "text": "files.read_text",
    "markdown": "markdown.read",
    "html": "files.read_html",
    "mediawiki": "mediawiki.read",
    "tar": "archives.read_tar",
}
MEMBERS = {
    "warc": "warc.begins",
    "wet": "warc.begins",
    "wat": "warc.begins",
    "arc": "arc.begins",
}  # a record begins where a member does
FRAMERS = {"warc": "framer.Framer", "wet": "framer.Framer", "wat": "framer.Framer", "arc": "arc.ArcFramer"}
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
    wat: Join | None = None,
) -> Iterator[Batch]:
    """The documents of one file, or of one `part` of it, in batches bounded by rows and by bytes of content.

    A part is the records that begin in this range of the file's bytes (see `pipeline.files.parts`). `wat`: the WAT file that adds
    to the documents of a WARC or WET file, see `wat_join`.
    Raises `InputError` if the file is not there or cannot be a source of documents at all, `StorageError` if
    storage fails. Bad records and cut files raise nothing: see `Batch.quarantined`.
    """
    if format not in FORMATS:
        raise InputError(f"{path}: unknown format {format!r}{nearest(format, FORMATS)} (known: {', '.join(FORMATS)})")
    rows = Rows(path, columns, default_source, batch_rows, batch_bytes)
    rows.options, rows.part = options or Options(), part
    rows.chat = LayoutReader(rows.options.layout) if rows.options.layout else None
    if wat is not None:
        rows.with_page = True
        yield from reader("wat_join.joined")(_opened(path, format, rows, part), rows, wat)
    else:
        yield from _opened(path, format, rows, part)


def _opened(path: str, format: str, rows: Rows, part: tuple[int, int] | None) -> Iterator[Batch]:
    if format == "sql":
        yield from _whole(reader("sql.read")(path, rows), rows, lambda: 0)
    elif format in FILES:
        with storage.local_copy(path) as local:
            size = os.path.getsize(local)
            yield from _whole(reader(FILES[format])(local, rows), rows, lambda: size)
    else:
        with storage.open_read(path) as stream:
            counted = _Counted(stream if part is None else _of_part(stream, rows, part, format))
            yield from _whole(reader(STREAMS[format])(counted, rows), rows, lambda: counted.taken)


def _whole(batches: Iterator[Batch], rows: Rows, consumed: Callable[[], int]) -> Iterator[Batch]:
    """The reader's batches, and the last one, which `rows` still holds at its end."""
    for batch in batches:
        yield replace(batch, consumed=consumed())
    if rows.any:
        yield replace(rows.take(), consumed=consumed())


def reader(name: str) -> Callable[..., Any]:
    """A reader (or `begins`) by name; its module is imported only when a file asks for it."""
    module, _, function = name.partition(".")
    found: Callable[..., Any] = getattr(importlib.import_module(f"pipeline.readers.{module}"), function)
    return found


def _of_part(stream: BinaryIO, rows: Rows, part: tuple[int, int], format: str) -> Any:
    """The records that begin in a part, as a stream; of a file that cannot be cut the first part is all, the others nothing."""
    stream.seek(0)
    head = stream.read(6)
    kind = compression(head)
    found: Any = None
    if kind in ("gz", "zst") and format in MEMBERS:
        found = members.records(stream, kind, part, reader(MEMBERS[format]))
        if found:
            found, base = found
            rows.base = lambda: base
    elif kind in ("gz", "zst"):
        found = members.lines(stream, kind, part)
    elif format in FRAMERS and not kind and head and "://" not in rows.path:
        if place := reader("framer.part_of")(reader(FRAMERS[format])(), stream, part):
            stream.seek(place[0])
            found = stream
            rows.base, rows.until = lambda: place[0], place[1]
    elif format not in MEMBERS and not kind and not head.startswith(ranges.WIDE):
        found = ranges.Lines(stream, *part)
        rows.base = lambda: found.base
    elif part[0] == 0:
        stream.seek(0)
        found = stream
    return io.BytesIO() if found is None else found


class _Counted:
    """A raw stream that counts what was read of it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._read = 0

    @property
    def taken(self) -> int:
        """Bytes of the file, as stored."""
        return int(getattr(self._stream, "consumed", self._read))

    def read(self, size: int = -1) -> bytes:
        """As the stream's own `read`."""
        data = self._stream.read(size)
        self._read += len(data)
        return data
