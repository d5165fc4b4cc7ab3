"""WAT: what a crawl says about its pages, a `metadata` record of JSON for each record of the WARC.

In:  {"Container": ..., "Envelope": {"WARC-Header-Metadata": {"WARC-Type": "response", ...}, "Payload-Metadata":
     {"HTTP-Response-Metadata": {"Response-Message": {"Status": "200"}, "Headers": {...}, "HTML-Metadata": {"Head": {"Title": "Mills", ...}}}}}}
Out: id="2aabeff2-..." (of the page, as in the WARC)  url=...  date=(when the page was fetched)  text="Mills\\n\\nHow they grind."
     metadata='{"description":"How they grind.","http_status":200,"links":12,"title":"Mills"}'  _status=200

There is no text of the page in a WAT: a document of its own is title and description. To add the fields to the documents of
a WARC or WET file, see `wat_join`. Records about requests, crawler's notes and the like are skipped.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import orjson
from fastwarc.warc import WarcRecord

from pipeline.errors import InputError
from pipeline.readers.fields import metadata
from pipeline.readers.framer import HEADER_END, Found, Framer, found_in, set_aside
from pipeline.readers.rows import Batch, Rows, describe
from pipeline.readers.warc import bare, begins
from pipeline.readers.warc_plain import headers
from pipeline.readers.wat_fields import at, fields, text

ABOUT_RESPONSE = b'"HTTP-Response-Metadata"'  # the other records, two of three, need not be parsed


class Page(NamedTuple):
    """What a WAT record says of a page; `fields` has those of `wat_fields.FIELDS` that there are."""

    id: str | None
    url: str | None
    date: str | None
    fields: dict[str, Any]


def read(stream: BinaryIO, rows: Rows) -> Iterator[Batch]:
    """Batches of titles and descriptions. `InputError` if it is a WARC or WET file."""
    rows.with_status = True
    for found in found_in(Framer(), stream, begins, rows):
        if found.error:
            set_aside(found, rows)
        else:
            _record(found, rows)
        yield from rows.ready()


def _record(found: Found, rows: Rows) -> None:
    """A document, a quarantined entry or a skipped record."""
    try:
        kind, page = parse(found.data)
    except (ValueError, OSError) as error:
        rows.quarantine(describe(error), found.data[:1024], found.offset)
        return
    if kind in ("response", "conversion"):
        raise InputError(
            f"{rows.path}: {not_wat(kind)} Set input: {{format: {'wet' if kind == 'conversion' else 'warc'}}}."
        )
    if page is None:
        rows.skip(kind)
        return
    said = "\n\n".join(page.fields[name] for name in ("title", "description") if name in page.fields)
    status, kept = page.fields.get("http_status"), metadata(page.fields) if page.fields else None
    rows.append(text=said, id=page.id, url=page.url, date=page.date, status=status, metadata=kept)


def not_wat(kind: str) -> str:
    """Why a record of this kind says that the file is another one."""
    return f"this is no WAT file, it has a '{kind}' record; a WAT has 'metadata' records of JSON."


# ---- one record


def parse(data: bytes) -> tuple[str, Page | None]:
    """The kind of a whole record ("wat" for one of a WAT file), and what it says of a page, if it is about one that came
    over HTTP. Errors: ValueError for what is no JSON, or no WAT's JSON."""
    end, blank = data.find(b"\r\n\r\n"), HEADER_END.search(data)
    head = (headers(data[:end]) if end >= 0 else None) or _headers(data)
    kind = head.get("warc-type", "")
    if kind != "metadata" or not head.get("content-type", "").startswith("application/json"):
        return kind, None
    body = data[blank.end() :] if blank else b""
    if ABOUT_RESPONSE not in body:
        return ("wat" if b'"Envelope"' in body else kind), None
    envelope = at(_json(body), "Envelope")
    if not isinstance(envelope, dict):
        raise ValueError("the JSON of the record has no Envelope, as that of a WAT has")
    about = at(envelope, "WARC-Header-Metadata")
    if at(about, "WARC-Type") not in (None, "response"):
        return "wat", None
    url = text(at(about, "WARC-Target-URI")) or head.get("warc-target-uri")
    identity = bare(head.get("warc-refers-to")) or bare(text(at(about, "WARC-Record-ID")))
    http = at(envelope, "Payload-Metadata", "HTTP-Response-Metadata")
    found = Page(identity, bare(url), text(at(about, "WARC-Date")), fields(http, bare(url)))
    return "wat", found


def _headers(data: bytes) -> dict[str, str]:
    """A record's own headers where they are not plainly written."""
    record = WarcRecord.from_reader(io.BytesIO(data), quirks_mode=True)
    return {name.lower(): value for name, value in record.headers.items()}


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:  # half a character of two, as Java writes it, is no reason to lose a record
        try:
            return json.loads(body.decode("utf-8", "replace"))
        except RecursionError as error:
            raise ValueError("the JSON of the record is too deep") from error
