"""EPUB books: one book is one document, or, with `unit: chapter`, each page of its spine is.

    metadata: {"title": "...", "creator": [...], "language": "en", "identifier": "...", "file": "x.epub", "chapter": 3}

The pages are read in the order of the spine and become text here (the whole visible page: a book has no menus), so that
no `extract` step is needed. A page that is missing or broken is one quarantined entry; the book goes on without it.
Not covered: books under DRM (quarantined), pictures, page lists; the table of contents is text like any other page.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from posixpath import dirname, join, normpath
from typing import Any, NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree

from pipeline.readers.jsonl import LINE_LIMIT
from pipeline.readers.rows import Batch, Rows, describe

PAGE_LIMIT = 1 << 26  # bytes of one page unpacked; the longest real chapters have about 5 MB
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    ElementTree.ParseError,
    EOFError,
    KeyError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)
FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")  # obscured fonts are no DRM
PAGES = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")


class Book(NamedTuple):
    """What the package file says. pages: names in the zip, in reading order."""

    fields: dict[str, Any]
    pages: list[str]


def read(path: str, rows: Rows) -> Iterator[Batch]:
    """The documents of the local file `path`."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield from _read(archive, rows)
    except (*BROKEN, OSError) as error:
        rows.quarantine(f"BrokenBook: {describe(error)}. Fetch the file again.", b" ", 0, tail=True)


def _read(archive: zipfile.ZipFile, rows: Rows) -> Iterator[Batch]:
    book = open_book(archive)
    to_text = _extractor()
    chapters: list[str] = []
    size = 0
    for number, name in enumerate(book.pages):
        try:
            text = to_text(page(archive, name))
        except BROKEN as error:
            rows.quarantine(f"BrokenPage: {name}: {describe(error)}", name.encode("utf-8", "replace"))
            continue
        if rows.options.unit == "chapter":
            if text.strip():
                _add(rows, text, {**book.fields, "chapter": number})
            else:
                rows.skip("page without text")
            yield from rows.ready()
        elif size <= LINE_LIMIT:
            chapters.append(text)
            size += len(text)
    if rows.options.unit == "chapter":
        return
    if size > LINE_LIMIT:
        rows.quarantine(
            f"BookTooLong: more than {LINE_LIMIT} characters; read it with input: {{unit: chapter}}", b" ", 0
        )
    else:
        _add(rows, "\n\n".join(text for text in chapters if text.strip()), book.fields)


def _add(rows: Rows, text: str, fields: dict[str, Any]) -> None:
    own = {rows.columns.text, rows.columns.html}
    rows.add({**{k: v for k, v in fields.items() if k not in own}, "file": rows.file, rows.columns.text: text})


def open_book(archive: zipfile.ZipFile) -> Book:
    """Title, language and so on, and the pages in order. Errors: ValueError and what zip and XML raise."""
    container = _xml(archive, "META-INF/container.xml")
    root = next((e.get("full-path") for e in container.iter() if _tag(e) == "rootfile" and e.get("full-path")), None)
    if root is None:
        raise ValueError("its container.xml names no package file")
    _refuse_locked(archive)
    package = _xml(archive, root)
    fields: dict[str, Any] = {}
    files: dict[str, str] = {}
    for element in package.iter():
        tag, text = _tag(element), (element.text or "").strip()
        if element.tag.startswith("{http://purl.org/dc/elements/") and text:
            before = fields.get(tag)
            fields[tag] = text if before is None else [*(before if isinstance(before, list) else [before]), text]
        elif tag == "item" and element.get("media-type") in PAGES:
            files[element.get("id", "")] = normpath(join(dirname(root), unquote(element.get("href", ""))))
    order = [e.get("idref", "") for e in package.iter() if _tag(e) == "itemref"]
    return Book(fields, [files[name] for name in order if name in files])


def _refuse_locked(archive: zipfile.ZipFile) -> None:
    if "META-INF/encryption.xml" not in archive.namelist():
        return
    methods = {
        e.get("Algorithm") for e in _xml(archive, "META-INF/encryption.xml").iter() if _tag(e) == "EncryptionMethod"
    }
    if methods - set(FONTS):
        raise ValueError("it is under DRM")


def _tag(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _xml(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    data = page(archive, name)
    if b"<!ENTITY" in data:
        raise ValueError(f"{name} declares entities, which are not expanded")
    return ElementTree.fromstring(data)


def page(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of one member, its checksum verified. ValueError if it is too long."""
    with archive.open(name) as file:
        data = file.read(PAGE_LIMIT + 1)
    if len(data) > PAGE_LIMIT:
        raise ValueError(f"more than {PAGE_LIMIT} bytes unpacked")
    return data


def _extractor() -> Callable[[bytes], str]:
    import pyarrow as pa

    from filters.extract import extract

    step = extract(main_content=False)

    def to_text(data: bytes) -> str:
        table = pa.table(
            {
                "text": pa.array([None], pa.large_string()),
                "html": pa.array([data], pa.large_binary()),
                "content_type": pa.array(["application/xhtml+xml"]),
            }
        )
        return step(table)[0]["text"][0].as_py() or ""

    return to_text
