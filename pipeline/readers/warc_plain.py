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

STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [\x20-\x7e]*)?")
LINE = re.compile(r"\r\n([A-Za-z0-9_-]+): ([!-~](?:[ -~]*[!-~])?)(?=\r\n|\Z)")
HTTP = re.compile(r"application/http; ?msgtype=response")
OTHERS = frozenset({"request", "metadata", "warcinfo", "revisit"})  # kinds that hold no document


class Plain(NamedTuple):
    """kind: response, conversion or one of `OTHERS`. Headers by lower-case names; of equal ones of HTTP the first, and X-Robots-Tag stands once."""

    kind: str
    warc: dict[str, str]
    http: dict[str, str]
    status: int
    body: bytes


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
    status, http = STATUS.fullmatch(head[: head.find(b"\r\n")]), headers(head, repeated=True)
    if status is None or http is None or "content-encoding" in http or "transfer-encoding" in http:
        return None
    if "x-robots-tag" in http and head.lower().count(b"\nx-robots-tag:") > 1:
        return None  # all of them count
    return Plain("response", warc, http, int(status[1]), data[end + 4 :])


def headers(head: bytes, repeated: bool = False) -> dict[str, str] | None:
    """The header lines behind the first line, or None if one of them is not plain. repeated: a name may stand twice,
    the first counts."""
    if not head.isascii():
        return None
    text = head.decode("ascii")
    first = text.find("\r\n")
    pairs = LINE.findall(text, first) if first >= 0 else []
    if first + sum([4 + len(name) + len(value) for name, value in pairs]) != len(text):
        return None  # some line is another's continuation, has no value, ends otherwise ...
    found = {name.lower(): value for name, value in reversed(pairs)}
    return found if repeated or len(found) == len(pairs) else None
