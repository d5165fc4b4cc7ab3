"""Documents that are too long: dropped, cut off, or split into several.

    max_chars=10, too_long="split":   id "a", "one two three"   ->   id "a#1" "one two ", id "a#2" "three"

A cut falls behind a line break in the second half of the allowed length, else behind white space there, else after `max_chars`
code points, before the marks of a letter. The parts of a text, one after another, are the text; what is cut off ends without white space.
The column `part_of` is the id of the document as it was read, null where a text is whole: a split keeps parts together by it.
Not covered: sentences, tokens (the signal `token_count` and `keep` drop by these), graphemes of several letters (flags, families).
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.rows import put_rows
from filters.step import Step, all_kept, reasons, set_column

PART_OF = "part_of"
MARKS = 32  # combining marks that a cut may step back over; more on one letter is noise
_LINES = re.compile(r"\n+")
_SPACE = re.compile(r"\s+")


def length(
    chosen: Callable[[pa.Table], np.ndarray] | None = None,
    *,
    max_chars: int,
    too_long: Literal["drop", "truncate", "split"] = "drop",
    at: Literal["line", "word", "char"] = "line",
) -> Step:
    """A step on texts of more than `max_chars` code points; by "split" the table has more rows than before, in order: the parts
    of a document stand together, with its other columns and the ids ID#1, ID#2, ... `chosen`: bool, which rows it asks. Errors: ValueError."""
    if max_chars < 1:
        raise ValueError(f"max_chars is {max_chars}; expected 1 or more")

    def step(table: pa.Table) -> tuple[pa.Table, pa.StructArray]:
        chars = pc.fill_null(pc.utf8_length(table["text"]), 0).to_numpy()
        long = chars > max_chars
        if chosen is not None:
            long &= chosen(table)
        rows = np.flatnonzero(long)
        if not len(rows):
            return table, all_kept(len(table))
        if too_long == "drop":
            return table, reasons(len(table), rows, "length.max", chars[rows].astype(float), float(max_chars))
        texts = table["text"].take(pa.array(rows)).to_pylist()
        if too_long == "truncate":
            heads = [text[: cut_at(text, 0, max_chars, at)].rstrip() for text in texts]
            column = put_rows(table["text"].combine_chunks().cast(pa.large_string()), rows, heads)
            return set_column(table, "text", column), all_kept(len(table))
        table = _split(table, rows, [parts(text, max_chars, at) for text in texts])
        return table, all_kept(len(table))

    return step


def parts(text: str, max_chars: int, at: str) -> list[str]:
    """The text in pieces of up to `max_chars` code points."""
    found = []
    start = 0
    while start < len(text):
        end = cut_at(text, start, max_chars, at)
        found.append(text[start:end])
        start = end
    return found


def cut_at(text: str, start: int, max_chars: int, at: str) -> int:
    """Where the piece that begins at `start` ends."""
    end = start + max_chars
    if end >= len(text):
        return len(text)
    half = start + max_chars // 2
    for pattern in {"line": (_LINES, _SPACE), "word": (_SPACE,), "char": ()}[at]:
        ends = [found.end() for found in pattern.finditer(text, half, end)]
        if ends:
            return ends[-1]
    while end > max(start + 1, start + max_chars - MARKS) and unicodedata.combining(text[end]):
        end -= 1
    return end


def _split(table: pa.Table, rows: np.ndarray, pieces: list[list[str]]) -> pa.Table:
    """The table with each of `rows` as often as it has pieces."""
    times = np.ones(len(table), np.int64)
    times[rows] = [len(each) for each in pieces]
    starts = np.cumsum(times) - times
    places = np.concatenate([start + np.arange(count) for start, count in zip(starts[rows], times[rows])])
    ids = [table["id"][row].as_py() for row in rows.tolist()]
    names = [f"{name}#{number}" for name, each in zip(ids, pieces) for number in range(1, len(each) + 1)]
    if PART_OF not in table.schema.names:
        table = set_column(table, PART_OF, pa.nulls(len(table), pa.string()))
    # a part that is split again is a part of the first
    first = pc.coalesce(table[PART_OF], table["id"]).take(pa.array(np.repeat(rows, times[rows])))
    table = table.take(pa.array(np.repeat(np.arange(len(table)), times)))
    texts = [piece for each in pieces for piece in each]
    for column, values in (("text", texts), ("id", names), (PART_OF, first.combine_chunks())):
        column_type = table.schema.field(column).type
        mask = np.zeros(len(table), bool)
        mask[places] = True
        replaced = pc.replace_with_mask(table[column].combine_chunks(), pa.array(mask), _array(values, column_type))
        table = set_column(table, column, replaced)
    return table


def _array(values: list[str] | pa.Array, kind: pa.DataType) -> pa.Array:
    return pa.array(values, kind) if isinstance(values, list) else values.cast(kind)
