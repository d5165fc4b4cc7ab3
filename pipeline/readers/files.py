"""Plain text and HTML files: one file is one document.

    notes/a.txt  ->  id=<hash of the text>  text="..."  metadata='{"file":"a.txt"}'

Text is UTF-8, or what its byte order mark says, or what its bytes look like (windows-1251, gb18030, ...).
HTML stays bytes: the `extract` step decodes it. Not covered: one document a line (write it as JSON Lines).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from pipeline.readers.jsonl import LINE_LIMIT
from pipeline.readers.rows import Batch, Rows, metadata
from pipeline.readers.streams import TailError, chunks

MARKS = {  # UTF-32 first: its little-endian mark begins with the one of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# A file with fewer bad places than this share of its characters, and with good UTF-8 beyond ASCII, is UTF-8
# with damage (a cut character, a pasted byte), not another encoding: those have a bad place at each accented
# letter.
DAMAGED_UTF8 = 0.001


def read_text(stream: BinaryIO, rows: Rows) -> Iterator[Batch]:
    """One batch with the file's document, or with one quarantined entry."""
    data = _whole(stream, rows)
    if data is not None:
        text = decode(data)
        if text is None:
            rows.quarantine("UnicodeDecodeError: neither UTF-8 nor any encoding that could be detected", data, 0)
        else:
            rows.append(text=text, metadata=metadata({"file": _name(rows.path)}))
    yield rows.take()


def read_html(stream: BinaryIO, rows: Rows) -> Iterator[Batch]:
    """One batch with the file's page as bytes, or with one quarantined entry."""
    data = _whole(stream, rows)
    if data is not None:
        rows.append(html=data, content_type="text/html", metadata=metadata({"file": _name(rows.path)}))
    yield rows.take()


def _name(path: str) -> str:
    """The file's name only: a whole path would make the output depend on where the input lies."""
    return path.rsplit("/", 1)[-1].encode("utf-8", "replace").decode()


def _whole(stream: BinaryIO, rows: Rows) -> bytes | None:
    """All bytes of the file; None if it is cut or too long, which is quarantined: half a file is no
    document."""
    parts: list[bytes] = []
    size = 0
    try:
        for chunk in chunks(stream):
            size += len(chunk)
            if size > LINE_LIMIT:
                rows.quarantine(f"FileTooLong: a document of more than {LINE_LIMIT} bytes", parts[0], 0)
                return None
            parts.append(chunk)
    except TailError as tail:
        rows.lost_tail(tail, 0, parts[0] if parts else b"")
        return None
    return b"".join(parts)


def decode(data: bytes) -> str | None:
    """The text of `data`, or None if it is in no encoding that can be told."""
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    if bad <= DAMAGED_UTF8 * len(text) and any(c > "\x7f" and c != "\ufffd" for c in text):
        return text
    return _detected(data)


def _detected(data: bytes) -> str | None:
    from resiliparse.parse.encoding import detect_encoding

    # uchardet's own label first: the WHATWG names of the second try know no Macintosh or Korean code pages
    for html_names in (False, True):
        encoding = detect_encoding(data, html5_compatible=html_names)
        try:
            return data.decode(encoding or "")
        except (LookupError, UnicodeDecodeError):
            continue
    return None
