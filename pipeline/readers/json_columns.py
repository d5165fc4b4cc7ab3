"""JSON Lines to documents a block of lines at a time: plain records by a kernel, all others one by one.

The table is the one that `jsonl.read_value` and `Rows` make of the same lines; what differs is that no object is made for
a record whose fields are strings. A line that the kernel does not take goes through `Rows`, and its row is put in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from filters.step import DOCUMENT
from kernels.json_lines import BLANK, FAST, SLOW, json_columns
from kernels.memory import PAD
from kernels.utf8 import is_utf8
from pipeline.readers.fields import made_id, metadata
from pipeline.readers.rows import Batch, Rows
from pipeline.readers.streams import BEHIND, Block, Line

assert BEHIND >= PAD
OTHERS = ("id", "source", "url", "date", "lang")


def wanted(rows: Rows) -> dict[str, str] | None:
    """Document column -> input field, text first; None if these columns ask for more than the kernel knows."""
    fields = {"text": rows.columns.text} | {name: getattr(rows.columns, name) for name in OTHERS}
    fields = {name: field for name, field in fields.items() if field is not None}
    plain = (
        rows.columns.html is None
        and not rows.with_status
        and not rows.chat
        and len(set(fields.values())) == len(fields)
    )
    return fields if plain else None


@dataclass
class Found:
    """What the kernel made of some lines; see `json_columns`."""

    data: np.ndarray
    out: np.ndarray
    ends: np.ndarray
    there: np.ndarray
    starts: np.ndarray
    kinds: np.ndarray
    end: int

    def column(self, number: int, lines: np.ndarray, kind: pa.DataType) -> pa.Array:
        """The values of these lines (ascending; all that the kernel took are among them) as strings."""
        ends = self.ends[number][lines]
        large = kind == pa.large_string()
        offsets = np.zeros(len(lines) + 1, np.int64 if large else np.int32)
        offsets[1:] = ends
        there = self.there[number][lines].astype(bool)
        valid = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
        values = pa.py_buffer(self.out[number, : ends[-1]])
        return pa.Array.from_buffers(kind, len(lines), [valid, pa.py_buffer(offsets), values])

    def lengths(self) -> np.ndarray:
        return np.diff(self.starts, append=self.end) - 1

    def line(self, number: int, length: int, offset: int, limit: int) -> Line:
        start = int(self.starts[number])
        shown = length if length <= limit else 1024
        return Line(offset + start, self.data[start : start + shown].tobytes(), length, "newline")


def batches(block: Block, rows: Rows, limit: int, slowly: Callable[[Line], None]) -> Iterator[Batch]:
    """The records of a block. `slowly` adds one line's to `rows`, also one that is longer than `limit`."""
    fields = wanted(rows)
    assert fields is not None
    if rows.any:
        yield rows.take()
    data = np.frombuffer(block.buffer, np.uint8)
    seen = data.view()
    seen.flags.writeable = False  # as the columns of texts are: one kind of array, compiled once
    valid = is_utf8(seen, 0, block.size)
    start = 0
    while start < block.size:
        stop = block.buffer.find(b"\n", start + rows.batch_bytes - 1, block.size) + 1 or block.size
        found = _find(data, start, stop, list(fields.values()), rows.batch_rows)
        if not valid:
            found.kinds[found.kinds == FAST] = SLOW
        batch = _batch(found, list(fields), block.offset, rows, limit, slowly)
        if batch is not None:
            yield batch
        start = found.end


def _find(data: np.ndarray, start: int, stop: int, fields: list[str], most: int) -> Found:
    keys = [field.encode("utf-8", "surrogatepass") for field in fields]
    most = max(1, min(most, (stop - start) // 2 + 1))
    count = len(fields) + 1
    found = Found(
        data,
        np.empty((count, stop - start + PAD), np.uint8),
        np.empty((count, most), np.int64),
        np.empty((count, most), np.uint8),
        np.empty(most, np.int64),
        np.empty(most, np.uint8),
        stop,
    )
    names = np.frombuffer(b"".join(keys), np.uint8)
    ends = np.cumsum([len(key) for key in keys], dtype=np.int64)
    lines, found.end = json_columns(
        data, start, stop, names, ends, 0, found.out, found.ends, found.there, found.starts, found.kinds
    )
    found.starts, found.kinds = found.starts[:lines], found.kinds[:lines]
    return found


def _batch(
    found: Found, names: list[str], offset: int, rows: Rows, limit: int, slowly: Callable[[Line], None]
) -> Batch | None:
    """The documents of these lines; those of slow lines are made by `slowly` and put in their places."""
    records = rows.record + np.cumsum(found.kinds != BLANK) - 1
    after = rows.record + int((found.kinds != BLANK).sum())
    lengths = found.lengths()
    fast = np.flatnonzero(found.kinds == FAST)
    rest, refused = _rests(found, fast, len(names))
    refused |= lengths[fast] > limit
    found.kinds[fast[refused]] = SLOW
    for number in np.flatnonzero(found.kinds == SLOW).tolist():
        rows.record = int(records[number])
        slowly(found.line(number, int(lengths[number]), offset, limit))
    rows.record = after
    others = rows.take() if rows.any else None
    if refused.all():
        return others
    table = _table(found, names, fast, rest, records[fast], rows)
    if refused.any():
        table = table.filter(pa.array(~refused))
    if others is None:
        return Batch(table)
    both = pa.concat_tables([table, others.table]).sort_by("_record").combine_chunks()
    return Batch(both, others.quarantined, others.skipped)


def _rests(found: Found, lines: np.ndarray, column: int) -> tuple[pa.Array, np.ndarray]:
    """The metadata of these lines, and which of them have a rest that is no JSON, or too deep to be written."""
    values: list[str | None] = [None] * len(lines)
    refused = np.zeros(len(lines), bool)
    there, ends = found.there[column], found.ends[column].tolist()
    view = found.out[column].data
    for at in np.flatnonzero(there[lines]).tolist():
        line = int(lines[at])
        try:
            fields = orjson.loads(view[ends[line - 1] if line else 0 : ends[line]])
            kept = {name: value for name, value in fields.items() if value is not None}
            values[at] = metadata(kept) if kept else None
        except (orjson.JSONDecodeError, RecursionError):
            refused[at] = True
    return pa.array(values, pa.large_string()), refused


def _table(
    found: Found, names: list[str], lines: np.ndarray, rest: pa.Array, records: np.ndarray, rows: Rows
) -> pa.Table:
    columns: dict[str, Any] = {
        name: found.column(number, lines, DOCUMENT.field(name).type) for number, name in enumerate(names)
    }
    columns["metadata"] = rest
    none = pa.nulls(len(lines), pa.string())
    columns["source"] = pc.fill_null(columns.get("source", none), rows.default_source)
    made = columns.get("id", none).is_null()
    columns["id"] = _with_ids(columns.get("id", none), columns["source"], columns["text"])
    arrays = {each.name: columns.get(each.name, none).cast(each.type) for each in DOCUMENT}
    arrays["_record"] = pa.array(records, pa.int64())
    if rows.options.made_ids:
        arrays["_made_id"] = made
    return pa.table(arrays)


def _with_ids(ids: pa.Array, sources: pa.Array, texts: pa.Array) -> pa.Array:
    if not ids.null_count:
        return ids
    made = [
        one if one is not None else made_id(source.as_py(), text.as_py(), None)
        for one, source, text in zip(ids.to_pylist(), sources, texts)
    ]
    return pa.array(made, pa.string())
