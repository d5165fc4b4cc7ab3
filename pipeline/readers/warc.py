"""WARC and WET: crawled pages, and the text that a crawler made of them.

In: WARC 0.17-1.1, plain or compressed (a member a record, or the whole file). Out: `response` and `resource`
records as pages (html as bytes, transfer and content encodings undone), `conversion` records (WET) as text.

    id="6d058047-..."  url="http://example.com/"  date="2014-01-03T03:03:21Z"  html=b"<!doctype html>..."
    content_type="text/html; charset=UTF-8"  metadata='{"content_type":...,"http_status":200}'  _status=200

Where records begin and end is found here, by Content-Length and by what follows: an iterator over the whole
file stops silently at a damaged member, and then a cut file looks complete. Headers and HTTP of plain records
are taken apart by `warc_plain`, all others by fastwarc, a record at a time. A broken record is one quarantined
entry, and the next record that can be found is read. Offsets are offsets in the file: of the record if it is
plain, of its member if it is compressed.

ARC files are read by `arc`. Not covered: `revisit` (its page lies elsewhere) and segmented records; digests are not verified.
"""

from __future__ import annotations

import io
import mmap
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

from fastwarc.warc import WarcRecord, WarcRecordType

from pipeline.errors import InputError
from pipeline.readers.decoders import named_compression
from pipeline.readers.fields import metadata
from pipeline.readers.rows import Batch, Rows, describe
from pipeline.readers.streams import Piece, name_of, pieces
from pipeline.readers.warc_plain import OTHERS, plain
from pipeline.readers.wat_fields import IS_WAT

RECORD_LIMIT = 256 << 20  # bytes of one record held in memory; crawlers cut pages at 1 to 20 MB
BODY_LIMIT = 64 << 20  # bytes that a packed body may unpack to; what is stored as it is may be as long as its record
HEADER_LIMIT = 1 << 20  # bytes of a record's own headers; real ones have about 500
FIRST_LOOK = 1 << 12  # bytes in which nearly all headers end
BEHIND = 64  # bytes behind a record that tell whether its length is right
# a record's first line and the beginning of its second: the version alone stands in many pages about WARC
NEXT_RECORD = re.compile(rb"(?<=[\n\0])WARC/\d\.\d+\r?\n(?=WARC-|Content-)", re.IGNORECASE)
BLANK = re.compile(rb"[\r\n]*")
HEADER_END = re.compile(rb"\n\r?\n")
LENGTH = re.compile(rb"\n[cC][oO][nN][tT][eE][nN][tT]-[lL][eE][nN][gG][tT][hH]:[ \t]*(\d{1,19})[ \t]*\r?(?=\n)")

WAT_JSON = re.compile(rb'\s*\{\s*"(?:Container|Envelope)"')  # how the `metadata` records of a WAT file begin


class Found(NamedTuple):
    """A whole record, or (with `error`) a place where one should be."""

    offset: int
    data: bytes
    error: str | None = None
    tail: bool = False


class Framer:
    """Cuts a stream of pieces into records."""

    begins = re.compile(rb"WARC/")
    next_record = NEXT_RECORD
    longest_start = 64  # bytes of a `next_record` that the end of a piece may cut

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._offset = 0  # in the file, of the buffer's first byte
        self._member = 0  # in the file, of the member that came last
        self._plain = True
        self._lost = False  # looking for the next record, dropping what lies before it

    def records(self, stream: Iterator[Piece]) -> Iterator[Found]:
        between = False  # the last member ended and the buffer holds a part of a record
        for piece in stream:
            if piece.error:
                yield from self._break(piece)
                between = False
                continue
            if between and piece.data:
                if self.begins.match(piece.data):
                    yield from self._drop("the member ends before the record does")
                between = False
            if piece.ended and (record := self._only(piece)):
                yield record
                continue
            if piece.data:
                self._take(piece)
            if piece.ended:
                self._plain = False
            yield from self._drain(final=piece.ended)
            between = piece.ended and bool(self._buffer)
        yield from self._finish()

    def _only(self, piece: Piece) -> Found | None:
        """The record of a member that holds one whole record and came in one piece, as most do: it is not copied twice."""
        if self._buffer or self._lost:
            return None
        size = self.size(piece.data, True)
        if not isinstance(size, int) or len(piece.data) > size + 4 or piece.data[size:].strip(b"\r\n"):
            return None
        self._offset = self._member = piece.member
        self._plain = False
        return Found(piece.member, piece.data[:size])

    def _take(self, piece: Piece) -> None:
        if not self._buffer:
            self._offset = piece.member
        self._member = piece.member
        self._buffer += piece.data

    def _drain(self, final: bool) -> Iterator[Found]:
        """All records that are whole. `final`: no more bytes belong to the last one."""
        while self._buffer:
            if self._lost and not self._find_next(final):
                return
            if self._buffer[0] in b"\r\n":
                self._forward(BLANK.match(self._buffer).end())  # type: ignore[union-attr]
            size = self.size(self._buffer, final)
            if isinstance(size, str):
                yield from self._drop(size)
                continue
            if size is None or not self._buffer:
                return
            with memoryview(self._buffer) as view:
                data = bytes(view[:size])
            yield Found(self._offset, data)
            self._forward(size)

    def size(self, buffer: bytes | bytearray, final: bool) -> int | str | None:
        """Bytes of the record at the buffer's start; None if more must be read; a text that says what is
        wrong."""
        size = self.declared(buffer, final)
        if not isinstance(size, int):
            return size
        return self.closed(size, bytes(buffer[size : size + BEHIND]), final) if len(buffer) >= size else None

    def declared(self, buffer: bytes | bytearray, final: bool) -> int | str | None:
        """As `size`, by the record's headers alone."""
        if not buffer.startswith(b"WARC/"[: len(buffer)]):
            return "expected a record that begins with WARC/"
        end = HEADER_END.search(buffer, 0, HEADER_LIMIT)
        if end is None:
            return "its headers do not end" if len(buffer) >= HEADER_LIMIT else None
        length = LENGTH.search(buffer, 0, end.start() + 2)
        if length is None:
            return "it has no Content-Length"
        size = end.end() + int(length[1])
        if size > RECORD_LIMIT:
            return f"it has {size} bytes, the limit is {RECORD_LIMIT}"
        return size

    def closed(self, size: int, behind: bytes, final: bool) -> int | str | None:
        """`size`, if what stands behind the record agrees."""
        if behind.startswith(b"\r\n\r\n") and len(behind) > 4:
            return size
        behind = behind[:16].lstrip(b"\r\n")
        if behind and not behind.startswith(b"WARC/"[: len(behind)]):
            return "its Content-Length does not lead to the next record"
        # what follows must be seen first: it tells whether the length is right, and the member whether its
        # checksum is
        return size if final or len(behind) >= 5 else None

    def first(self, data: mmap.mmap, at: int) -> int:
        """Where the first record begins that `records` finds whole at or behind `at` in a file of plain bytes; its length if
        there is none. Followed by the records' lengths from the file's start; of their bodies nothing is read."""
        place = 0
        while True:
            place = BLANK.match(data, place).end()  # type: ignore[union-attr]
            size = self._size_at(data, place)
            if isinstance(size, int):
                if place >= at:
                    return place
                place += size
            elif found := self.next_record.search(data, place + 1):
                place = found.start()
            else:
                return len(data)

    def _size_at(self, data: mmap.mmap, place: int) -> int | str | None:
        for window in (FIRST_LOOK, HEADER_LIMIT):
            size = self.declared(data[place : place + window], place + window >= len(data))
            if isinstance(size, int):
                behind = place + size
                return self.closed(size, data[behind : behind + BEHIND], True) if behind <= len(data) else None
            if isinstance(size, str):
                return size
        return None

    def _forward(self, count: int) -> None:
        if not count:
            return
        del self._buffer[:count]
        self._offset = self._offset + count if self._plain else self._member

    def _drop(self, error: str) -> Iterator[Found]:
        """The record at the buffer's start is bad: tell it, and look for the next one."""
        yield Found(self._offset, bytes(self._buffer[:1024]), f"BrokenRecord: {error}")
        self._lost = True

    def _find_next(self, final: bool) -> bool:
        """Drop bytes up to the next record's first line."""
        found = self.next_record.search(self._buffer, 1)
        if found:
            self._forward(found.start())
            self._lost = False
            return True
        self._forward(
            max(len(self._buffer) - self.longest_start, 0)
        )  # a first line may be cut by the end of the buffer
        if final:
            self._buffer.clear()
            self._lost = False  # the next member begins with a record
        return False

    def _break(self, piece: Piece) -> Iterator[Found]:
        """A broken member: what was whole in it counts, its last record does not."""
        error = name_of(piece.error) if piece.error else ""
        offset = self._offset if self._buffer else piece.member
        yield Found(
            offset,
            bytes(self._buffer[:1024]),
            f"BrokenMember: {error}",
            tail=isinstance(piece.error, EOFError),
        )
        self._buffer.clear()
        self._lost, self._plain = False, False

    def _finish(self) -> Iterator[Found]:
        """The end of the file: the last record is whole, or cut, or has swallowed others by a wrong
        length."""
        yield from self._drain(final=True)
        while self._buffer and not self._lost:
            inner = self.next_record.search(self._buffer, 1)
            error = "the file ends inside the record" if inner is None else "its Content-Length is too large"
            yield Found(self._offset, bytes(self._buffer[:1024]), f"BrokenRecord: {error}", tail=inner is None)
            self._lost = True
            yield from self._drain(final=True)


def found_in(framer: Framer, stream: BinaryIO, accept: Callable[[bytes], bool], rows: Rows) -> Iterator[Found]:
    """The records of a file or of its part, and the places where one should be."""
    for found in framer.records(pieces(stream, accept, named_compression(rows.path))):
        if rows.until is not None and not found.error and found.offset >= rows.until:
            return
        yield found


def begins(head: bytes) -> bool:
    """Are these the first bytes of a record?"""
    return head.startswith(b"WARC/")


def set_aside(found: Found, rows: Rows) -> None:
    """Quarantines a place where no record could be found."""
    letter = f"{found.error}. Fetch the file again if the record matters."
    rows.quarantine(letter, found.data, found.offset, tail=found.tail)


def read(stream: BinaryIO, rows: Rows) -> Iterator[Batch]:
    """Batches of the file's pages and texts."""
    rows.with_status = True
    found_any = False
    for number, found in enumerate(found_in(Framer(), stream, begins, rows)):
        if found.error and not found_any and found.data.startswith(b"filedesc:"):
            raise InputError(
                f"{rows.path}: this is an ARC file, the format before WARC. Set input: {{format: arc}}, or name it .arc."
            )
        found_any = True
        if found.error:
            set_aside(found, rows)
        else:
            if number < 2 and is_wat(found.data):  # behind a `warcinfo`, if there is one
                raise InputError(f"{rows.path}: {IS_WAT}")
            _record(found, rows)
        if rows.full:
            yield rows.take()


def is_wat(data: bytes) -> bool:
    """Is this whole record one of a WAT file?"""
    end = HEADER_END.search(data, 0, HEADER_LIMIT)
    return (
        end is not None
        and b"warc-type: metadata" in data[: end.start()].lower()
        and bool(WAT_JSON.match(data, end.end()))
    )


def _record(found: Found, rows: Rows) -> None:
    """A document, a quarantined entry or a skipped record."""
    record = plain(found.data)
    if record is None:
        parsed(found, rows)
    elif record.kind in OTHERS:
        rows.skip(record.kind)
    elif record.kind == "conversion":
        rows.append(text=str(record.body, "utf-8", "replace"), **_common(record.warc, {}))
    else:
        declared = record.http.get("content-type")
        kept = {"content_type": declared, "http_status": record.status, "x_robots_tag": record.http.get("x-robots-tag")}
        kind = declared or record.warc.get("warc-identified-payload-type")
        rows.append(html=record.body, content_type=kind, status=record.status, **_common(record.warc, kept))


def parsed(found: Found, rows: Rows) -> None:
    """As `_record`, for any record, by fastwarc."""
    try:
        record = WarcRecord.from_reader(io.BytesIO(found.data), quirks_mode=True)
        kind = record.record_type
        if kind == WarcRecordType.conversion:
            body = record.reader.read()
            rows.append(text=body.decode("utf-8", "replace"), **_common(record.headers, {}))
        elif kind == WarcRecordType.response and record.is_http:
            response(record, found, rows)
        elif kind == WarcRecordType.resource:
            kept = {"content_type": record.headers.get("Content-Type"), "warc_type": "resource"}
            rows.append(html=record.reader.read(), content_type=_type(record), **_common(record.headers, kept))
        elif kind == WarcRecordType.response:
            rows.skip("response_not_http")
        else:
            rows.skip(str(kind))
    except (OSError, ValueError, UnicodeError) as error:
        rows.quarantine(describe(error), found.data[:1024], found.offset)


def response(record: WarcRecord, found: Found, rows: Rows) -> None:
    """A page that came over HTTP, to a row or the quarantine."""
    body, problem = _body(found.data)
    if body is None:
        rows.quarantine(f"BrokenBody: {problem}", found.data[:1024], found.offset)
        return
    record.parse_http(auto_decode="none", quirks_mode=True)
    http = record.http_headers
    status = http.status_code
    if status is None:
        rows.quarantine("BrokenHttp: there is no HTTP status line", found.data[:1024], found.offset)
        return
    declared = http.get("Content-Type")
    kept = {"content_type": declared, "http_status": status, "body_error": problem}
    kept["x_robots_tag"] = _all(http, "x-robots-tag")
    rows.append(html=body, content_type=declared or _type(record), status=status, **_common(record.headers, kept))


def _all(http: Any, name: str) -> str | None:
    """The values of a header that may stand several times, with commas between them. name: in lower case."""
    if http.get(name) is None:
        return None
    return ", ".join(value for key, value in http.astuples() if key.lower() == name and value)


def _common(headers: Any, kept: dict[str, Any]) -> dict[str, Any]:
    """The columns that a record's own headers fill. headers: of fastwarc, or by lower-case names."""
    identity = bare(headers.get("warc-record-id"))
    kept["truncated"] = headers.get("warc-truncated")
    kept["languages"] = headers.get("warc-identified-content-language")
    kept = {name: value for name, value in kept.items() if value is not None}
    url = (headers.get("warc-target-uri") or "").strip().strip("<>")
    date = (headers.get("warc-date") or "").strip()
    return {
        "id": identity,
        "page": bare(headers.get("warc-refers-to")) or identity,
        "url": url or None,
        "date": date or None,
        "metadata": metadata(kept) if kept else None,
    }


def bare(name: str | None) -> str | None:
    """A record's id or address without its brackets: "<urn:uuid:6d05...>" -> "6d05..."; None if there is none."""
    return (name or "").strip().strip("<>").removeprefix("urn:uuid:") or None


def _type(record: WarcRecord) -> str | None:
    """The type where HTTP declares none: what the crawler found, or, for a resource, the record's own."""
    identified = record.headers.get("WARC-Identified-Payload-Type")
    own = record.headers.get("Content-Type") if record.record_type == WarcRecordType.resource else None
    return identified or own


def _body(data: bytes) -> tuple[bytes | None, str | None]:
    """The page without its transfer and content encodings, and what went wrong with them.

    Crawlers and proxies often store a body that they decoded already under the old headers: a body that is
    text as it stands is taken so. A body that breaks in its middle is kept up to there.
    """
    record = WarcRecord.from_reader(io.BytesIO(data), quirks_mode=True)
    parts: list[bytes] = []
    problem = None
    left = max(BODY_LIMIT, len(data))
    try:
        record.parse_http(auto_decode="all", quirks_mode=True)
        while part := record.reader.read(1 << 20):
            left -= len(part)
            if left < 0:
                return None, f"{len(data)} bytes unpack to more than {BODY_LIMIT}: it is taken for a bomb"
            parts.append(part)
    except OSError as error:
        problem = describe(error)
    if parts:
        return b"".join(parts), problem
    record = WarcRecord.from_reader(io.BytesIO(data), quirks_mode=True)
    record.parse_http(auto_decode="none", quirks_mode=True)
    raw = record.reader.read()
    if (raw and b"\0" in raw[:4096]) or raw.startswith(b"\x1f\x8b"):
        return None, problem or "the body does not decode"
    return raw, problem
