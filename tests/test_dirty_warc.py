"""Odd, cut and broken WARC files: each record is a page, a quarantined entry or skipped."""

from __future__ import annotations

import bz2
import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from reading import account, load, quarantined, rows, skipped

from pipeline.errors import InputError
from pipeline.files import storage
from pipeline.readers import Batch, Columns, framer, read

# ---- WARC

WARC = {  # file: (documents, quarantined, skipped)
    "example.warc.gz": (1, 0, {"warcinfo": 2, "request": 2, "revisit": 1}),
    "example-bad.warc.gz.bad": (2, 0, {"warcinfo": 1, "request": 2, "revisit": 1}),
    "example-bad-non-chunked.warc.gz": (1, 0, {"warcinfo": 2, "request": 2, "revisit": 1}),
    "example-trunc.warc": (0, 1, {"warcinfo": 2, "request": 1}),
    "example-iana.org-chunked.warc": (1, 0, {"warcinfo": 1, "request": 1}),
    "example-resource.warc.gz": (1, 0, {"warcinfo": 2}),
    "broken.warc": (1, 1, {"warcinfo": 1, "request": 2, "metadata": 1}),
    "redirect.warc": (0, 1, {"warcinfo": 1}),
    "HTTP404.warc": (1, 0, {"warcinfo": 1}),
    "clipped.warc.gz": (0, 1, {}),
    "block-sized-records.warc.gz": (0, 0, {"unknown": 3}),
}


@pytest.mark.parametrize("name", WARC)
def test_real_warc_files(name: str, small_data: Path) -> None:
    batches = load(small_data / "dirty/warc" / name)
    account(batches)
    assert (len(rows(batches)), len(quarantined(batches)), skipped(batches)) == WARC[name]


def test_a_page_of_a_warc(small_data: Path) -> None:
    (row,) = rows(load(small_data / "dirty/warc/example.warc.gz"))
    assert row["id"] == "a9c51e3e-0221-11e7-bf66-0242ac120005"
    assert row["url"] == "http://example.com/" and row["date"] == "2017-03-06T04:02:06Z"
    assert row["html"].startswith(b"<!doctype html>") and row["html"].endswith(b"</html>\n")
    assert row["content_type"] == "text/html" and row["_status"] == 200
    assert row["text"] is None and row["_record"] == 2
    assert json.loads(row["metadata"]) == {"content_type": "text/html", "http_status": 200}


def test_chunked_status_and_resource(small_data: Path) -> None:
    folder = small_data / "dirty/warc"
    (page,) = rows(load(folder / "example-iana.org-chunked.warc"))
    assert page["html"].lstrip().startswith(b"<!doctype html>") and page["html"].rstrip().endswith(b"</html>")
    (missing,) = rows(load(folder / "HTTP404.warc"))
    assert missing["_status"] == 404
    (resource,) = rows(load(folder / "example-resource.warc.gz"))
    assert resource["_status"] is None and json.loads(resource["metadata"])["warc_type"] == "resource"


@pytest.mark.parametrize("name", ["example.warc.gz", "clipped.warc.gz", "example-trunc.warc"])
def test_the_same_from_s3(name: str, small_data: Path, s3_bucket: str) -> None:
    local = small_data / "dirty/warc" / name
    remote = f"{s3_bucket}/{name}"
    storage.write_bytes(remote, local.read_bytes())
    from_s3 = list(read(remote, format="warc", columns=Columns(), default_source="s"))
    assert rows(from_s3) == rows(load(local)) and skipped(from_s3) == WARC[name][2]
    told = [{**entry, "shard": str(local)} for entry in quarantined(from_s3)]
    assert told == quarantined(load(local))


def test_the_two_formats_are_told_apart(small_data: Path) -> None:
    with pytest.raises(InputError, match=r"ARC file.*format: arc"):
        load(small_data / "dirty/warc/example.arc", format="warc")
    with pytest.raises(InputError, match=r"WARC file.*format: warc"):
        load(small_data / "dirty/warc/example.warc.gz", format="arc")


ARC_HEAD = b"filedesc://x.arc 127.0.0.1 20140216050221 text/plain 75\n1 0 x\nURL IP-address Archive-date Content-type Archive-length\n"
ARC_HEAD += b" " * (75 + ARC_HEAD.index(b"\n") + 1 - len(ARC_HEAD)) + b"\n"


def arc_page(number: int, body: bytes) -> bytes:
    http = b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
    return b"http://h/%d?a b 1.2.3.4 20140216050221 text/html %d\n" % (number, len(http)) + http + b"\n"


ARCS = [arc_page(i, b"<p>page %d</p>" % i * (i % 5 * 40 + 1)) for i in range(12)]


def arc_numbers(batches: list[Batch]) -> list[int]:
    return [int(row["url"][9:].split("?")[0]) for row in rows(batches)]


@pytest.mark.parametrize("layout", ["plain", "members", "one member", "zstd"])
def test_arc_layouts(layout: str, tmp_path: Path) -> None:
    parts = [ARC_HEAD, *ARCS]
    data = {
        "plain": lambda: b"".join(parts),
        "members": lambda: b"".join(map(gzip.compress, parts)),
        "one member": lambda: gzip.compress(b"".join(parts)),
        "zstd": lambda: zstandard.compress(b"".join(parts)),
    }[layout]()
    (tmp_path / "x.arc").write_bytes(data)
    batches = load(tmp_path / "x.arc")
    account(batches)
    found = rows(batches)
    assert (
        arc_numbers(batches) == list(range(12)) and skipped(batches) == {"arc filedesc": 1} and not quarantined(batches)
    )
    assert found[1]["html"] == b"<p>page 1</p>" * 41 and found[1]["_status"] == 200
    assert (found[1]["url"], found[1]["date"]) == ("http://h/1?a b", "2014-02-16T05:02:21Z")
    assert rows(load(tmp_path / "x.arc", batch_rows=1)) == found


def test_a_broken_arc_record_costs_itself(tmp_path: Path) -> None:
    wrong = ARCS[5].replace(b"text/html ", b"text/html 9", 1)
    for bad in (wrong, ARCS[5][:-30], ARCS[5].replace(b"1.2.3.4", b"nowhere")):
        (tmp_path / "x.arc").write_bytes(b"".join([ARC_HEAD, *ARCS[:5], bad, *ARCS[6:]]))
        batches = load(tmp_path / "x.arc")
        account(batches)
        assert set(arc_numbers(batches)) >= {0, 1, 2, 3, 4, 7, 8, 9, 10, 11} and quarantined(batches)
    (tmp_path / "x.arc").write_bytes(b"".join([ARC_HEAD, *ARCS])[:-40])
    batches = load(tmp_path / "x.arc")
    account(batches)
    assert arc_numbers(batches) == list(range(11)) and quarantined(batches)[0]["tail"]


def test_real_arc_files(shared_data: Path) -> None:
    folder = shared_data / "dirty/warc"
    for name in ("example.arc", "example.arc.gz"):
        batches = load(folder / "warcio" / name)
        account(batches)
        (row,) = rows(batches)
        assert (
            row["url"].startswith("http://example.com/") and b"Example Domain" in row["html"] and row["_status"] == 200
        )
    for name in ("warcio/bad.arc", "aut/badexample.arc.gz", "warcio/example-space-in-url.arc"):
        batches = load(folder / name)
        account(batches)
        assert quarantined(batches)


def response(number: int, body: bytes, headers: bytes = b"", status: bytes = b"200 OK") -> bytes:
    http = b"HTTP/1.1 " + status + b"\r\nContent-Type: text/html\r\n" + headers + b"\r\n" + body
    return record(b"response", number, http, b"Content-Type: application/http; msgtype=response\r\n")


def record(kind: bytes, number: int, block: bytes, headers: bytes = b"") -> bytes:
    head = b"WARC/1.0\r\nWARC-Type: %s\r\nWARC-Record-ID: <urn:uuid:%d>\r\n" % (kind, number)
    return head + headers + b"Content-Length: %d\r\n\r\n" % len(block) + block + b"\r\n\r\n"


PAGES = [response(i, b"<p>page %d</p>" % i * (i % 5 * 40 + 1)) for i in range(12)]


def ids(batches: list[Batch]) -> list[int]:
    return [int(row["id"]) for row in rows(batches)]


@pytest.mark.parametrize("kind", ["gz", "whole gz", "zst", "", "bz2"])
def test_a_warc_cut_anywhere(kind: str, tmp_path: Path) -> None:
    """The pages before the cut, and an entry wherever the cut can be seen at all: not between two members."""
    pack: Callable[[bytes], bytes] = {"gz": gzip.compress, "zst": zstandard.compress}.get(kind, lambda data: data)
    parts = [pack(page) for page in PAGES]
    whole = b"".join(parts)
    whole = {"whole gz": gzip.compress, "bz2": bz2.compress}.get(kind, lambda data: data)(whole)
    seams = {sum(map(len, parts[:i])) for i in range(13)} if kind in ("gz", "zst", "") else {0, len(whole)}
    path = tmp_path / "x.warc"
    for at in [*range(0, len(whole), 37), *sorted(seams)]:
        path.write_bytes(whole[:at])
        batches = load(path)
        account(batches)
        assert ids(batches) == list(range(len(ids(batches))))
        # of a plain record the last newlines may be missing: it is whole without them
        complete = at in seams or (kind == "" and any(0 < seam - at <= 4 for seam in seams))
        assert bool(quarantined(batches)) != complete, at
        assert all(entry.get("tail") for entry in quarantined(batches)), at
    assert ids(batches) == list(range(12))


@pytest.mark.parametrize("kind", ["gz", "zst", ""])
def test_a_warc_damaged_anywhere(kind: str, tmp_path: Path) -> None:
    """16 bytes zeroed: at most two pages are lost, each loss is told, and the pages behind are read."""
    pack: Callable[[bytes], bytes] = {"gz": gzip.compress, "zst": zstandard.compress}.get(kind, lambda data: data)
    whole = b"".join(pack(page) for page in PAGES)
    path = tmp_path / f"x.warc.{kind}"
    for at in range(0, len(whole) - 16, 23):
        path.write_bytes(whole[:at] + bytes(16) + whole[at + 16 :])
        batches = load(path)
        account(batches)
        lost = 12 - len(set(ids(batches)) & set(range(12))) if kind else 0
        assert lost <= 2, at
        assert len(quarantined(batches)) <= 2, at
        if kind == "gz" and lost:
            assert quarantined(batches), at


@pytest.mark.parametrize("wrong", [-3, 30, 5000, 10**9, 10**18])
def test_a_wrong_content_length_costs_its_record_only(wrong: int, tmp_path: Path) -> None:
    bad = response(99, b"<p>bad</p>")
    length = int(bad.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    bad = bad.replace(b"Content-Length: %d" % length, b"Content-Length: %d" % (length + wrong))
    path = tmp_path / "x.warc"
    path.write_bytes(b"".join([*PAGES[:5], bad, *PAGES[5:]]))
    batches = load(path)
    account(batches)
    assert ids(batches) == list(range(12))
    (entry,) = quarantined(batches)
    assert entry["record"] == 5 and entry["offset"] == sum(map(len, PAGES[:5])) and "BrokenRecord" in entry["error"]


def test_an_enormous_record_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framer, "RECORD_LIMIT", 1_000_000)
    path = tmp_path / "x.warc.gz"
    path.write_bytes(gzip.compress(PAGES[0] + response(99, b"x" * 3_000_000) + PAGES[1]) + gzip.compress(PAGES[2]))
    batches = load(path)
    assert ids(batches) == [0, 1, 2]
    assert "the limit is 1000000" in quarantined(batches)[0]["error"]


def test_rubbish_between_records(tmp_path: Path) -> None:
    path = tmp_path / "x.warc"
    path.write_bytes(b"rubbish\n" + PAGES[0] + b"\0" * 100_000 + PAGES[1] + b"rubbish")
    batches = load(path)
    account(batches)
    assert ids(batches) == [0, 1]
    assert [entry["record"] for entry in quarantined(batches)] == [0, 2, 4]


BODIES = [  # headers, body as stored, html (None: quarantined)
    (b"Content-Encoding: gzip\r\n", gzip.compress(b"<p>hi"), b"<p>hi"),
    (b"Content-Encoding: zstd\r\n", zstandard.compress(b"<p>hi"), b"<p>hi"),
    (b"Content-Encoding: deflate\r\n", zlib.compress(b"<p>hi"), b"<p>hi"),
    (b"Transfer-Encoding: chunked\r\n", b"3\r\n<p>\r\n2\r\nhi\r\n0\r\n\r\n", b"<p>hi"),
    (b"Transfer-Encoding: chunked\r\n", b"<p>not chunked", b"<p>not chunked"),
    (
        b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n",
        b"%x\r\n" % len(gzip.compress(b"<p>hi")) + gzip.compress(b"<p>hi") + b"\r\n0\r\n\r\n",
        b"<p>hi",
    ),
    (b"Content-Encoding: gzip\r\n", b"<p>decoded already", b"<p>decoded already"),
    (b"Content-Encoding: br\r\n", b"<p>decoded already", b"<p>decoded already"),
    (b"Content-Encoding: nonsense\r\n", b"<p>hi", b"<p>hi"),
    (b"Content-Encoding: gzip\r\n", b"\x1f\x8b\x08\x00rubbish", None),
    (b"", b"", b""),
]


@pytest.mark.parametrize("headers, body, html", BODIES)
def test_http_bodies(headers: bytes, body: bytes, html: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "x.warc"
    path.write_bytes(PAGES[0] + response(1, body, headers) + PAGES[2])
    batches = load(path)
    account(batches)
    assert [row["html"] for row in rows(batches)][1:-1] == ([] if html is None else [html])
    assert len(quarantined(batches)) == (html is None)


@pytest.mark.parametrize("block", [b"", b"rubbish", b"HTTP/1.1 abc\r\n\r\n<p>x", b"HTTP/1.1 -5 x\r\n\r\n<p>x"])
def test_a_response_without_a_status(block: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.warc"
    bad = record(b"response", 9, block, b"Content-Type: application/http\r\n")
    path.write_bytes(PAGES[0] + bad + PAGES[1])
    batches = load(path)
    account(batches)
    assert ids(batches) == [0, 1]
    assert "no HTTP status line" in quarantined(batches)[0]["error"]


def test_wet_and_other_records(tmp_path: Path) -> None:
    text = "Привет, мир".encode()
    path = tmp_path / "x.warc.wet.gz"
    languages = b"WARC-Identified-Content-Language: rus\r\nWARC-Target-URI: <http://a.example/>\r\n"
    dns = record(b"response", 3, b"20260101\na.example 1.2.3.4", b"Content-Type: text/dns\r\n")
    parts = [record(b"warcinfo", 1, b"x: y"), record(b"conversion", 2, text, languages), dns]
    path.write_bytes(b"".join(map(gzip.compress, parts)))
    batches = load(path)
    (row,) = rows(batches)
    assert row["text"] == text.decode() and row["html"] is None and row["url"] == "http://a.example/"
    assert row["metadata"] == '{"languages":"rus"}' and row["_status"] is None
    assert skipped(batches) == {"warcinfo": 1, "response_not_http": 1}


def test_the_warc_collection(shared_data: Path) -> None:
    refused = []
    for path in sorted((shared_data / "dirty/warc").rglob("*.*")):
        try:
            batches = load(path, format="warc")
        except InputError as error:
            assert ".arc" in path.name or ".lz4" in path.name, error
            refused.append(path.name)
            continue
        account(batches)
        assert rows(batches) or skipped(batches) or quarantined(batches), path
    assert len(refused) == 7


def test_the_web_collection_is_whole(shared_data: Path) -> None:
    for name, pages in (("handbook_26_languages", 754), ("apache_cppreference_sqlite", 519)):
        batches = load(shared_data / f"web/{name}.warc.gz")
        account(batches)
        assert (len(rows(batches)), quarantined(batches), skipped(batches)) == (pages, [], {"warcinfo": 1})
        index = (shared_data / f"web/{name}.index.tsv").read_text().splitlines()
        sizes = {line.split("\t")[1]: int(line.split("\t")[-1]) for line in index[1:]} if "\t" in index[0] else {}
        for row in rows(batches):
            assert sizes.get(row["url"], len(row["html"])) == len(row["html"])
