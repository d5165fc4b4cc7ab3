"""What a WAT record says of a page, and what the rest of the pipeline knows of WAT files.

    {"Response-Message": {"Status": "200"}, "Headers": {"X-Robots-Tag": "noai"}, "HTML-Metadata": {"Head": {"Title": "Mills"}, "Links": [...]}}
    ->  {"http_status": 200, "links": 12, "robots": ["noai"], "title": "Mills", "x_robots_tag": "noai"}

WAT files are written by ia-web-commons (github.com/commoncrawl/ia-web-commons), whose habits decide here: a header that a server sent
twice is a list, numbers are text, and the language of `<html lang>` stands among the <meta> tags, by the name HTML@/lang.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from filters.page_metadata import LONGEST, directives

FIELDS = ("title", "description", "language", "canonical", "robots", "x_robots_tag",
          "http_status", "content_type", "last_modified", "links")  # fmt: skip
"""What can be had of a WAT record, by the names of `filters.page_metadata` and of the WARC reader where they have it, too."""

IS_WAT = (
    "this is a WAT file: what a crawl says about pages, without their text. To add it to the documents of WARC or WET files: "
    "input: {wat: true}. To read titles and descriptions as documents: input: {format: wat}."
)

FOUND, BARRED = "_wat", "_robots"
"""Columns of documents with a WAT file beside them: does it have a record of the page; the refused directives, or null."""

SPACE = re.compile(r"\s+")
ROBOTS = ("robots", "googlebot", "gptbot", "ccbot")
TITLES = ("og:title", "twitter:title")
DESCRIPTIONS = ("description", "og:description", "twitter:description")
LANGUAGES = ("html@/lang", "html@/xml:lang", "content-language", "og:locale")
METAS = frozenset({*ROBOTS, *TITLES, *DESCRIPTIONS, *LANGUAGES, "og:url"})
HEADERS = frozenset({"x-robots-tag", "content-type", "last-modified"})


@dataclass(frozen=True)
class Join:
    """path: of the WAT file. fields: those of FIELDS that are added. refuse: robots directives that bar a page."""

    path: str
    fields: tuple[str, ...]
    refuse: frozenset[str] = frozenset()


def fields(http: Any, url: str | None) -> dict[str, Any]:
    """Those of FIELDS that there are. http: the HTTP-Response-Metadata; url: what a relative address is relative to."""
    page = at(http, "HTML-Metadata")
    head, meta, sent = at(page, "Head"), _metas(at(page, "Head", "Metas")), _sent(at(http, "Headers"))
    status = text(at(http, "Response-Message", "Status")) or ""
    header = ", ".join(sent.get("x-robots-tag", ()))
    found = {
        "title": _first(meta, *TITLES) or text(at(head, "Title")),
        "description": _first(meta, *DESCRIPTIONS),
        "language": _first(meta, *LANGUAGES),
        "canonical": _canonical(head, meta, url),
        "x_robots_tag": header,
        "content_type": ", ".join(sent.get("content-type", ())),
        "last_modified": ", ".join(sent.get("last-modified", ())),
    }
    more = {
        "robots": directives(*(value for name in ROBOTS for value in meta.get(name, ())), header),
        "http_status": int(status) if status.isascii() and status.isdigit() and len(status) < 6 else None,
        "links": _links(at(page, "Links")) if isinstance(page, dict) else None,
    }
    cut = {name: value[:LONGEST] for name, value in found.items() if value}
    return cut | {name: value for name, value in more.items() if value is not None and value != []}


def _metas(tags: Any) -> dict[str, list[str]]:
    """Contents of <meta> by name, of those that are asked for."""
    found: dict[str, list[str]] = {}
    for tag in _list(tags):
        for key in ("property", "name", "itemprop", "http-equiv") if isinstance(tag, dict) else ():
            name = tag.get(key)
            known = name.strip().lower() if type(name) is str else ""
            if known in METAS and (content := text(tag.get("content"))):
                found.setdefault(known, []).append(content)
    return found


def _sent(lines: Any) -> dict[str, list[str]]:
    """The server's headers by lower-case names, of those that are asked for."""
    found: dict[str, list[str]] = {}
    for name, value in lines.items() if isinstance(lines, dict) else ():
        if name.lower() in HEADERS:
            found.setdefault(name.lower(), []).extend(filter(None, map(text, _list(value))))
    return found


def _canonical(head: Any, meta: dict[str, list[str]], url: str | None) -> str | None:
    links = (
        text(at(tag, "url"))
        for tag in _list(at(head, "Link"))
        if "canonical" in (text(at(tag, "rel")) or "").lower().split()
    )
    link = next(filter(None, links), None) or _first(meta, "og:url")
    try:
        return urljoin(url or "", link) if link else None
    except ValueError:
        return None


def _links(links: Any) -> int:
    """How many there are that a reader can follow: <a href>, <area href>."""
    paths = [link.get("path") for link in _list(links) if isinstance(link, dict)]
    return sum(type(path) is str and path.startswith(("A@/", "AREA@/")) for path in paths)


def _first(meta: dict[str, list[str]], *names: str) -> str | None:
    return next((meta[name][0] for name in names if name in meta), None)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def text(value: Any) -> str | None:
    """A value as one line of text, or None."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    clean = str(value).encode("utf-8", "replace").decode()
    return SPACE.sub(" ", html.unescape(clean)).strip() or None


def at(value: Any, *names: str) -> Any:
    """The value below these names, or None if there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
