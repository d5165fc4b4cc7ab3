"""Output shards as files: JSON Lines (plain, gzip, zstandard) and Parquet, the same rows the same bytes; and read again."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from pipeline.files.tables import ZSTD_LEVEL, SteadyWriter

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
