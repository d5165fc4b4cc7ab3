"""Real broken files, and whole files broken here: nothing vanishes, nothing stops the run, nothing cut looks complete.

The small pieces lie in tests/data/dirty; tests with `shared_data` go through the whole collections.
"""

from __future__ import annotations

import base64
import bz2
import csv
import gzip
import json
import lzma
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from pipeline.errors import InputError
from pipeline.readers import Batch, Columns, format_of, jsonl, read, streams, tables, warc
from pipeline.readers.streams import TailError, chunks

HERE = Path(__file__).parent / "data" / "dirty"
SUITE = {
    case["name"]: base64.b64decode(case["data"])
    for case in map(orjson.loads, (HERE / "json_test_suite.jsonl").read_bytes().splitlines())
}


def load(path: Path, **options: Any) -> list[Batch]:
    settings = {
        "format": format_of(str(path)) or "warc",
        "columns": Columns(),
        "default_source": "s",
        **options,
    }
    return list(read(str(path), **settings))


def rows(batches: list[Batch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.table.to_pylist()]


def quarantined(batches: list[Batch]) -> list[dict[str, Any]]:
    return [entry for batch in batches for entry in batch.quarantined]


def skipped(batches: list[Batch]) -> dict[str, int]:
    return dict(sum((Counter(batch.skipped) for batch in batches), Counter()))


def account(batches: list[Batch], gaps: bool = False) -> None:
    """Each ordinal is a row, a quarantined record or a skipped one, once; entries can be written as JSON.

    `gaps`: one entry can stand for several records (the rest of a Parquet row group).
    """
    told = [row["_record"] for row in rows(batches)]
    told += [entry["record"] for entry in quarantined(batches) if entry["record"] is not None]
    assert len(set(told)) == len(told)
    count = len(told) + sum(skipped(batches).values())
    assert all(ordinal < count for ordinal in told) or gaps
    for entry in quarantined(batches):
        assert set(entry) - {"tail"} == {"shard", "record", "offset", "error", "sample"}
        assert ":" in entry["error"] and len(entry["sample"]) <= 200 and entry["sample"].isprintable()
        json.dumps(entry).encode()


# ---- JSON

BLANK = {"n_single_space", "n_structure_no_data", "n_structure_UTF8_BOM_no_data"}  # no record in them
# Inside a line of JSON Lines a newline ends the record; put into one line these are what they were
NEWLINE_IS_THE_CASE = {"n_string_unescaped_newline"}


@pytest.mark.parametrize("name", SUITE)
def test_json_file_as_it_is(name: str, tmp_path: Path) -> None:
    """Each line that is not blank is a record: none of these has a text, so each is quarantined."""
    path = tmp_path / "x.json"
    path.write_bytes(SUITE[name])
    batches = load(path)
    account(batches)
    assert rows(batches) == []
    if name.startswith("n_") and name not in BLANK:
        assert quarantined(batches)
    if name.startswith("n_") and b"\n" not in SUITE[name].rstrip() and name not in BLANK:
        assert "NoText" not in quarantined(batches)[0]["error"]  # it is refused as JSON, not for its fields


@pytest.mark.parametrize("name", [name for name in SUITE if name not in BLANK | NEWLINE_IS_THE_CASE])
def test_json_value_in_a_record(name: str, tmp_path: Path) -> None:
    value = SUITE[name].replace(b"\r", b" ").replace(b"\n", b" ")
    good = b'{"text": "good"}\n'
    path = tmp_path / "x.jsonl"
    path.write_bytes(good + b'{"text": "x", "value": ' + value + b"}\n" + good)
    batches = load(path)
    account(batches)
    texts = [row["text"] for row in rows(batches)]
    if name.startswith("n_"):
        # "{"a":1}}" and the like close the record early, which is wrong too
        assert texts == ["good", "good"] and len(quarantined(batches)) == 1
        assert quarantined(batches)[0]["offset"] == len(good) and quarantined(batches)[0]["record"] == 1
    elif name.startswith("i_") or "invalid_codepoint" in name:
        assert len(texts) + len(quarantined(batches)) == 3
    else:
        assert texts == ["good", "x", "good"]


def test_deep_nesting_costs_its_own_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"[" * 100_000 + b'\n{"text": "after"}\n{"text": "deep", "v": ' + b"[" * 500 + b"]" * 500 + b"}\n")
    batches = load(path)
    assert [row["text"] for row in rows(batches)] == ["after", "deep"]
    assert len(quarantined(batches)) == 1


def test_mended_json(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(
        b'{"text": "half \\ud83c emoji", "k\\ud800": "\\udf89"}\n'
        b'{"text": "big", "n": 123456789012345678901234567890}\n'
        b'\xef\xbb\xbf{"text": "mark in the middle"}\n'
        b'{"text": "nan", "n": NaN}\n'
        b'{"text": "latin \xe9"}\n'
        b"\x00\x00\x00\n"
    )
    batches = load(path)
    assert [row["text"] for row in rows(batches)] == ["half \ufffd emoji", "big", "mark in the middle"]
    assert rows(batches)[0]["metadata"] == '{"k\ufffd":"\ufffd"}'
    errors = [entry["error"] for entry in quarantined(batches)]
    assert errors[0] == "ValueError: NaN is not JSON"
    assert errors[1].startswith("UnicodeDecodeError") and errors[2].startswith("JSONDecodeError")


def test_records_without_text(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"content": "c", "id": 1}\n{"text": null}\n{"text": 5}\n{}\n[]\n"text"\n\n   \n{"text": ""}\n')
    batches = load(path)
    account(batches)
    errors = [entry["error"] for entry in quarantined(batches)]
    assert "no field 'text'; fields: content, id" in errors[0]
    assert "'text' is null" in errors[1] and "'text' is int" in errors[2] and "no fields" in errors[3]
    assert errors[4:] == [f"NotAnObject: expected a JSON object a line, got {kind}" for kind in ("list", "str")]
    assert [(row["text"], row["_record"]) for row in rows(batches)] == [("", 6)]


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz"])
def test_long_lines_are_passed_over(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "LINE_LIMIT", 3_000_000)
    lines = [
        b'{"text": "one"}',
        b'{"text": "' + b"x" * 9_000_000 + b'"}',
        b'{"text": "two"}',
        b"y" * 4_000_000,
    ]
    path = tmp_path / f"x.{ending}"
    path.write_bytes(gzip.compress(b"\n".join(lines)) if ending == "jsonl.gz" else b"\n".join(lines))
    batches = load(path)
    account(batches)
    assert [row["text"] for row in rows(batches)] == ["one", "two"]
    first, second = quarantined(batches)
    assert first["error"] == "LineTooLong: 9000012 bytes, the limit is 3000000"
    assert first["offset"] == 16 and first["sample"].startswith('{"text": "xxx') and "tail" not in first
    assert second["record"] == 3 and second["offset"] == sum(map(len, lines[:3])) + 3


def test_naughty_strings_come_through(shared_data: Path, tmp_path: Path) -> None:
    strings = json.loads((shared_data / "dirty/strings/blns.json").read_text())
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in strings))
    assert [row["text"] for row in rows(load(path))] == strings
    table = tmp_path / "x.csv"
    with table.open("w", newline="") as out:
        csv.writer(out).writerows([["n", "text"], *enumerate(strings)])
    assert [row["text"] for row in rows(load(table))] == strings
    (plain,) = rows(load(shared_data / "dirty/strings/blns.txt"))
    assert plain["text"] == (shared_data / "dirty/strings/blns.txt").read_bytes().decode()


# ---- cut and damaged streams

LINES = [b'{"text": "%d %s"}' % (i, base64.b64encode(i.to_bytes(40, "big"))) for i in range(3000)]
PLAIN = b"\n".join(LINES) + b"\n"
CHECKED = zstandard.ZstdCompressor(write_checksum=True)
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": lambda data: b"".join(CHECKED.compress(data[i : i + 30_000]) for i in range(0, len(data), 30_000)),
    "bz2": lambda data: bz2.compress(data, 1),
    "xz": lzma.compress,
}


@pytest.mark.parametrize("share", [0.001, 0.3, 0.77, 0.9999])
@pytest.mark.parametrize("kind", PACK)
def test_a_cut_stream_is_one_tail_entry(kind: str, share: float, tmp_path: Path) -> None:
    packed = PACK[kind](PLAIN)
    path = tmp_path / f"x.jsonl.{kind}"
    path.write_bytes(packed[: max(7, int(len(packed) * share))])
    batches = load(path)
    account(batches)
    texts = [row["text"] for row in rows(batches)]
    assert texts == [json.loads(line)["text"] for line in LINES[: len(texts)]]
    (entry,) = quarantined(batches)
    assert entry["tail"] is True and "Fetch it again" in entry["error"]
    assert entry["offset"] == len(b"".join(line + b"\n" for line in LINES[: len(texts)]))
    if kind == "gz":  # what decodes is given, to the last line
        inner = zlib.decompressobj(31)
        whole = inner.decompress(path.read_bytes()).count(b"\n")
        assert len(texts) in (whole, whole + 1)


@pytest.mark.parametrize("kind", PACK)
def test_zeroed_bytes_in_a_stream(kind: str, tmp_path: Path) -> None:
    packed = bytearray(PACK[kind](PLAIN))
    packed[len(packed) // 2 : len(packed) // 2 + 16] = bytes(16)
    path = tmp_path / f"x.jsonl.{kind}"
    path.write_bytes(packed)
    batches = load(path)
    account(batches)
    assert [entry.get("tail") for entry in quarantined(batches)][-1] is True
    texts = [row["text"] for row in rows(batches)]
    if kind == "gz":
        assert len(texts) > 1000
    if kind != "xz":
        assert texts[:500] == [json.loads(line)["text"] for line in LINES[:500]]


def test_a_wrong_checksum_keeps_the_lines_and_tells(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(PLAIN))
    packed[-6] ^= 1
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(packed)
    batches = load(path)
    assert len(rows(batches)) == 3000
    (entry,) = quarantined(batches)
    assert entry["tail"] and entry["record"] is None and "incorrect data check" in entry["error"]


def test_rubbish_and_holes_behind_a_member(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    for behind in (b"rubbish", bytes(1000) + gzip.compress(PLAIN), bytes(1 << 20)):
        path.write_bytes(gzip.compress(PLAIN) + behind)
        batches = load(path)
        assert len(rows(batches)) == 3000
        (entry,) = quarantined(batches)
        assert entry["tail"] and entry["record"] is None and entry["offset"] == len(PLAIN)


@pytest.mark.parametrize("kind", PACK)
def test_a_bomb_comes_in_small_pieces(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes({**PACK, "zst": zstandard.compress}[kind](bytes(60 << 20)))
    with path.open("rb") as raw:
        sizes = [len(chunk) for chunk in chunks(raw)]
    assert sum(sizes) == 60 << 20
    assert max(sizes) <= (1 << 20 if kind != "zst" else 256 << 20)


def test_a_lost_connection_is_no_cut_file() -> None:
    class Lost:
        def __init__(self) -> None:
            self.first = gzip.compress(PLAIN)[:10_000]

        def read(self, size: int) -> bytes:
            if self.first:
                data, self.first = self.first, b""
                return data
            raise ConnectionResetError("peer went away")

    with pytest.raises(ConnectionResetError):
        list(chunks(Lost()))  # type: ignore[arg-type]


def test_chunks_tell_where_the_good_part_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(PLAIN)[:-1])
    got = b""
    with path.open("rb") as raw, pytest.raises(TailError) as caught:
        for chunk in chunks(raw):
            got += chunk
    assert got == PLAIN and caught.value.offset == len(PLAIN)


def test_real_cut_gzip(small_data: Path) -> None:
    batches = load(small_data / "dirty/cut/cut.jsonl.gz")
    account(batches)
    assert len(rows(batches)) == 30
    (entry,) = quarantined(batches)
    assert (entry["record"], entry["offset"], entry["tail"]) == (30, 165973, True)


def test_the_cut_collection(shared_data: Path) -> None:
    cut = shared_data / "dirty/cut"
    expected = {  # rows, (record, offset, tail) of the quarantined
        "concatenated_members.jsonl.gz": (16, []),
        "cut.jsonl.gz": (30, [(30, 165973, True)]),
        "cut_in_line.jsonl": (37, [(37, 199206, True)]),
        "cut_in_member.warc.gz": (18, [(19, 149067, True)]),
        "zeroed_16_bytes.warc.gz": (20, [(13, 64834, None), (22, 197084, True)]),
    }
    for name, (count, entries) in expected.items():
        batches = load(cut / name)
        account(batches)
        assert len(rows(batches)) == count, name
        assert [(e["record"], e["offset"], e.get("tail")) for e in quarantined(batches)] == entries, name


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
    assert row["id"] == "6d058047-ede2-4a13-be79-90c17c631dd4"
    assert row["url"] == "http://example.com/" and row["date"] == "2014-01-03T03:03:21Z"
    assert row["html"].startswith(b"<!doctype html>") and row["html"].endswith(b"</html>\n")
    assert row["content_type"] == "text/html; charset=UTF-8" and row["_status"] == 200
    assert row["text"] is None and row["_record"] == 1
    assert json.loads(row["metadata"]) == {"content_type": "text/html; charset=UTF-8", "http_status": 200}


def test_chunked_status_and_resource(small_data: Path) -> None:
    folder = small_data / "dirty/warc"
    (page,) = rows(load(folder / "example-iana.org-chunked.warc"))
    assert page["html"].lstrip().startswith(b"<!doctype html>") and page["html"].rstrip().endswith(b"</html>")
    (missing,) = rows(load(folder / "HTTP404.warc"))
    assert missing["_status"] == 404
    (resource,) = rows(load(folder / "example-resource.warc.gz"))
    assert resource["_status"] is None and json.loads(resource["metadata"])["warc_type"] == "resource"


def test_arc_files_are_refused(small_data: Path) -> None:
    with pytest.raises(InputError, match="ARC file"):
        load(small_data / "dirty/warc/example.arc")


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
    monkeypatch.setattr(warc, "RECORD_LIMIT", 1_000_000)
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


# ---- CSV


def test_bad_rows_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(
        b"id,text,n\n"
        b"1,good,1\n"
        b"2,too few\n"
        b"3,too,many,fields\n"
        b'4,"two\nlines, ""quoted""",4\n'
        b'5,"wrong" quote,5\n'
        b"6,latin \xe9,6\n"
        b"\n"
        b"7,nul \x00,7\n"
        b"8,,8\n"
        b'9,"never closed,9\n10,eaten,10\n'
    )
    batches = load(path)
    account(batches)
    texts = {row["id"]: row["text"] for row in rows(batches)}
    assert texts == {"1": "good", "4": 'two\nlines, "quoted"', "7": "nul \x00", "8": ""}
    found = [(e["record"], e["error"].split(":")[0], e.get("tail")) for e in quarantined(batches)]
    assert found == [
        (1, "FieldCount", None),
        (2, "FieldCount", None),
        (4, "Error", None),
        (5, "UnicodeDecodeError", None),
        (8, "Error", True),
    ]
    assert quarantined(batches)[0]["offset"] == len(b"id,text,n\n1,good,1\n")


def test_a_field_over_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "FIELD_LIMIT", 1000)
    path = tmp_path / "x.csv"
    path.write_bytes(b"id,text\n1,a\n2," + b"x" * 5000 + b"\n3,b\n" + b'4,"' + b"y\n" * 600 + b"5,c\n")
    batches = load(path)
    account(batches)
    ids = [row["id"] for row in rows(batches)]
    assert ids[:2] == ["1", "3"] and ids[-1] == "5"
    assert quarantined(batches)


def test_a_cut_table(tmp_path: Path) -> None:
    plain = b"id,text\n" + b"".join(b'%d,"text %d"\n' % (i, i * i) for i in range(3000))
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(plain)[:-3000])
    batches = load(path)
    account(batches)
    count = len(rows(batches))
    assert count > 100 and [row["id"] for row in rows(batches)] == [str(i) for i in range(count)]
    (entry,) = quarantined(batches)
    assert entry["tail"] and entry["offset"] == len(b"\n".join(plain.split(b"\n")[: count + 1])) + 1


# ---- Parquet


@pytest.mark.parametrize("name", sorted(path.name for path in (HERE / "parquet").iterdir()))
def test_broken_parquet(name: str) -> None:
    broken_parquet(HERE / "parquet" / name)


def test_the_parquet_collection(shared_data: Path) -> None:
    for path in sorted((shared_data / "dirty/parquet").glob("*.parquet")):
        broken_parquet(path)


def broken_parquet(path: Path) -> None:
    """Whatever the text column is said to be: a letter, or all rows told."""
    import pyarrow.parquet as pq

    try:
        names = pq.ParquetFile(path).schema_arrow.names
    except Exception:
        names = []
    with pytest.raises(InputError):
        load(path)
    for name in names:
        try:
            batches = load(path, columns=Columns(text=name))
        except InputError:
            continue
        account(batches, gaps=True)


def test_a_damaged_row_group_costs_itself(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "x.parquet"
    texts = [base64.b64encode(bytes([i % 251] * 60)).decode() + str(i) for i in range(3000)]
    pq.write_table(pa.table({"text": texts}), path, row_group_size=1000, compression="gzip", use_dictionary=False)
    data = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data[start + 200 : start + 260] = bytes(60)
    path.write_bytes(data)
    batches = load(path)
    found = [row["text"] for row in rows(batches)]
    assert found[:1000] == texts[:1000] and found[-1000:] == texts[2000:]
    account(batches, gaps=True)
    (entry,) = quarantined(batches)
    assert "row group 1" in entry["error"] and f"rows {len(found) - 1000} to 1999" in entry["error"]
    assert rows(batches)[-1]["_record"] == 2999


def test_text_and_html_files_that_are_cut(tmp_path: Path) -> None:
    for name in ("x.txt.gz", "x.html.gz"):
        (tmp_path / name).write_bytes(gzip.compress(PLAIN)[:-100])
        batches = load(tmp_path / name)
        assert rows(batches) == [] and quarantined(batches)[0]["tail"] is True
    assert streams.compression(b"plain") == ""
