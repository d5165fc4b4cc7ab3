"""Plain text and HTML files: one file is one document, or, of text, each line or each paragraph is.

    notes/a.txt  ->  id=<hash of the text>  text="..."  metadata='{"file":"a.txt"}'

A whole file is UTF-8, or what its byte order mark says, or what its bytes look like (windows-1251, gb18030, ...).
With `unit: line` or `paragraph` (apart by blank lines) the file is never held whole, and must be UTF-8 (or UTF-16 with
its mark): a line that is not is quarantined. HTML stays bytes: the `extract` step decodes it.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from pipeline.readers.fields import metadata
from pipeline.readers.jsonl import LINE_LIMIT
from pipeline.readers.rows import Batch, Rows, describe
from pipeline.readers.streams import Line, TailError, as_utf8, chunks, lines

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
    """The file's documents, by the `unit` of the options; the whole file is one if there is none."""
    if rows.options.unit in ("line", "paragraph"):
        yield from _read_units(stream, rows)
        return
    data = whole(stream, rows)
    if data is not None:
        text = decode(data)
        if text is None:
            rows.quarantine("UnicodeDecodeError: neither UTF-8 nor any encoding that could be detected", data, 0)
        else:
            rows.append(text=text, metadata=metadata({"file": rows.file}))
    yield from rows.ready()


def _read_units(stream: BinaryIO, rows: Rows) -> Iterator[Batch]:
    """Each line that is not blank, or each run of such lines, is a document."""
    where = metadata({"file": rows.file})
    try:
        for unit in _units(lines(as_utf8(chunks(stream)), LINE_LIMIT), rows.options.unit == "line"):
            if unit.length > len(unit.data):
                rows.quarantine(
                    f"TooLong: {unit.length} bytes, the limit is {LINE_LIMIT}", unit.data[:1024], unit.offset
                )
            else:
                try:
                    rows.append(text=unit.data.decode(), metadata=where)
                except UnicodeDecodeError as error:
                    rows.quarantine(f"{describe(error)}. Convert the file: iconv -t UTF-8.", unit.data, unit.offset)
            yield from rows.ready()
    except TailError as tail:
        rows.lost_tail(tail)


def _units(found: Iterator[Line], single: bool) -> Iterator[Line]:
    """Lines without their ends, or paragraphs as one `Line` each. Half a unit before a broken place is none."""
    held: list[bytes] = []
    start = size = 0
    for line in found:
        text = line.data.rstrip(b"\r")
        if line.end == "cut":
            held, size = [], 0  # the next step of `found` raises
            continue
        if single and text.strip():
            yield line._replace(data=text, length=line.length - (len(line.data) - len(text)))
        if single:
            continue
        if text.strip():
            start = start if size else line.offset
            size += line.length + 1
            held.append(text if size <= LINE_LIMIT else text[:1024] if not held else b"")
        elif size:
            yield _paragraph(held, start, size)
            held, size = [], 0
    if size:
        yield _paragraph(held, start, size)


def _paragraph(held: list[bytes], start: int, size: int) -> Line:
    data = b"\n".join(held)
    return Line(start, data, len(data) if size <= LINE_LIMIT else size, "newline")


def read_html(stream: BinaryIO, rows: Rows) -> Iterator[Batch]:
    """The file's page as bytes, or one quarantined entry."""
    data = whole(stream, rows)
    if data is not None:
        rows.append(html=data, content_type="text/html", metadata=metadata({"file": rows.file}))
    yield from rows.ready()


def whole(stream: BinaryIO, rows: Rows) -> bytes | None:
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
