"""Files of any format to tables of documents.

    for batch in read("crawl.warc.gz", format="warc", columns=Columns(), default_source="crawl"):
        batch.table          # DOCUMENT columns + _record (+ _status for WARC), in the order of the file
        batch.quarantined    # records that no document can be made of
        batch.skipped        # records that are no documents: {"request": 12, ...}

Rows do not depend on the size of the batches. Each record of the file is in exactly one of the three.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline import storage
from pipeline.errors import InputError, nearest
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
        raise InputError(f"{path}: unknown format {format!r}.{nearest(format, FORMATS)} Known: {', '.join(FORMATS)}.")
    rows = Rows(path, columns, default_source, batch_rows, batch_bytes)
    if format == "parquet":
        with storage.local_copy(path) as local:
            yield from parquet.read(local, rows)
        return
    with storage.open_read(path) as stream:
        if format == "jsonl":
            yield from jsonl.read(stream, rows)
        elif format in ("warc", "wet"):
            yield from warc.read(stream, rows)
        elif format in ("csv", "tsv"):
            yield from tables.read(stream, rows, "," if format == "csv" else "\t")
        elif format == "text":
            yield from files.read_text(stream, rows)
        else:
            yield from files.read_html(stream, rows)
