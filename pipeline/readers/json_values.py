"""`.json` files: one array of objects, one object with the records in a list, one record, or JSON lines after all.

    [{"text": "one"}, {"text": "two"}]                      two records
    {"version": "1.0", "data": [{"text": "one"}, ...]}      the list's records; what stands beside the list is no record
    {"text": "one", "tags": [{"name": "a"}]}                one record: it has the text column itself

The file is read front to back, a record at a time; a list under one of the names in `LISTS` is never held whole. Any
other object is held until its end, then it is a record, or, if it has no text and one list of objects, an envelope.
Where a record's quotes or brackets do not match, reading goes on at the next line that begins a record like the first
one did. Not covered: an object whose values are the records ({"id1": {...}, "id2": {...}}).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import orjson

from pipeline.readers import jsonl
from pipeline.readers.rows import Batch, Rows
from pipeline.readers.streams import TailError, as_utf8, chunks

HEAD = 1 << 20  # bytes that show which kind of file it is
LISTS = ("data", "rows", "records", "examples", "items", "documents", "docs", "instances", "train")
SIGN = re.compile(rb'["{}\[\]]')
BACKSLASH = ord("\\")
KEY_BEFORE = re.compile(rb'"(\w{1,40})"[ \t\r\n]*:[ \t\r\n]*$')
FIRST = re.compile(rb"\[[ \t\r]*\n([ \t]*)\{")
OPENS = {b"}": b"{", b"]": b"["}
SEARCHES = 100  # times that a broken value may cost a search through much of the file
SCALAR = re.compile(rb"[^,\]}\s]+")
SPACE = re.compile(rb"[ \t\r\n]*")


class Broken(Exception):
    """A value does not end, or none begins. offset: of the place in the stream; sample: its first bytes."""

    def __init__(self, error: str, offset: int, sample: bytes):
        super().__init__(f"BrokenJson: {error}")
        self.offset, self.sample = offset, sample


class Span(NamedTuple):
    """A value's bytes and where they begin. With `list_at` only the beginning of an object: a list of records begins
    behind it."""

    offset: int
    data: bytes
    list_at: int | None = None


class Cursor:
    """A place in a stream of bytes. What lies before it is forgotten at the next `fill`."""

    def __init__(self, plain: Iterator[bytes]):
        self.plain = plain
        self.buffer = b""
        self.at = 0
        self._base = 0  # offset in the stream of the buffer's first byte
        self.tail: TailError | None = None

    @property
    def offset(self) -> int:
        return self._base + self.at

    def fill(self, at_least: int = 1) -> bool:
        """Read on. False at the end of the stream, or where it breaks (then `tail` says how)."""
        parts, size = [self.buffer[self.at :]], 0
        try:
            while size < at_least and (data := next(self.plain, b"")):
                parts.append(data)
                size += len(data)
        except TailError as tail:
            self.tail = tail
        self._base, self.at, self.buffer = self.offset, 0, b"".join(parts)
        return size > 0

    def peek(self) -> bytes:
        """The next byte that is no white space; empty at the end."""
        while True:
            space = SPACE.match(self.buffer, self.at)
            self.at = space.end() if space else self.at
            if self.at < len(self.buffer):
                return self.buffer[self.at : self.at + 1]
            if not self.fill():
                return b""

    def take(self, size: int) -> Span:
        span = Span(self.offset, self.buffer[self.at : self.at + size])
        self.at += size
        return span

    def broken(self, error: str) -> Broken:
        return Broken(error, self.offset, self.buffer[self.at : self.at + 1024])

    def value(self, text: str | None = None) -> Span:
        """The string, object or array that begins here, to its closing quote or bracket. Broken if it has none.

        With `text` (the name of the text column) an object is taken only up to a list of `LISTS`, if it has one
        and no text before it.
        """
        open_, keys = b"", set[bytes]()  # the brackets that are open; the strings of the outermost object
        scanned = 0
        while True:
            while found := SIGN.search(self.buffer, self.at + scanned):
                start, sign = found.start(), found[0]
                end = start + 1
                if sign == b'"':
                    end = self._string_end(start)
                    if not end:
                        break
                    if len(open_) == 1 and text is not None:
                        keys.add(self.buffer[start:end])
                elif sign in b"{[":
                    open_ += sign
                    if len(open_) == 2 and sign == b"[" and text is not None and self._is_list(start, keys, text):
                        return Span(self.offset, b"", start - self.at)
                else:
                    if open_[-1:] != OPENS[sign]:
                        raise self.broken(f"brackets that do not match, at byte {self._base + start}")
                    open_ = open_[:-1]
                scanned = end - self.at
                if not open_:
                    return self.take(scanned)
            size = len(self.buffer) - self.at
            if size > jsonl.LINE_LIMIT:
                raise self.broken(f"a value of more than {jsonl.LINE_LIMIT} bytes")
            if not self.fill(size):  # as much again: a long string is looked through a few times, not a thousand
                raise self.broken("the file ends inside a value")

    def _string_end(self, start: int) -> int:
        """Behind the closing quote of the string that begins at `start`; 0 if it is not in the buffer. A string of JSON
        holds no line end: that is how a forgotten quote shows, which is Broken."""
        buffer, end = self.buffer, start
        while True:
            end = buffer.find(b'"', end + 1)
            if buffer.find(b"\n", start, end if end > 0 else len(buffer)) >= 0:
                raise self.broken(f"the string at byte {self._base + start} does not end in its line")
            if end < 0:
                return 0
            before = end - 1
            while buffer[before] == BACKSLASH:
                before -= 1
            if (end - before) % 2:
                return end + 1

    def _is_list(self, bracket: int, keys: set[bytes], text: str) -> bool:
        key = KEY_BEFORE.search(self.buffer, max(self.at, bracket - 256), bracket)
        return bool(key and key[1].decode() in LISTS and orjson.dumps(text) not in keys)

    def scalar(self) -> Span:
        """A number, true, null or whatever stands here up to a comma, bracket or white space."""
        while True:
            found = SCALAR.match(self.buffer, self.at)
            size = found.end() - self.at if found else 1
            if self.at + size < len(self.buffer) or size > HEAD or not self.fill():
                return self.take(size)

    def skip_to(self, start: re.Pattern[bytes]) -> bool:
        """To the last byte of the next match of `start` behind this place. False if there is none up to the end."""
        self.at += 1
        while True:
            found = start.search(self.buffer, self.at)
            if found:
                self.at = found.end() - 1
                return True
            self.at = max(self.at, len(self.buffer) - 256)  # a match may be cut by the end of the buffer
            if not self.fill():
                return False


def read(stream: BinaryIO, rows: Rows) -> Iterator[Batch]:
    """Batches of the file's records. One entry with "tail" if the file is cut, or cannot be followed any further."""
    cursor = Cursor(as_utf8(chunks(stream)))
    cursor.fill(HEAD)
    if _is_lines(cursor.buffer):
        yield from jsonl.read_plain(_rest(cursor), rows)
        return
    try:
        yield from _Values(cursor, rows).all()
    except Broken as error:
        if cursor.tail:
            rows.lost_tail(cursor.tail, error.offset, error.sample)
        else:
            rows.quarantine(f"{error}; what lies behind is lost", error.sample or b" ", error.offset, tail=True)
    else:
        if cursor.tail:
            rows.lost_tail(cursor.tail)


def _rest(cursor: Cursor) -> Iterator[bytes]:
    """The stream from its beginning; raises what broke it."""
    yield cursor.buffer
    if cursor.tail:
        raise cursor.tail
    yield from cursor.plain


def _is_lines(head: bytes) -> bool:
    """Does each line hold a whole value? Told from the first two lines that are not blank."""
    lines = [line for line in head.split(b"\n", 64) if line.strip()]
    if len(lines) < 2 or lines[0].lstrip().startswith(b"["):
        return False
    # a broken first line costs itself: the second one shows that lines are meant
    return any(line.lstrip().startswith(b"{") and _parses(line) for line in lines[:2])


def _parses(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


class _Values:
    """The values of a file, to rows."""

    def __init__(self, cursor: Cursor, rows: Rows):
        self._cursor, self._rows = cursor, rows
        self._searches = 0

    def all(self) -> Iterator[Batch]:
        """Every value, one after another; more than one is rare, but loses nothing."""
        while sign := self._cursor.peek():
            if sign == b"[":
                yield from self._array()
            elif sign == b"{":
                yield from self._object()
            else:
                self._record(self._cursor.value() if sign == b'"' else self._cursor.scalar())
            yield from self._rows.ready()

    def _array(self) -> Iterator[Batch]:
        """The elements of the array that begins here; each is a record."""
        cursor = self._cursor
        again = _like_the_first(cursor)
        cursor.at += 1
        wants = "value or end"
        while sign := cursor.peek():
            if sign == b"]":
                if wants == "value":
                    self._rows.quarantine("BrokenJson: expected a value, got the array's end", sign, cursor.offset)
                cursor.at += 1
                return
            if sign == b",":
                if wants != "comma":
                    self._rows.quarantine("BrokenJson: expected a value, got a comma", sign, cursor.offset)
                cursor.at += 1
                wants = "value"
                continue
            if wants == "comma":
                self._rows.quarantine("BrokenJson: expected a comma or the array's end", sign, cursor.offset)
            wants = "comma" if self._element(sign, again) else "value"
            yield from self._rows.ready()
        raise cursor.broken("the file ends inside an array")

    def _element(self, sign: bytes, again: re.Pattern[bytes]) -> bool:
        """One element, to a row or the quarantine. False if it is broken; the cursor then stands at the next one."""
        cursor = self._cursor
        try:
            span = cursor.value() if sign in b'{["' else cursor.scalar()
        except Broken as error:
            self._searches += len(cursor.buffer) - cursor.at > HEAD
            if cursor.tail or self._searches > SEARCHES or not cursor.skip_to(again):
                raise
            self._rows.quarantine(str(error), error.sample, error.offset)
            return False
        self._record(span)
        return True

    def _record(self, span: Span) -> None:
        blank = not span.data.strip()  # JSON knows four kinds of white space; a form feed is none of them
        error = "BrokenJson: no value" if blank else jsonl.read_value(span.data, span.offset, self._rows)
        if error:
            self._rows.quarantine(error, span.data, span.offset)

    def _object(self) -> Iterator[Batch]:
        """The object that begins here: an envelope whose list is read as it comes, or a value held whole."""
        cursor, rows = self._cursor, self._rows
        span = cursor.value(rows.main)
        if span.list_at is not None:
            cursor.at += span.list_at
            while True:
                yield from self._array()
                if not self._next_list():
                    return
        records = _inner_records(span.data, rows)
        if records is None:
            self._record(span)
            return
        for record in records:
            rows.add(record, span.offset, orjson.dumps(record)[:1024])
            yield from rows.ready()

    def _next_list(self) -> bool:
        """Pass over what stands beside a list in its object. True at another list of records, False behind the object."""
        cursor = self._cursor
        while cursor.peek() == b",":
            cursor.at += 1
            key = cursor.value().data if cursor.peek() == b'"' else b""
            if cursor.peek() != b":":
                break
            cursor.at += 1
            sign = cursor.peek()
            if sign == b"[" and key.strip(b'"').decode("utf-8", "replace") in LISTS:
                return True
            cursor.value() if sign and sign in b'{["' else cursor.scalar()
        if cursor.peek() != b"}":
            raise cursor.broken("expected the end of the object that the list of records stands in")
        cursor.at += 1
        return False


def _like_the_first(cursor: Cursor) -> re.Pattern[bytes]:
    """Where the next element may begin behind a broken one: on a line of its own, indented as the first one is."""
    found = FIRST.match(cursor.buffer, cursor.at)
    return re.compile(rb"\n" + re.escape(found[1] if found else b"") + rb"\{")


def _inner_records(data: bytes, rows: Rows) -> list[dict[str, Any]] | None:
    """The records in an object that is an envelope: it has no text of its own, and one list of objects."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if rows.is_record(value):
        return None
    lists = [inner for inner in value.values() if type(inner) is list and inner and all(type(x) is dict for x in inner)]
    return lists[0] if len(lists) == 1 else None
