"""ARC, the crawl format before WARC: versions 1 and 2, plain or compressed.

    http://www.dryswamp.edu:80/index.html 127.10.100.2 19961104142103 text/html 202
    HTTP/1.0 200 Document follows ...
    ->  url="http://www.dryswamp.edu:80/index.html"  date="1996-11-04T14:21:03Z"  html=b"<html>..."  _status=200

A record is its header line and as many bytes as the last number of that line says; the first one, `filedesc://`, is about
the file. Pages under http and https are documents; other schemes (dns) are skipped and counted. Broken records are
quarantined as in `warc`, and reading goes on at the next line that looks like a header. A record without an id gets one
made of its content.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from fastwarc.warc import WarcRecord

from pipeline.errors import InputError
from pipeline.readers import warc
from pipeline.readers.fields import metadata
from pipeline.readers.framer import RECORD_LIMIT, Found, Framer, found_in, set_aside
from pipeline.readers.rows import Batch, Rows, describe

# address, IP, date, type, (result code, checksum, location, offset, file name,) length; addresses may hold blanks
HEADER = re.compile(
    rb"(\w[\w+.-]{1,30}:[^\n]{0,8192}?) ([0-9a-fA-F.:]{2,45}|-) (\d{8,17}) (?:([^\n]{0,1024}?) )?(\d{1,15})\r?\n"
)
NEXT = re.compile(rb"(?<=\n)\w[\w+.-]{1,30}://[^\n]{1,8192} [0-9.]{7,15} \d{14} [^\n]{1,1024} \d{1,15}\r?\n")
HEADER_LIMIT = 1 << 14


class ArcFramer(Framer):
    """Cuts a stream of pieces into ARC records."""

    begins = re.compile(rb"\w[\w+.-]{1,30}:")
    next_record = NEXT
    longest_start = HEADER_LIMIT

    def declared(self, buffer: bytes | bytearray, final: bool) -> int | str | None:
        """As of `Framer`, by the length in the header line."""
        if not buffer:
            return None
        line = buffer.find(b"\n", 0, HEADER_LIMIT)
        if line < 0:
            return "its header line does not end" if len(buffer) >= HEADER_LIMIT or final else None
        header = HEADER.fullmatch(buffer, 0, line + 1)
        if header is None:
            return "expected a header line: address, IP, date, type, length"
        size = line + 1 + int(header[5])
        if size > RECORD_LIMIT:
            return f"it has {size} bytes, the limit is {RECORD_LIMIT}"
        return size

    def closed(self, size: int, behind: bytes, final: bool) -> int | str | None:
        """As of `Framer`."""
        behind = behind.lstrip(b"\r\n")
        if behind and len(behind) >= 40 and not self.begins.match(behind):
            return "its length does not lead to the next record"
        return size if final or len(behind) >= 40 else None


def begins(head: bytes) -> bool:
    """Are these the first bytes of a record?"""
    return HEADER.match(head) is not None


def read(stream: BinaryIO, rows: Rows) -> Iterator[Batch]:
    """Batches of the file's pages. `InputError` if it is a WARC."""
    rows.with_status = True
    first = True
    for found in found_in(ArcFramer(), stream, begins, rows):
        if first and found.error and found.data.startswith(b"WARC/"):
            raise InputError(f"{rows.path}: this is a WARC file. Set input: {{format: warc}}.")
        first = False
        if found.error:
            set_aside(found, rows)
        else:
            _record(found, rows)
        yield from rows.ready()


def _record(found: Found, rows: Rows) -> None:
    """A page, a quarantined entry or a skipped record."""
    header = HEADER.match(found.data)
    assert header is not None, "the framer saw it"
    url, date, declared = header[1].decode("utf-8", "replace"), header[3].decode(), (header[4] or b"").decode("latin-1")
    body = found.data[header.end() :]
    kind = url.partition(":")[0].lower()
    if kind not in ("http", "https"):
        rows.skip(f"arc {kind}")
        return
    if not body.startswith(b"HTTP/"):
        fields = {"content_type": declared.split(" ")[0], "arc_without_http": True}
        rows.append(html=body, content_type=declared.split(" ")[0], url=url, date=iso(date), metadata=metadata(fields))
        return
    page = _as_warc(url, date, body)
    try:
        record = WarcRecord.from_reader(io.BytesIO(page), quirks_mode=True)
        warc.response(record, found._replace(data=page), rows)
    except (OSError, ValueError, UnicodeError) as error:
        rows.quarantine(describe(error), found.data[:1024], found.offset)


def _as_warc(url: str, date: str, body: bytes) -> bytes:
    """The record as a WARC has it, for the parser."""
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: {iso(date)}\r\n"
    kind = f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + kind).encode() + body


def iso(date: str) -> str:
    """'19961104142103' -> '1996-11-04T14:21:03Z'."""
    digits = date[:14].ljust(8, "0")
    day, clock = digits[:8], digits[8:14].ljust(6, "0")
    return f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}Z"
