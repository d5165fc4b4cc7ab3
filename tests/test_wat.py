"""WAT files: what is read of a record, and titles and descriptions as documents."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from reading import account, load, quarantined, rows, skipped
from wats import about, conversion, http, packed, page_id, response, url, warcinfo, wat, wat_record

from pipeline.errors import InputError
from pipeline.readers import format_of
from pipeline.readers.wat import parse
from pipeline.readers.wat_fields import fields

REAL = Path(__file__).parent / "data" / "wat"


def meta(*tags: tuple[str, str, str]) -> dict[str, Any]:
    return {"HTML-Metadata": {"Head": {"Metas": [{key: name, "content": content} for key, name, content in tags]}}}


FOUND = [
    ({}, {}),
    (None, {}),
    ({"Response-Message": {"Status": "404"}}, {"http_status": 404}),
    ({"Response-Message": {"Status": "abc"}}, {}),
    ({"HTML-Metadata": {}}, {"links": 0}),
    ({"HTML-Metadata": {"Head": {"Title": "  Mills\n &amp; more "}}}, {"title": "Mills & more", "links": 0}),
    ({"HTML-Metadata": {"Head": {"Title": ["two", "titles"]}}}, {"links": 0}),
    ({"HTML-Metadata": {"Head": [], "Links": "x"}}, {"links": 0}),
    (meta(("property", "og:title", "Mills"), ("name", "Description", "They grind.")), {"title": "Mills", "description": "They grind.", "links": 0}),
    (meta(("property", "og:description", "a"), ("name", "description", "b")), {"description": "b", "links": 0}),
    (meta(("name", "HTML@/lang", "zh-CN"), ("http-equiv", "content-language", "en")), {"language": "zh-CN", "links": 0}),
    (meta(("http-equiv", "Content-Language", "en")), {"language": "en", "links": 0}),
    (meta(("name", "robots", "NoIndex, nofollow"), ("name", "ccbot", "noai")), {"robots": ["noai", "nofollow", "noindex"], "links": 0}),
    ({"Headers": {"X-Robots-Tag": "otherbot: noai"}}, {"robots": ["noai"], "x_robots_tag": "otherbot: noai"}),
    ({"Headers": {"x-robots-tag": ["noai", "noimageai"]}}, {"robots": ["noai", "noimageai"], "x_robots_tag": "noai, noimageai"}),
    ({"Headers": {"content-type": "text/html", "Last-Modified": "Sun, 19 May 2019 07:24:27 GMT", "Content-Length": 3}},
     {"content_type": "text/html", "last_modified": "Sun, 19 May 2019 07:24:27 GMT"}),
    ({"HTML-Metadata": {"Head": {"Link": [{"path": "LINK@/href", "rel": "stylesheet", "url": "/s.css"}, {"rel": "Canonical", "url": "../7"}]}}},
     {"canonical": "https://example.org/7", "links": 0}),
    ({"HTML-Metadata": {"Head": {"Link": [{"rel": "canonical", "url": "http://["}]}}}, {"links": 0}),
    ({"HTML-Metadata": {"Links": [{"path": "A@/href"}, {"path": "IMG@/src"}, {"path": "AREA@/href"}, {}, None]}}, {"links": 2}),
    (meta(("name", "description", "x" * 2000)), {"description": "x" * 500, "links": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "expected"), FOUND)
def test_fields(said: Any, expected: dict[str, Any]) -> None:
    assert fields(said, "https://example.org/mills/7") == expected


def test_a_record() -> None:
    request, answer, notes = about(7, x_robots_tag="noai")
    assert parse(request) == parse(notes) == ("wat", None)
    assert parse(warcinfo("warc.wat")) == ("warcinfo", None)
    kind, page = parse(answer)
    assert kind == "wat" and page is not None
    assert page == (
        page_id(7),
        url(7),
        "2026-07-12T01:02:03Z",
        {
            "title": "Mill 7",
            "description": "About mill 7.",
            "language": "en-GB",
            "content_type": "text/html; charset=UTF-8",
            "http_status": 200,
            "links": 2,
            "robots": ["noai"],
            "x_robots_tag": "noai",
        },
    )


def test_half_a_character_and_headers_that_are_not_plain() -> None:
    answer = wat_record(7, "response", http(7, head={"Title": "Mill @@"}))
    _, page = parse(
        answer.replace(b"@@", b"\\ud83d").replace(b"WARC-Target-URI: https://e", b"WARC-Target-URI:  https://\xc3\xa9")
    )
    assert page and page.fields["title"] == "Mill ?" and page.id == page_id(7)


def test_documents_of_titles(tmp_path: Path) -> None:
    path = tmp_path / "CC-MAIN-1.warc.wat.gz"
    bare = wat_record(3, "response", http(3, head={"Metas": []}))
    path.write_bytes(packed([*wat([1]), *about(2, status=404), bare]))
    assert format_of(str(path)) == "wat"
    batches = load(path)
    account(batches)
    first, second, third = rows(batches)
    assert (first["id"], first["text"], first["date"]) == (
        page_id(1),
        "Mill 1\n\nAbout mill 1.",
        "2026-07-12T01:02:03Z",
    )
    assert json.loads(first["metadata"])["links"] == 2 and first["_status"] == 200
    assert (second["_status"], third["text"]) == (
        404,
        "",
    )  # both go out in the first and the last step, and are in the ledger
    assert skipped(batches) == {"warcinfo": 1, "wat": 4}
    assert rows(load(path, batch_rows=1)) == rows(batches)


def test_a_bad_record_costs_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.wat"
    records = [about(number)[1] for number in range(4)]
    records[1] = records[1].replace(b'{"Container"', b'["Container"')
    records[2] = records[2].replace(b'"Envelope"', b'"Umschlag"')
    path.write_bytes(b"".join(records))
    batches = load(path)
    account(batches)
    assert [row["id"] for row in rows(batches)] == [page_id(0), page_id(3)]
    assert [
        "JSONDecodeError" in entry["error"] or "no Envelope" in entry["error"] for entry in quarantined(batches)
    ] == [True, True]


@pytest.mark.parametrize(("record", "kind"), [(response(1), "warc"), (conversion(1), "wet")])
def test_another_file_for_a_wat(record: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.wat").write_bytes(warcinfo(kind) + record)
    with pytest.raises(InputError, match=f"no WAT file.*format: {kind}"):
        load(tmp_path / "a.wat")


@pytest.mark.parametrize("kind", ["warc", "wet"])
def test_a_wat_for_another_file(kind: str, tmp_path: Path) -> None:
    """It would give no document at all, and nobody would be told."""
    (tmp_path / "crawl.warc.gz").write_bytes(packed(wat([1])))
    with pytest.raises(InputError, match=r"this is a WAT file.*wat: true.*format: wat"):
        load(tmp_path / "crawl.warc.gz", format=kind)
    notes = wat_record(1, "response", http(1)).replace(b'{"Container"', b'{"Contained"')  # JSON of another kind
    (tmp_path / "crawl.warc.gz").write_bytes(packed([notes, response(1)]))
    assert len(rows(load(tmp_path / "crawl.warc.gz", format="warc"))) == 1


def test_a_published_file() -> None:
    """It has the record about the request only; nothing else was cut out."""
    batches = load(REAL / "whirlwind.warc.wat.gz")
    assert rows(batches) == [] and skipped(batches) == {"warcinfo": 1, "wat": 1}
    assert b'"HTTP-Request-Metadata"' in gzip.decompress((REAL / "whirlwind.warc.wat.gz").read_bytes())
    with pytest.raises(InputError, match="this is a WAT file"):
        load(REAL / "whirlwind.warc.wat.gz", format="warc")
