"""Metadata of pages, robots rules, and the traps of content types."""

import json
import time
from pathlib import Path

import pyarrow as pa
import pytest

from filters.extract import extract
from filters.page_metadata import directives, page_metadata, utc
from pipeline.readers import Columns, read

HEAD = """<html lang="zh-CN"><head><title>Site | Mills &amp; more</title>
<!-- <meta name="author" content="Nobody"><meta name="robots" content="noindex"> -->
<meta property="og:title" content="Mills &amp; more"><meta name="author" content="Wang Min">
<meta property="article:published_time" content="2025-01-15T10:30:00+02:00"><meta name=ROBOTS content="NoAI, noimageai">
<link rel="canonical" href="/mills"></head><body><article><p>They grind.</p>
<a rel="license" href="https://creativecommons.org/licenses/by-sa/4.0/deed.de">licence</a></article></body></html>"""

ARTICLE = {"headline": "Mills &amp; more", "datePublished": "2025-01-15", "author": [{"name": "A"}, {"name": "B"}]}
LD = f'<script type="application/ld+json">{json.dumps({"@graph": [{"name": "x"}, ARTICLE]})}</script>'


def test_all_fields():
    assert page_metadata(HEAD, "https://example.org/2025/x?y=1") == {
        "title": "Mills & more",
        "published": "2025-01-15T08:30:00Z",
        "author": "Wang Min",
        "language": "zh-CN",
        "canonical": "https://example.org/mills",
        "license": "CC-BY-SA-4.0",
        "license_url": "https://creativecommons.org/licenses/by-sa/4.0/deed.de",
        "robots": ["noai", "noimageai"],
    }


def test_json_ld():
    assert page_metadata(f"<title>t</title>{LD}") == {
        "title": "Mills & more",
        "published": "2025-01-15",
        "author": "A, B",
    }


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<",
        "<p>Mills",
        '<script type="application/ld+json">{"a": </script>',
        '<script type="application/ld+json">' + "[" * 5000 + "</script>",
        '<link rel=canonical href="http://[">',
        "<meta name=date content=soon>",
        '<a rel="license">x</a>',
    ],
)
def test_pages_that_say_nothing(page):
    assert page_metadata(page) == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-01-15", "2025-01-15"),
        ("2025-01-15T10:30:00+08:00", "2025-01-15T02:30:00Z"),
        ("2025-01-15T10:30:00.123Z", "2025-01-15T10:30:00Z"),
        ("2025-01-15 10:30", "2025-01-15T10:30:00Z"),
        ("Wed, 15 Jan 2025 10:30:00 +0100", "2025-01-15T09:30:00Z"),
        ("2025年1月5日", "2025-01-05"),
        ("2025/01/15 10:30:00", "2025-01-15"),
        ("2025-13-45", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("15 Jan 99999999999 08:30:00", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_dates_are_utc(value, expected):
    assert utc(value) == expected


@pytest.mark.parametrize(
    ("page", "licence"),
    [
        ('<a href="http://creativecommons.org/licenses/by-nc-nd/3.0/">cc</a>', "CC-BY-NC-ND-3.0"),
        ('<a href="https://creativecommons.org/publicdomain/zero/1.0/">0</a>', "CC0-1.0"),
        ('<a href="https://creativecommons.org/publicdomain/mark/1.0/">pd</a>', "PDM-1.0"),
        ('<a href="//creativecommons.org/licenses/by/4.0/">a</a> <a href="//creativecommons.org/licenses/by/2.0/">picture</a>', None),
        ('<a rel="nofollow license" href="//creativecommons.org/licenses/by/4.0/">a</a> <a href="//creativecommons.org/licenses/by/2.0/">b</a>', "CC-BY-4.0"),
        ('<meta name="dcterms.license" content="https://creativecommons.org/licenses/by/4.0/">', "CC-BY-4.0"),
        ('<a rel=license href="https://example.org/terms">terms</a>', None),
        ('<a title=license href="//creativecommons.org/licenses/by/4.0/"> <a rel="LICENSE me" href="//creativecommons.org/licenses/by/2.0/">', "CC-BY-2.0"),
    ],
)  # fmt: skip
def test_licences(page, licence):
    assert page_metadata(page).get("license") == licence


def test_directives():
    assert directives("noai, noimageai", "googlebot: noindex, max-snippet:5", None) == [
        "max-snippet:5",
        "noai",
        "noimageai",
        "noindex",
    ]


def test_poison_costs_little():
    for page in (
        *('<meta "' * 30_000, "<!--" * 50_000, "<script " * 30_000, "<a rel=" * 30_000, "<title>" * 30_000),
        *("<a rel=license " * 10_000, ("<meta " + "a" * 9_900 + ">") * 10),
    ):
        start = time.process_time()
        page_metadata(page)
        assert time.process_time() - start < 1, page[:10]


# ---- as a step -------------------------------------------------------------------------------------------------------


def run(page, record=None, url=None, **options):
    table = pa.table(
        {
            "text": pa.nulls(1, pa.large_string()),
            "url": pa.array([url], pa.string()),
            "metadata": pa.array([record], pa.large_string()),
            "html": pa.array([page.encode()], pa.large_binary()),
            "content_type": ["text/html; charset=utf-8"],
        }
    )
    out, (reason,) = extract(**options)(table)
    return out["text"][0].as_py(), out["metadata"][0].as_py(), reason.as_py()


def test_metadata_is_merged_and_the_record_wins():
    _, text, reason = run(HEAD, '{"title":"Mine","http_status":200}', "https://example.org/", metadata=True)
    fields = json.loads(text)
    assert (fields["title"], fields["http_status"], fields["author"]) == ("Mine", 200, "Wang Min") and reason is None
    assert list(fields) == sorted(fields)


def test_half_a_character_in_json_ld_costs_itself():
    text, metadata, reason = run(LD.replace("Mills", "Mills \\ud83c") + "<p>They grind.", metadata=True)
    assert (text, reason, json.loads(metadata)["title"]) == ("They grind.", None, "Mills \ufffd & more")


def test_an_address_is_whole_or_not_there():
    for length, there in ((500, True), (501, False)):
        address = "https://example.org/".ljust(length, "x")
        page = f'<link rel="canonical" href="{address}"><a rel="license" href="{address}">terms</a>'
        found = {"canonical": address, "license_url": address} if there else {}
        assert page_metadata(page) == found


def test_the_header_counts_for_texts_too():
    table = pa.table(
        {"text": pa.nulls(2, pa.large_string()), "html": [b"Mills grind.", b"<title>Mills</title> grind."]}
    )
    table = table.append_column("content_type", pa.array(["text/plain"] * 2))
    table = table.append_column("metadata", pa.array(['{"x_robots_tag":"noai"}', None], pa.large_string()))
    out, reasons = extract(refuse=["noai"], metadata=True)(table)
    assert [each and (each["reason"], each["detail"]) for each in reasons.to_pylist()] == [("robots", "noai"), None]
    assert out["text"].to_pylist() == [None, "<title>Mills</title> grind."] and out["metadata"][1].as_py() is None


def test_without_the_option_metadata_stays_as_it_was():
    assert run(HEAD, '{"b":1,"a":2}')[1] == '{"b":1,"a":2}'
    assert run("<p>Mills", '{"b":1}', refuse=["noai"])[1] == '{"b":1}'


@pytest.mark.parametrize(
    ("page", "metadata", "refuse", "detail"),
    [
        (HEAD, None, ["noai"], "noai"),
        (HEAD, None, ["noimageai", "noai", "noindex"], "noai, noimageai"),
        (HEAD, None, ["noindex"], None),
        ("<p>Mills", '{"x_robots_tag":"noindex"}', ["noindex"], "noindex"),
        ("<p>Mills", '{"x_robots_tag":"otherbot: noai"}', ["noai"], "noai"),
        ('<meta name=robots content=none><p>Mills', None, ["noindex"], "noindex"),
        ("<p>Mills", "not json", ["noindex"], None),
    ],
)  # fmt: skip
def test_pages_whose_robots_rules_say_no(page, metadata, refuse, detail):
    text, _, reason = run(page, metadata, refuse=refuse)
    if detail is None:
        assert reason is None and text
    else:
        assert (reason["reason"], reason["detail"], text) == ("robots", detail, None)


# ---- content types: from the crawl's file to the text ----------------------------------------------------------------

XHTML = b"""<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x">
<html xmlns="http://www.w3.org/1999/xhtml"><body><p>Mills grind.</p></body></html>"""
FEED = b'<?xml version="1.0"?><rss version="2.0"><channel><title>Mills</title></channel></rss>'
PLAIN = b"<!doctype html><p>Mills grind.</p>"


def record(number: int, body: bytes, headers: str, warc: str = "") -> bytes:
    http = f"HTTP/1.1 200 OK\r\n{headers}\r\n".encode() + body
    return (
        (
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{number}>\r\nWARC-Target-URI: http://example.org/{number}\r\n"
            f"Content-Type: application/http; msgtype=response\r\n{warc}Content-Length: {len(http)}\r\n\r\n"
        ).encode()
        + http
        + b"\r\n\r\n"
    )


TRAPS = [
    (XHTML, "Content-Type: text/xml\r\n", "", "Mills grind."),
    (XHTML, "Content-Type: application/xml; charset=utf-8\r\n", "", "Mills grind."),
    (XHTML, "Content-Type: application/xhtml+xml\r\n", "", "Mills grind."),
    (XHTML, "", "", "Mills grind."),
    (PLAIN, "", "", "Mills grind."),
    (PLAIN, "", "WARC-Identified-Payload-Type: text/html\r\n", "Mills grind."),
    (PLAIN, "Content-Type: application/octet-stream\r\n", "", "Mills grind."),
    (PLAIN, "Content-Type: unknown/unknown\r\n", "WARC-Identified-Payload-Type: text/html\r\n", "Mills grind."),
    (PLAIN, "content-type: TEXT/HTML;Charset=UTF-8\r\n", "", "Mills grind."),
    (FEED, "Content-Type: text/xml\r\n", "", None),
    (b"%PDF-1.7", "Content-Type: text/html\r\n", "", None),
    (b"\x89PNG\r\n", "", "", None),
]  # fmt: skip


def test_no_page_is_lost_to_its_content_type(tmp_path: Path):
    file = tmp_path / "crawl.warc"
    file.write_bytes(b"".join(record(n, body, http, warc) for n, (body, http, warc, _) in enumerate(TRAPS)))
    tables = [batch.table for batch in read(str(file), format="warc", columns=Columns(), default_source="x")]
    for engine in ("resiliparse", "gristmill"):
        texts = [text for table in tables for text in extract(engine=engine)(table)[0]["text"].to_pylist()]
        assert texts == [expected for *_, expected in TRAPS]


def test_the_header_of_a_crawled_page_is_handed_on(tmp_path: Path):
    file = tmp_path / "crawl.warc"
    two = "X-Robots-Tag: otherbot: noindex\r\nServer: x\r\nx-robots-tag: noai\r\n"
    heads = ["X-Robots-Tag: noai, noindex\r\n", "Server: x\r\n", two, f"{two}Transfer-Encoding: identity\r\n"]
    file.write_bytes(b"".join(record(number, PLAIN, head) for number, head in enumerate(heads)))
    (batch,) = read(str(file), format="warc", columns=Columns(), default_source="x")
    table, reasons = extract(refuse=["noai"], metadata=True)(batch.table)
    assert [each and each["detail"] for each in reasons.to_pylist()] == ["noai", None, "noai", "noai"]
    assert [json.loads(text or "{}").get("robots") for text in table["metadata"].to_pylist()] == [
        ["noai", "noindex"],
        None,
        ["noai", "noindex"],
        ["noai", "noindex"],
    ]
    assert "x_robots_tag" not in (table["metadata"][1].as_py() or "")
