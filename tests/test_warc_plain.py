"""Plainly written WARC records are read as fastwarc reads them; all others are left to it."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from corpus import CHECKOUT
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reading import load, quarantined, rows, skipped

from pipeline.readers import Columns, warc
from pipeline.readers.rows import Batch, Rows, _bytes
from pipeline.readers.warc_plain import plain


def both(data: bytes) -> tuple[Batch, Batch]:
    """One record by the quick way (where it is taken) and by fastwarc."""
    found: list[Batch] = []
    for way in (warc._record, warc.parsed):
        rows = Rows("x.warc", Columns(), "s", 10, 1000)
        rows.with_status = True
        way(warc.Found(0, data), rows)
        found.append(rows.take())
    return found[0], found[1]


def same(data: bytes) -> None:
    quick, slow = both(data)
    assert quick.table.to_pylist() == slow.table.to_pylist()
    assert (quick.quarantined, quick.skipped) == (slow.quarantined, slow.skipped)


def make(kind: bytes, warc_lines: list[bytes], status: bytes, http_lines: list[bytes], body: bytes) -> bytes:
    block = b"\r\n".join([status, *http_lines]) + b"\r\n\r\n" + body
    lines = [b"WARC/1.0", b"WARC-Type: " + kind, *warc_lines, b"Content-Length: %d" % len(block)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + block


WARC_LINES = [
    b"WARC-Record-ID: <urn:uuid:1>",
    b"warc-record-id: <urn:uuid:2>",
    b"WARC-Date: 2020-01-01T00:00:00Z",
    b"WARC-Target-URI: <http://h/?a=b c>",
    b"WARC-Target-URI: http://h/\xc3\xa9",
    b"WARC-Truncated: length",
    b"WARC-Truncated:  time ",
    b"WARC-Identified-Content-Language: zho,eng",
    b"WARC-Identified-Payload-Type: text/html",
    b"WARC-Identified-Payload-Type:",
    b" continued",
    b"no colon",
    b"Content-Type: application/http; msgtype=response",
    b"Content-Type: application/http;msgtype=response",
    b"Content-Type: application/http",
    b"Content-Type: text/plain",
]
HTTP_LINES = [
    b"Content-Type: text/html; charset=utf-8",
    b"content-type: text/plain",
    b"Content-Type:text/html",
    b"Content-Type: ",
    b"X-Robots-Tag: noai",
    b"x-robots-tag: noindex",
    b"Set-Cookie: a=b",
    b"Set-Cookie: a=\xe9",
    b"Content-Length: 3",
    b"Content-Encoding: gzip",
    b"Content-Encoding: identity",
    b"content-encoding: gzip",
    b"Content-Encoding: x-gzip",
    b"Content-Encoding: gzip, gzip",
    b"Content-Encoding: deflate",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"X: a\nContent-Type: b",
    b"X: a\rb",
    b"\tmore",
    b"bad name: x",
    b"nothing",
]
PACKED = gzip.compress(b"<p>page</p>", mtime=0)
BODIES = [
    b"",
    b"<p>page</p>",
    b"\0\0",
    b"\x1f\x8bzip",
    b"\xff text",
    b"3\r\nabc\r\n0\r\n\r\n",
    PACKED,
    PACKED + b"behind",
    PACKED + PACKED,
    PACKED[:-1],
    PACKED[:-9],
    PACKED[:-8] + b"otherCRC",
    gzip.compress(b"", mtime=0),
    gzip.compress(PACKED, mtime=0),
    zlib.compress(b"<p>page</p>"),
    b"3\r\n<p>\r\n00A\r\n0123456789\r\n0\r\n\r\n",
    b"3;a=b\r\n<p>\r\n0\r\n\r\n",
    b"3\r\n<p>\r\n0\r\nA: b\r\n\r\n",
    b"3\r\n<p>\r\n0\r\n\r\nbehind",
    b"3\r\n<p>\r\n0\r\n",
    b"3\r\n<p>\r\n",
    b"4\r\n<p>\r\n0\r\n\r\n",
    b"2\r\n<p>\r\n0\r\n\r\n",
    b"fffffffff\r\n<p>\r\n0\r\n\r\n",
    b"0\r\n\r\n",
    b"%x\r\n%s\r\n0\r\n\r\n" % (len(PACKED), PACKED),
    b"5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (PACKED[:5], len(PACKED) - 5, PACKED[5:]),
]
STATUS = [b"HTTP/1.1 200 OK", b"HTTP/1.0 404", b"HTTP/2 200", b"HTTP/1.1 20 x", b"HTTP/1.1  200", b"ICY 200 OK", b""]
HTTP_TYPE = b"Content-Type: application/http; msgtype=response"


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([b"response"] * 6 + [b"conversion", b"request", b"revisit", b"Response", b"odd", b"resource"]),
    st.lists(st.sampled_from(WARC_LINES), max_size=4),
    st.sampled_from(STATUS[:1] * 5 + STATUS),
    st.lists(st.sampled_from(HTTP_LINES), max_size=3),
    st.sampled_from(BODIES),
)
@example(b"response", [HTTP_TYPE], STATUS[0], [b"X-Robots-Tag: noai", b"A: b", b"x-robots-tag: noindex"], b"x")
@example(b"response", [HTTP_TYPE, HTTP_TYPE], b"HTTP/1.1 200 OK", [b"Content-Type: a", b"content-type: b"], b"x")
def test_the_same_as_fastwarc(
    kind: bytes, warc_lines: list[bytes], status: bytes, http: list[bytes], body: bytes
) -> None:
    same(make(kind, warc_lines, status, http, body))
    same(make(kind, [HTTP_TYPE, *warc_lines], status, http, body))


@pytest.mark.parametrize("line", HTTP_LINES)
def test_each_http_line(line: bytes) -> None:
    same(make(b"response", [HTTP_TYPE, *WARC_LINES[:3]], STATUS[0], [line, b"Server: x"], b"<p>page</p>"))


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("line", [line for line in HTTP_LINES if b"ncoding" in line])
def test_each_encoding(line: bytes, body: bytes) -> None:
    for lines in (
        [line],
        [line, b"Content-Encoding: gzip"],
        [b"Transfer-Encoding: chunked", line],
        [line, HTTP_LINES[8]],
    ):
        same(make(b"response", [HTTP_TYPE], STATUS[0], lines, body))


def test_what_is_taken() -> None:
    found = plain(
        make(b"response", [HTTP_TYPE, WARC_LINES[0], WARC_LINES[2]], STATUS[0], [HTTP_LINES[0], HTTP_LINES[6]], b"<p>")
    )
    assert found and (found.kind, found.status, found.body) == ("response", 200, b"<p>")
    assert found.http["content-type"] == "text/html; charset=utf-8" and found.warc["warc-record-id"] == "<urn:uuid:1>"
    packed = plain(make(b"response", [HTTP_TYPE], STATUS[0], [b"Content-Encoding: gzip"], PACKED))
    assert packed and packed.body == b"<p>page</p>"
    chunked = plain(make(b"response", [HTTP_TYPE], STATUS[0], [b"Transfer-Encoding: chunked"], BODIES[5]))
    assert chunked and chunked.body == b"abc"
    for lines in ([b"Content-Encoding: gzip"], [b"nothing"], [b"Content-Type:text/html"], [b"X: \xe9"]):
        assert plain(make(b"response", [HTTP_TYPE], STATUS[0], lines, b"<p>")) is None


@pytest.mark.parametrize("name", ["pages.warc.gz"])
def test_real_pages(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def read() -> tuple[Any, ...]:
        batches = load(CHECKOUT / "configs/demo" / name)
        return rows(batches), quarantined(batches), skipped(batches)

    taken = 0

    def counted(data: bytes) -> Any:
        nonlocal taken
        taken += (found := plain(data)) is not None
        return found

    monkeypatch.setattr(warc, "plain", counted)
    quick = read()
    monkeypatch.setattr(warc, "plain", lambda data: None)
    assert quick == read() and taken > len(quick[0]) / 2


def test_real_odd_files(small_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = sorted((small_data / "dirty/warc").glob("*.warc*"))
    assert len(files) > 5
    for file in files:
        quick = load(file)
        with monkeypatch.context() as patch:
            patch.setattr(warc, "plain", lambda data: None)
            slow = load(file)
        assert rows(quick) == rows(slow) and quarantined(quick) == quarantined(slow) and skipped(quick) == skipped(slow)


@given(st.lists(st.none() | st.binary(max_size=9), max_size=20))
def test_bytes_as_a_column(values: list[bytes | None]) -> None:
    found = _bytes([None if value is None else len(value) for value in values], bytearray().join(filter(None, values)))
    found.validate(full=True)
    assert found.equals(pa.array(values, pa.large_binary()))
