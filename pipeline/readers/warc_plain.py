"""Records of a WARC that are plainly written, read without a parser's objects: most of a crawl.

    plain(found.data)   ->  Plain("response", warc={"warc-date": ...}, http={"content-type": ...}, status=200, body=b"<html>")

Plain is: headers of ASCII, one a line, each with a name, a colon and a value; HTTP/1.0 or 1.1 with a status, and a body
without transfer or content encoding. All else is None and goes to fastwarc, which also says what is wrong with it. A
record of fastwarc costs 45 us before anything is read of it, as much as 20 kB of HTML here. `tests/test_warc_plain.py`
holds both against each other.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from zlib_ng import zlib_ng

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [\x20-\x7e]*)?(?=\r\n|\Z)")
LINE = re.compile(r"\r\n([A-Za-z0-9_-]+): ([!-~](?:[ -~]*[!-~])?)(?=\r\n|\Z)")
CHUNK = re.compile(rb"(0*[1-9A-Fa-f][0-9A-Fa-f]{0,7})\r\n")
HTTP = re.compile(r"application/http; ?msgtype=response")
OTHERS = frozenset({"request", "metadata", "warcinfo", "revisit"})  # kinds that hold no document


UNPACKED_LIMIT = 1 << 22  # bytes; what unpacks to more is rare, or a bomb, and fastwarc sees to it


class Plain(NamedTuple):
    """kind: response, conversion or one of `OTHERS`. Headers by lower-case names; of equal ones of HTTP the first, and X-Robots-Tag stands once."""

    kind: str
    warc: dict[str, str]
    http: dict[str, str]
    status: int
    body: bytes | memoryview


def plain(data: bytes) -> Plain | None:
    """A whole record (its length is right) as its parts, or None if it is not plainly written."""
    end = data.find(b"\r\n\r\n")
    warc = headers(data[:end]) if end >= 0 and data.startswith((b"WARC/1.0\r", b"WARC/1.1\r")) else None
    if warc is None or warc.get("content-length") != str(len(data) - end - 4):
        return None
    kind = warc.get("warc-type", "")
    if kind in OTHERS:
        return Plain(kind, warc, {}, 0, b"")
    if kind == "conversion":
        return Plain(kind, warc, {}, 0, data[end + 4 :])
    if kind != "response" or not HTTP.fullmatch(warc.get("content-type", "")):
        return None
    return _response(data, end + 4, warc)


def _response(data: bytes, begin: int, warc: dict[str, str]) -> Plain | None:
    end = data.find(b"\r\n\r\n", begin)
    if end < 0:
        return None
    head = data[begin:end]
    status = STATUS.match(head)
    http = headers(head, repeated=True) if status else None
    if status is None or http is None:
        return None
    if "x-robots-tag" in http and head.lower().count(b"\nx-robots-tag:") > 1:
        return None  # all of them count
    body: bytes | memoryview | None = memoryview(data)[end + 4 :]
    if "transfer-encoding" in http:
        body = joined(data, end + 4) if _only(http, head, "transfer-encoding") == "chunked" else None
    if body is not None and "content-encoding" in http:
        body = unpacked(body) if _only(http, head, "content-encoding") == "gzip" else None
    return None if body is None else Plain("response", warc, http, int(status[1]), body)


def _only(http: dict[str, str], head: bytes, name: str) -> str | None:
    """The value of a header that stands once."""
    return http[name] if head.lower().count(b"\n%s:" % name.encode()) == 1 else None


def joined(data: bytes, at: int) -> bytes | None:
    """The chunks from `at` on; None if they are not all there, if anything else is, or if nothing is in them."""
    chunks = []
    while size := CHUNK.match(data, at):
        at = size.end() + int(size[1], 16) + 2
        if data[at - 2 : at] != b"\r\n":
            return None
        chunks.append(data[size.end() : at - 2])
    return b"".join(chunks) if chunks and data[at:] == b"0\r\n\r\n" else None


def unpacked(body: bytes | memoryview) -> bytes | None:
    """What one whole gzip member holds; None if the body is anything else, or long, or nothing is in it."""
    decoder = zlib_ng.decompressobj(wbits=31)
    try:
        page = decoder.decompress(body, UNPACKED_LIMIT)
    except zlib_ng.error:
        return None
    return page if page and decoder.eof and not decoder.unused_data else None


def headers(head: bytes, repeated: bool = False) -> dict[str, str] | None:
    """The header lines behind the first line, or None if one of them is not plain. repeated: a name may stand twice,
    the first counts."""
    if not head.isascii():
        return None
    text = head.decode("ascii")
    pairs = LINE.findall(text)
    if len(pairs) != text.count("\r\n"):
        return None  # some line is another's continuation, has no value, ends otherwise ...
    if repeated:
        pairs.reverse()
    found = {name.lower(): value for name, value in pairs}
    return found if repeated or len(found) == len(pairs) else None
