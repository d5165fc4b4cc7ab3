"""JSON Lines: one object a line.

    {"id": "a1", "text": "Some text.", "url": "https://example.org/", "stars": 3}

Blank lines are no records. A line that is not JSON, is no object, or has no text is quarantined; the next
line is read as if nothing had happened. A file that is one JSON array or object is `json`: see `json_values`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NoReturn

import orjson

from pipeline.readers.json_columns import batches, wanted
from pipeline.readers.rows import Batch, Rows, describe
from pipeline.readers.streams import Gap, Line, TailError, as_utf8, blocks, chunks, is_text, lines, name_of

# Longest line that is held in memory. The largest single documents in public corpora (whole code bases,
# books) are some tens of MB; a line above this is a file without newlines or damage, and parsing takes about
# four times its size.
LINE_LIMIT = 256 << 20
BLOCK = 8 << 20  # bytes of lines that are read together
SURROGATE = re.compile("[\ud800-\udfff]")


def read(stream: BinaryIO, rows: Rows) -> Iterator[Batch]:
    """Batches of the stream's records. One entry with "tail" if the file is cut. Of a file of several gzip members or
    zstandard frames one entry for each damaged place, and reading goes on at the next member."""
    plain = as_utf8(chunks(stream, is_text))
    base, before = rows.base, 0
    piece = _Piece(plain)
    yield from read_plain(piece, rows)
    while piece.broken:
        before += piece.size
        piece = _Piece(plain, inside=True)
        rows.base = lambda behind=before, piece=piece: base() + behind + piece.dropped  # type: ignore[misc]
        yield from read_plain(piece, rows)
    rows.base = base


class _Piece:
    """A stream up to its next gap, where it raises a `TailError` that says that more follows. What lies before the first
    line end is left out where it begins `inside` a line: anywhere but at "{"."""

    def __init__(self, plain: Iterator[bytes], inside: bool = False):
        self._plain, self._inside = plain, inside
        self.broken = False
        self.size = self.dropped = 0

    def __iter__(self) -> Iterator[bytes]:
        given = 0
        for data in self._plain:
            if isinstance(data, Gap):
                self.broken = True
                error = TailError(given, data.error)
                error.goes_on = True
                raise error
            self.size += len(data)
            if self._inside and not data.startswith(b"{"):
                rest = data.partition(b"\n")[2]
                self.dropped += len(data) - len(rest)
                data = rest
            self._inside = self._inside and not data
            given += len(data)
            if data:
                yield data


def read_plain(plain: Iterable[bytes], rows: Rows) -> Iterator[Batch]:
    """As `read`, from UTF-8 that is not compressed any more."""
    cut: tuple[Line, str] | None = None

    def add(line: Line) -> None:
        if error := _read_line(line, rows):
            rows.quarantine(error, line.data, line.offset)

    plainly = wanted(rows) is not None
    size = min(rows.batch_bytes, BLOCK)
    plain = iter(plain)
    try:
        for line in blocks(plain, LINE_LIMIT, size) if plainly else lines(plain, LINE_LIMIT):
            if not isinstance(line, Line):
                yield from batches(line, rows, LINE_LIMIT, add)
                continue
            error = _read_line(line, rows)
            if error and line.end != "newline":
                cut = (line, error)  # an unfinished last line
            elif error:
                rows.quarantine(error, line.data, line.offset)
            if rows.full:
                yield rows.take()
    except TailError as tail:
        if tail.goes_on:
            letter = f"BrokenMember: {name_of(tail.error)}; read on at the next one. Fetch the file again."
            rows.quarantine(letter, cut[0].data if cut else b"", cut[0].offset if cut else tail.offset)
        elif cut:
            rows.lost_tail(tail, cut[0].offset, cut[0].data)
        else:
            rows.lost_tail(tail)
    else:
        if cut:
            rows.quarantine(cut[1], cut[0].data, cut[0].offset, tail=True)


def _read_line(line: Line, rows: Rows) -> str | None:
    """Add the line's record; returns what is wrong with a line that is none."""
    if line.length > len(line.data):
        return f"LineTooLong: {line.length} bytes, the limit is {LINE_LIMIT}"
    return read_value(line.data, line.offset, rows)


def read_value(data: bytes, offset: int, rows: Rows) -> str | None:
    """Add the record that `data` is the JSON of; returns what is wrong with one that is none."""
    try:
        record = orjson.loads(data)
    except orjson.JSONDecodeError:
        if not data.strip(b" \t\r\n\x0b\x0c"):
            return None
        try:
            record = parse(data)
        except (ValueError, RecursionError) as error:
            return describe(error)
    if type(record) is not dict:
        return f"NotAnObject: expected a JSON object, got {type(record).__name__}"
    if type(record.get(rows.columns.id)) is float:
        record = parse(data)  # orjson reads integers over 64 bits as floats: such an id would change
    rows.add(record, offset, data)
    return None


def parse(line: bytes) -> Any:
    """The value of a line that orjson refuses, where the standard library can make sense of it.

    Lone surrogates (half an emoji, cut by careless software) become U+FFFD, a byte order mark is dropped.
    ValueError or RecursionError if it is no JSON; NaN and Infinity are none.
    """
    value = json.loads(line.decode("utf-8").removeprefix("\ufeff"), parse_constant=_no_constant)
    return _mend(value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _mend(value: Any) -> Any:
    if isinstance(value, str):
        return SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_mend(each) for each in value]
    if isinstance(value, dict):
        return {_mend(key): _mend(each) for key, each in value.items()}
    return value
