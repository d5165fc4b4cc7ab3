"""WARC and WET: crawled pages, and the text that a crawler made of them.

In: WARC 0.17-1.1, plain or compressed (a member a record, or the whole file). Out: `response` and `resource`
records as pages (html as bytes, transfer and content encodings undone), `conversion` records (WET) as text.

    id="6d058047-..."  url="http://example.com/"  date="2014-01-03T03:03:21Z"  html=b"<!doctype html>..."
    content_type="text/html; charset=UTF-8"  metadata='{"content_type":...,"http_status":200}'  _status=200

Where records begin and end is found by `framer`. Headers and HTTP of plain records are taken apart by `warc_plain`, all others by
fastwarc, a record at a time.

ARC files are read by `arc`. Not covered: `revisit` (its page lies elsewhere) and segmented records; digests are not verified.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from fastwarc.warc import WarcRecord, WarcRecordType

from pipeline.errors import InputError
from pipeline.readers.fields import metadata
from pipeline.readers.framer import HEADER_END, HEADER_LIMIT, Found, Framer, found_in, set_aside
from pipeline.readers.rows import Batch, Rows, describe
from pipeline.readers.warc_plain import OTHERS, plain
from pipeline.readers.wat_fields import IS_WAT

BODY_LIMIT = 64 << 20  # bytes that a packed body may unpack to; what is stored as it is may be as long as its record

WAT_JSON = re.compile(rb'\s*\{\s*"(?:Container|Envelope)"')  # how the `metadata` records of a WAT file begin


def begins(head: bytes) -> bool:
    """Are these the first bytes of a record?"""
    return head.startswith(b"WARC/")


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
