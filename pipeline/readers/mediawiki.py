"""MediaWiki XML dumps: each article is a document, its wikitext made plain.

    <page><title>Grist</title><ns>0</ns><id>7</id><revision><id>99</id><timestamp>2026-01-02T03:04:05Z</timestamp>
    <model>wikitext</model><text>'''Grist''' is [[grain|corn]] ...</text></revision></page>
    ->  id="7"  text="Grist is corn ..."  url="https://en.wikipedia.org/wiki/Grist"  date="2026-01-02T03:04:05Z"
        metadata='{"revision":"99","title":"Grist"}'

Pages are cut out of the stream one by one, so memory holds one page, and a broken page is one quarantined entry. Pages
outside namespace 0, redirects, pages of other models (JSON, CSS) and deleted texts are skipped and counted. Of a page
with several revisions the last one counts. The text is plain by `wikitext.plain`, which has no templates: what they
would have written is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree

from pipeline.errors import InputError
from pipeline.readers import jsonl
from pipeline.readers.rows import Batch, Rows, describe
from pipeline.readers.streams import TailError, as_utf8, chunks
from pipeline.readers.wikitext import Wiki, plain

HEAD = 1 << 16  # bytes in which a dump says that it is one; site information has about 3,000
BASE = re.compile(rb"<base>([^<]*)</base>")
NAMESPACE = re.compile(rb'<namespace key="(-?\d+)"[^>]*>([^<]*)</namespace>')
FILE_SPACES, CATEGORY_SPACE = ("6", "-2"), "14"


class Page(NamedTuple):
    offset: int
    data: bytes
    length: int


class Site(NamedTuple):
    """The wiki that the dump is of. base: the address that titles are put behind, "" if it says none."""

    base: str
    wiki: Wiki


def read(stream: BinaryIO, rows: Rows) -> Iterator[Batch]:
    """Batches of the dump's articles. `InputError` if it is no dump."""
    plain_bytes = as_utf8(chunks(stream))
    head, tail = _head(plain_bytes)
    if head and b"<mediawiki" not in head:
        raise InputError(
            f"{rows.path}: this is no MediaWiki dump: it has no <mediawiki>. Other XML is not read; make JSON lines of it."
        )
    site = _site(head)
    try:
        for page in _pages(head, tail or plain_bytes):
            if page.length > len(page.data):
                rows.quarantine(
                    f"PageTooLong: {page.length} bytes, the limit is {jsonl.LINE_LIMIT}", page.data, page.offset
                )
            else:
                _page(page, site, rows)
            yield from rows.ready()
    except TailError as error:
        rows.lost_tail(error)
    except EOFError as error:
        rows.quarantine(f"EOFError: {error}; fetch the file again", b"<page>", tail=True)


def _head(plain_bytes: Iterator[bytes]) -> tuple[bytes, Iterator[bytes] | None]:
    """The first bytes, and the stream behind them where it is broken already."""
    head = b""
    try:
        while len(head) < HEAD and (data := next(plain_bytes, b"")):
            head += data
    except TailError as error:
        return head, _raising(error)
    return head, None


def _raising(error: TailError) -> Iterator[bytes]:
    raise error
    yield b""


def _site(head: bytes) -> Site:
    """Address and names of namespaces, from the site information that a dump begins with."""
    base = BASE.search(head)
    names = {key.decode(): name.decode("utf-8", "replace") for key, name in NAMESPACE.findall(head)}
    files = {"file", "image", *(names.get(key, "").lower() for key in FILE_SPACES)} - {""}
    categories = {"category", names.get(CATEGORY_SPACE, "").lower()} - {""}
    address = base[1].decode("utf-8", "replace").rpartition("/")[0] + "/" if base else ""
    return Site(address, Wiki(frozenset(files), frozenset(categories)))


def _pages(head: bytes, rest: Iterator[bytes]) -> Iterator[Page]:
    """The bytes from `<page>` to `</page>`, of too long ones only the first. In text "<" is written "&lt;", so that
    these are marks. EOFError if the last page has no end."""
    buffer, base, at = head, 0, 0
    while True:
        start = buffer.find(b"<page>", at)
        if start < 0:
            start, base, at = 0, base + max(len(buffer) - 5, 0), 0
            buffer = buffer[max(len(buffer) - 5, 0) :]
            if not (more := next(rest, b"")):
                return
            buffer += more
            continue
        end = buffer.find(b"</page>", start)
        if end >= 0:
            at = end + 7
            yield Page(base + start, buffer[start:at], at - start)
            continue
        parts, length, found = _to_page_end(buffer[start:], rest)
        if not found:
            raise EOFError("the file ends inside a page")
        data = b"".join(parts)
        base, at = base + start + length - len(data), 0
        if length > len(data):  # too long: only its end is in `data`
            at = data.index(b"</page>") + 7
            yield Page(base - (length - len(data)), data[:1024], length - len(data) + at)
        buffer = data


def _to_page_end(begun: bytes, rest: Iterator[bytes]) -> tuple[list[bytes], int, bool]:
    """Pieces up to the one that the page's end is in: (the pieces, bytes in all, whether it was found). Of a page over
    the limit only the last pieces."""
    parts, length, last = [begun], len(begun), begun
    while more := next(rest, b""):
        parts.append(more)
        length += len(more)
        if b"</page>" in last[-6:] + more:
            return parts, length, True
        last = (last + more)[-6:] if len(more) < 6 else more
        if length > jsonl.LINE_LIMIT:
            parts = [last]
    return parts, length, False


def _page(page: Page, site: Site, rows: Rows) -> None:
    """One page to a row, a quarantined entry or a count."""
    try:
        root = ElementTree.fromstring(page.data)
    except (ElementTree.ParseError, ValueError) as error:
        rows.quarantine(f"BrokenPage: {describe(error)}", page.data, page.offset)
        return
    if (kind := _no_article(root)) is not None:
        rows.skip(kind)
        return
    revision = root.findall("revision")[-1]
    title = root.findtext("title") or ""
    address = site.base + quote(title.replace(" ", "_"), safe="/:(),;@!*'~-._") if site.base else None
    rows.append(
        text=plain(revision.findtext("text") or "", site.wiki),
        id=root.findtext("id"),
        url=address,
        date=revision.findtext("timestamp"),
        metadata=jsonl.orjson.dumps(
            {"revision": revision.findtext("id"), "title": title}, option=jsonl.orjson.OPT_SORT_KEYS
        ).decode(),
    )


def _no_article(root: ElementTree.Element) -> str | None:
    """Why a page is no article, or None."""
    if (root.findtext("ns") or "0").strip() != "0":
        return "wiki page of another namespace"
    if root.find("redirect") is not None:
        return "wiki redirect"
    revisions = root.findall("revision")
    if not revisions:
        return "wiki page without revision"
    if (revisions[-1].findtext("model") or "wikitext") != "wikitext":
        return f"wiki page of model {revisions[-1].findtext('model')}"
    text = revisions[-1].find("text")
    if text is None or text.get("deleted"):
        return "wiki text deleted"
    return None
