"""What a page says of itself: title, date, author, language, canonical address, licence, and what its robots rules ask for.

    <html lang="en"><title>Mills</title><link rel="canonical" href="https://example.org/mills"> ...
    -> {"title": "Mills", "language": "en", "canonical": "https://example.org/mills"}

Fields that a page does not have are not there. Sources are <meta> tags (Open Graph, article:*, Dublin Core ...), JSON-LD
(schema.org) and elements; the first that has the field counts, in the order of `page_metadata`. Dates are UTC
("2025-01-15T08:30:00Z"; "2025-01-15" where only a day is given; a time without a zone is taken as UTC). It reads the bytes
with regular expressions, so it costs a fifth of an extraction; comments are taken out first, scripts are not run.
"""

from __future__ import annotations

import email.utils
import html
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

HEAD = 200_000  # characters in which <meta> and <link> are looked for
LONGEST_TAG = 10_000  # characters of a tag that is looked at
LONGEST = 500  # characters of a field; longer ones are a page's text in the wrong place and cut, addresses left out
OPT_OUT = ("noai", "noimageai", "noindex", "nofollow", "noarchive", "nosnippet", "none")
"""Directives that a recipe can refuse; "none" means noindex and nofollow."""

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TAG = re.compile(r"<(meta|link|html|time)\b", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""(?<![\w:.-])([a-zA-Z_:][\w:.-]*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_TITLE = re.compile(r"<title\b[^>]{0,500}>(.*?)</title>", re.DOTALL | re.IGNORECASE)
_JSON_LD = re.compile(r"<script\b[^>]{0,500}application/ld\+json[^>]{0,500}>(.*?)</script>", re.DOTALL | re.IGNORECASE)
_LINK = re.compile(r"<(?:a|link)\s([^<>]{0,2000})>", re.IGNORECASE)
_CC = re.compile(
    r"creativecommons\.org/(?:licenses/(by(?:-nc)?(?:-sa|-nd)?)/(\d\.\d)|publicdomain/(zero|mark)/(\d\.\d))",
    re.IGNORECASE,
)
_DAY = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})")
_SPACE = re.compile(r"\s+")
_SURROGATE = re.compile(
    "[\ud800-\udfff]"
)  # of JSON-LD ("\\ud83c" cut off from its other half): no character, and no JSON can hold it
_ADDRESSES = ("canonical", "license_url")

_TITLES = ("og:title", "twitter:title", "dc.title", "dcterms.title")
_DATES = (
    "article:published_time", "og:article:published_time", "datepublished", "dc.date.issued", "dcterms.issued", "dcterms.created",
    "date", "dc.date", "pubdate", "publishdate", "publish-date", "parsely-pub-date", "sailthru.date", "citation_publication_date",
    "article.published", "weibo:article:create_at", "apub:time",
)  # fmt: skip
_AUTHORS = (
    "author",
    "article:author",
    "dc.creator",
    "dcterms.creator",
    "parsely-author",
    "sailthru.author",
    "citation_author",
)


def page_metadata(page: str, url: str | None = None, robots_header: str | None = None) -> dict[str, Any]:
    """The fields of a page. `url`: what relative links are relative to; `robots_header`: the HTTP header X-Robots-Tag."""
    head = page[:HEAD]
    if "<!--" in head:
        commented = until(head, "-->")
        head = _COMMENT.sub("", commented) + head[len(commented) :]
    meta, links, language, time = _tags(head)
    data = _json_ld(page)
    found = {
        "title": _first(meta, _TITLES) or data.get("title") or _title(head),
        "published": next(
            filter(None, map(utc, (*_all(meta, _DATES[:3]), data.get("published"), *_all(meta, _DATES[3:]), time))),
            None,
        ),
        "author": data.get("author")
        or next((name for name in _all(meta, _AUTHORS) if not name.startswith("http")), None),
        "language": language or _first(meta, ("content-language", "og:locale")),
        "canonical": _absolute(links.get("canonical") or _first(meta, ("og:url",)), url),
        **_licence(page, meta, url),
    }
    asked = directives(*_all(meta, ("robots",)), *_all(meta, ("googlebot", "gptbot", "ccbot")), robots_header)
    fields = {
        name: value[:LONGEST]
        for name, value in found.items()
        if value and (len(value) <= LONGEST or name not in _ADDRESSES)
    }
    return fields | ({"robots": asked} if asked else {})


def until(page: str, mark: str) -> str:
    """The page up to its last `mark`: behind it no pair can end, and looking for one from each beginning takes quadratic time."""
    return page[: page.rfind(mark) + len(mark)] if mark in page else ""


def _tags(head: str) -> tuple[dict[str, list[str]], dict[str, str], str | None, str | None]:
    """Contents of <meta> by name, hrefs of <link> by rel, language of <html>, the first <time>."""
    meta: dict[str, list[str]] = {}
    links: dict[str, str] = {}
    language = time = None
    for found in _TAG.finditer(head):
        kind = found.group(1).lower()
        attributes = _attributes(head[found.end() : _tag_end(head, found.end())])
        if kind == "html":
            language = language or attributes.get("lang") or attributes.get("xml:lang")
        elif kind == "time":
            time = time or attributes.get("datetime")
        elif kind == "link":
            for rel in attributes.get("rel", "").lower().split():
                links.setdefault(rel, attributes.get("href", ""))
        elif kind == "meta" and attributes.get("content", "").strip():
            for key in ("property", "name", "itemprop", "http-equiv"):
                if key in attributes:
                    meta.setdefault(attributes[key].strip().lower(), []).append(_text(attributes["content"]))
    return meta, links, language, time


def _tag_end(page: str, begin: int) -> int:
    """Where the tag ends: at a ">" outside quotes, looked for a few times."""
    end = begin
    for _ in range(4):
        end = page.find(">", end)
        if end < 0:
            return min(begin + LONGEST, len(page))
        inside = page[begin : min(end, begin + LONGEST_TAG)]
        if inside.count('"') % 2 == 0 or len(inside) == LONGEST_TAG:
            break
        end += 1
    return min(end, begin + LONGEST_TAG)


def _attributes(source: str) -> dict[str, str]:
    return {
        name.lower(): html.unescape(double or single or bare)
        for name, double, single, bare in _ATTRIBUTE.findall(source)
    }


def _text(value: str) -> str:
    return _SURROGATE.sub("\ufffd", _SPACE.sub(" ", html.unescape(value)).strip())


def _all(meta: dict[str, list[str]], names: tuple[str, ...]) -> list[str]:
    return [value for name in names for value in meta.get(name, ())]


def _first(meta: dict[str, list[str]], names: tuple[str, ...]) -> str | None:
    return next(iter(_all(meta, names)), None)


def _title(head: str) -> str | None:
    found = _TITLE.search(until(head, "</title>"))
    return _text(found.group(1)) if found else None


def _absolute(address: str | None, url: str | None) -> str | None:
    try:
        joined = urljoin(url or "", (address or "").strip())
        urlsplit(joined)
    except ValueError:  # "http://[": no address at all
        return None
    return joined if joined.startswith(("http://", "https://")) else None


def _json_ld(page: str) -> dict[str, str]:
    """Headline, date and author of the first schema.org object that has a date of publication."""
    if "ld+json" not in page:
        return {}
    for found in _JSON_LD.finditer(until(page, "</script>")):
        try:
            root = json.loads(found.group(1).strip())
        except (ValueError, RecursionError):
            continue
        for thing in _objects(root, 0):
            if isinstance(thing.get("datePublished"), str):
                fields = {
                    "title": thing.get("headline"),
                    "published": thing["datePublished"],
                    "author": _names(thing.get("author")),
                }
                return {
                    name: _text(value) for name, value in fields.items() if isinstance(value, str) and value.strip()
                }
    return {}


def _objects(node: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > 6:
        return
    if isinstance(node, dict):
        yield node
        for key in ("@graph", "mainEntity", "mainEntityOfPage", "itemListElement"):
            yield from _objects(node.get(key), depth + 1)
    elif isinstance(node, list):
        for each in node[:50]:
            yield from _objects(each, depth + 1)


def _names(author: Any) -> str | None:
    entries = author if isinstance(author, list) else [author]
    names = [each.get("name") if isinstance(each, dict) else each for each in entries]
    return ", ".join(name for name in names if isinstance(name, str) and not name.startswith("http")) or None


def utc(value: str | None) -> str | None:
    """A date as a page gives it, in UTC; None if it cannot be read."""
    value = (value or "").strip()
    if not value:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        try:
            parsed = email.utils.parsedate_to_datetime(value)
        except (ValueError, TypeError, IndexError, OverflowError):
            return _day(value)
    if len(value) <= 10:
        return parsed.date().isoformat()
    try:
        moment = parsed.astimezone(UTC) if parsed.tzinfo else parsed
    except OverflowError:
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _day(value: str) -> str | None:
    found = _DAY.search(value)
    try:
        return datetime(*map(int, found.groups())).date().isoformat() if found else None  # type: ignore[arg-type]
    except ValueError:
        return None


def _licence(page: str, meta: dict[str, list[str]], url: str | None) -> dict[str, str | None]:
    """The licence that rel=license names; else the one Creative Commons licence that the page links to, if it is only one."""
    for tag in _LINK.finditer(page) if "license" in page else ():
        attributes = _attributes(tag.group(1)) if "license" in tag.group(1).lower() else {}
        address = attributes.get("href")
        if address and "license" in attributes.get("rel", "").lower().split():
            named = _CC.search(address)
            return {"license": _cc_name(named) if named else None, "license_url": _absolute(address, url)}
    declared = _first(meta, ("dcterms.license", "dc.rights", "dcterms.rights", "license", "copyright"))
    found = {_cc_name(each) for each in _CC.finditer(page)} if "creativecommons.org/" in page else set()
    if len(found) == 1:
        return {"license": found.pop()}
    named = _CC.search(declared or "")
    return {"license": _cc_name(named) if named else None}


def _cc_name(found: re.Match[str]) -> str:
    """SPDX's name: "CC-BY-SA-4.0", "CC0-1.0"; "PDM-1.0" for the public domain mark."""
    kind, version, public, public_version = found.groups()
    if kind:
        return f"CC-{kind.upper()}-{version}"
    return f"{'CC0' if public.lower() == 'zero' else 'PDM'}-{public_version}"


def directives(*values: str | None) -> list[str]:
    """Directives of robots rules, sorted, each once: "googlebot: noindex, max-snippet:5" -> ["max-snippet:5", "noindex"]."""
    found = set()
    for value in values:
        for part in (value or "").lower().split(","):
            name, _, rest = part.strip().partition(":")
            directive = (
                part.strip()
                if not rest or name in ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")
                else rest.strip()
            )
            if directive:
                found.add(directive)
    return sorted(found)
