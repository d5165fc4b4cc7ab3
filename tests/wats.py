"""Small crawls as Common Crawl publishes them: the same pages as WARC, WET and WAT files, a gzip member a record.

The shape of the WAT records is that of CC-MAIN-2019-22 and CC-MAIN-2024-22: for each page one about the request, one about the
response and one about the crawler's notes; numbers are text.
"""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fuzz_seeds import warc_record

NAME = "CC-MAIN-20260712001122-20260712031122-00007"


def page_id(number: int, kind: str = "response") -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{number}"))


def url(number: int) -> str:
    return f"https://example.org/mills/{number}"


def packed(records: Iterable[bytes]) -> bytes:
    return b"".join(gzip.compress(record, mtime=0) for record in records)


def words(number: int) -> str:
    return f"Page {number} tells how mill {number} grinds the corn of village {number}, and who owns the stones."


def warcinfo(kind: str) -> bytes:
    head = f"WARC-Record-ID: <urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, kind)}>\r\nWARC-Filename: {NAME}.{kind}.gz\r\n"
    return warc_record("warcinfo", head + "Content-Type: application/warc-fields\r\n", b"isPartOf: CC-MAIN-2026-30\r\n")


def response(number: int, status: int = 200) -> bytes:
    body = f"<html><head><title>Mill {number}</title></head><body><p>{words(number)}</p></body></html>".encode()
    http = f"HTTP/1.1 {status} OK\r\nContent-Type: text/html\r\n\r\n".encode() + body
    head = f"WARC-Record-ID: <urn:uuid:{page_id(number)}>\r\nWARC-Target-URI: {url(number)}\r\nWARC-Date: 2026-07-12T01:02:03Z\r\n"
    return warc_record("response", head + "Content-Type: application/http; msgtype=response\r\n", http)


def conversion(number: int) -> bytes:
    head = f"WARC-Record-ID: <urn:uuid:{page_id(number, 'wet')}>\r\nWARC-Refers-To: <urn:uuid:{page_id(number)}>\r\n"
    head += f"WARC-Target-URI: {url(number)}\r\nWARC-Date: 2026-07-12T01:02:03Z\r\nWARC-Identified-Content-Language: eng\r\n"
    return warc_record("conversion", head + "Content-Type: text/plain\r\n", words(number).encode())


def wat_record(number: int, kind: str, payload: dict[str, Any]) -> bytes:
    """A WAT record about a record of the WARC."""
    about = {"WARC-Type": kind, "WARC-Date": "2026-07-12T01:02:03Z", "WARC-Record-ID": f"<urn:uuid:{page_id(number, kind)}>",
             "WARC-Target-URI": url(number)}  # fmt: skip
    container = {"Filename": f"{NAME}.warc.gz", "Compressed": True, "Offset": str(4321 * number)}
    envelope = {
        "Format": "WARC/1.0",
        "WARC-Header-Metadata": about,
        "Payload-Metadata": payload,
        "WARC-Header-Length": "610",
    }
    body = json.dumps(
        {"Container": container, "Envelope": envelope}, separators=(",", ":"), ensure_ascii=False
    ).encode()
    head = f"WARC-Target-URI: {url(number)}\r\nWARC-Date: 2026-07-14T09:09:09Z\r\nWARC-Record-ID: <urn:uuid:{page_id(number, 'wat-' + kind)}>\r\n"
    head += f"WARC-Refers-To: <urn:uuid:{page_id(number, kind)}>\r\nContent-Type: application/json\r\n"
    return warc_record("metadata", head, body)


def http(number: int, status: int = 200, head: dict[str, Any] | None = None, **headers: Any) -> dict[str, Any]:
    """The payload of a WAT record about a response. `headers`: x_robots_tag="noai"."""
    sent = {
        "Content-Type": "text/html; charset=UTF-8",
        **{name.title().replace("_", "-"): value for name, value in headers.items()},
    }
    title = {
        "Title": f"Mill {number}",
        "Metas": [
            {"name": "HTML@/lang", "content": "en-GB"},
            {"name": "description", "content": f"About mill {number}."},
        ],
    }
    links = [
        {"path": "A@/href", "url": "/", "text": "Home"},
        {"path": "IMG@/src", "url": "/a.png"},
        {"path": "A@/href", "url": "https://example.com/"},
    ]
    message = {"Response-Message": {"Version": "HTTP/1.1", "Status": str(status), "Reason": "OK"}, "Headers": sent}
    return {
        "Actual-Content-Type": "application/http; msgtype=response",
        "HTTP-Response-Metadata": {**message, "HTML-Metadata": {"Head": head or title, "Links": links}},
    }


def about(number: int, **options: Any) -> list[bytes]:
    """The three WAT records of a page."""
    request = {
        "Actual-Content-Type": "application/http; msgtype=request",
        "HTTP-Request-Metadata": {"Headers": {"Host": "example.org"}},
    }
    notes = {
        "Actual-Content-Type": "application/metadata-fields",
        "WARC-Metadata-Metadata": {"Metadata-Records": [{"Name": "fetchTimeMs", "Value": "258"}]},
    }
    return [
        wat_record(number, "request", request),
        wat_record(number, "response", http(number, **options)),
        wat_record(number, "metadata", notes),
    ]


def wat(pages: Iterable[int], **options: Any) -> list[bytes]:
    """The records of a WAT file."""
    return [warcinfo("warc.wat"), *(record for number in pages for record in about(number, **options))]


def crawl(folder: Path, pages: Iterable[int], wet: Iterable[int] | None = None, name: str = NAME) -> Path:
    """A segment: the folders warc, wet and wat. `wet`: the pages that have text."""
    pages = list(pages)
    files = {
        f"warc/{name}.warc.gz": [warcinfo("warc"), *map(response, pages)],
        f"wet/{name}.warc.wet.gz": [warcinfo("warc.wet"), *map(conversion, pages if wet is None else wet)],
        f"wat/{name}.warc.wat.gz": wat(pages),
    }
    for path, records in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(packed(records))
    return folder


def segments(folder: Path) -> Path:
    """Three files each of WARC, WET and WAT, of ten pages; the last of the second asks for noai."""
    for number, name in enumerate("abc"):
        crawl(folder, range(10 * number, 10 * number + 10), name=name)
    barred = [*wat(range(10, 19)), *about(19, x_robots_tag="noai")]
    (folder / "wat" / "b.warc.wat.gz").write_bytes(packed(barred))
    return folder
