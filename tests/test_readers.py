"""Readers: the same records in every container give the same table."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from filters.step import DOCUMENT
from pipeline.errors import InputError
from pipeline.files import storage
from pipeline.files.patterns import expand
from pipeline.readers import Batch, Columns, format_of, read
from pipeline.readers.files import decode

RECORDS = [
    {
        "id": f"doc-{i}",
        "text": f'Document {i}: naïve café, 中文文本，emoji 🎉.\nA "quoted" line, with\ttab.\n' + "x" * (i % 7 * 50),
        "source": "made" if i % 3 else None,
        "url": f"https://example.org/{i}",
        "date": "2026-01-02" if i % 2 else None,
        "kind": f"k{i % 5}",
        "note": "nul \x00 inside" if i == 3 else None,
    }
    for i in range(40)
]


def as_jsonl(records: list[dict[str, Any]] = RECORDS) -> bytes:
    return b"".join(orjson.dumps({k: v for k, v in r.items() if v is not None}) + b"\n" for r in records)


def as_table(separator: str) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    writer.writerow(RECORDS[0])
    writer.writerows([value or "" for value in record.values()] for record in RECORDS)
    return out.getvalue().encode()


def as_parquet(**options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(RECORDS), out, **options)
    return out.getvalue()


def members(compress: Callable[[bytes], bytes], parts: int = 7) -> bytes:
    """Many members, ending anywhere, also inside a line."""
    plain = as_jsonl()
    step = len(plain) // parts + 1
    return b"".join(compress(plain[at : at + step]) for at in range(0, len(plain), step))


SKIPPABLE = b"\x50\x2a\x4d\x18" + (8).to_bytes(4, "little") + b"ignored!"
CONTAINERS: dict[str, Callable[[], bytes]] = {
    "a.jsonl": as_jsonl,
    "a.ndjson": lambda: as_jsonl().rstrip(b"\n"),
    "a.json": lambda: b"\xef\xbb\xbf" + as_jsonl().replace(b"\n", b"\r\n\r\n"),
    "utf16.jsonl": lambda: b"\xff\xfe" + as_jsonl().decode().encode("utf-16-le"),
    "a.jsonl.gz": lambda: gzip.compress(as_jsonl()),
    "a.jsonl.zst": lambda: zstandard.compress(as_jsonl()),
    "a.jsonl.bz2": lambda: bz2.compress(as_jsonl()),
    "a.jsonl.xz": lambda: lzma.compress(as_jsonl()),
    "not-compressed.jsonl.gz": as_jsonl,
    "members.jsonl.gz": lambda: members(gzip.compress),
    "padded.jsonl.gz": lambda: members(gzip.compress) + bytes(1000),
    "frames.jsonl.zst": lambda: SKIPPABLE + members(zstandard.compress) + SKIPPABLE,
    "streams.jsonl.bz2": lambda: members(bz2.compress),
    "streams.jsonl.xz": lambda: members(lzma.compress),
    "a.parquet": as_parquet,
    "groups.parquet": lambda: as_parquet(row_group_size=7, compression="zstd"),
    "a.csv": lambda: as_table(","),
    "bom.csv.gz": lambda: gzip.compress(b"\xef\xbb\xbf" + as_table(",").replace(b"\n", b"\r\n", 1)),
    "a.tsv": lambda: as_table("\t"),
    "a.tsv.zst": lambda: zstandard.compress(as_table("\t")),
}


def load(path: Path | str, **options: Any) -> list[Batch]:
    path = str(path)
    settings = {"format": format_of(path), "columns": Columns(), "default_source": "default", **options}
    return list(read(path, **settings))


def table(batches: list[Batch]) -> pa.Table:
    return pa.concat_tables(batch.table for batch in batches).combine_chunks()


def quarantined(batches: list[Batch]) -> list[dict[str, Any]]:
    return [entry for batch in batches for entry in batch.quarantined]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    path = tmp_path_factory.mktemp("reference") / "a.jsonl"
    path.write_bytes(as_jsonl())
    return table(load(path))


def test_columns_and_metadata(reference: pa.Table) -> None:
    assert reference.schema.names == [*DOCUMENT.names, "_record"]
    assert reference.schema.field("text").type == pa.large_string()
    rows = reference.to_pylist()
    assert [row["text"] for row in rows] == [record["text"] for record in RECORDS]
    assert [row["_record"] for row in rows] == list(range(40))
    assert rows[0]["source"] == "default" and rows[1]["source"] == "made"
    assert rows[3]["metadata"] == '{"kind":"k3","note":"nul \\u0000 inside"}'
    assert rows[0]["html"] is rows[0]["lang"] is rows[0]["lang_score"] is rows[0]["date"] is None


@pytest.mark.parametrize("name", CONTAINERS)
def test_same_records_same_table(name: str, tmp_path: Path, reference: pa.Table) -> None:
    (tmp_path / name).write_bytes(CONTAINERS[name]())
    batches = load(tmp_path / name)
    assert quarantined(batches) == []
    assert table(batches).equals(reference)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "frames.jsonl.zst", "groups.parquet", "a.csv", "a.jsonl.xz"])
def test_same_table_from_s3(name: str, s3_bucket: str, reference: pa.Table) -> None:
    storage.write_bytes(f"{s3_bucket}/in/{name}", CONTAINERS[name]())
    (info,) = expand([f"{s3_bucket}/in/*"], lambda path: format_of(path) is not None)
    assert table(load(info.path)).equals(reference)


@pytest.mark.parametrize("name", ["members.jsonl.gz", "groups.parquet", "a.csv"])
def test_rows_do_not_depend_on_the_batches(name: str, tmp_path: Path, reference: pa.Table) -> None:
    (tmp_path / name).write_bytes(CONTAINERS[name]())
    for size in (1, 7, 1000):
        batches = load(tmp_path / name, batch_rows=size)
        assert max(batch.table.num_rows for batch in batches) <= size
        assert table(batches).equals(reference)
    assert table(load(tmp_path / name, batch_bytes=100)).equals(reference)
    assert len(load(tmp_path / name, batch_bytes=100)) > 10


@pytest.mark.parametrize(
    "name, kind",
    [
        ("a.jsonl", "jsonl"),
        ("a.JSONL.GZ", "jsonl"),
        ("s3://b/a.json.zst", "json"),
        ("a.parquet", "parquet"),
        ("CC-MAIN-1.warc.gz", "warc"),
        ("CC-MAIN-1.warc.wet.gz", "wet"),
        ("a.csv.bz2", "csv"),
        ("a.tsv.xz", "tsv"),
        ("a.txt", "text"),
        ("a.htm", "html"),
        ("https://example.org/a.jsonl?token=1", "jsonl"),
        ("a.docx", None),
        ("jsonl", None),
        ("a.gz", None),
        ("a.arc.gz", "arc"),
        ("notes.md", "markdown"),
        ("enwiki-20260101-pages-articles1.xml-p1p41242.bz2", "mediawiki"),
        ("sitemap.xml", None),
        ("shard-000.tar.gz", "tar"),
        ("a.tgz", "tar"),
        ("sqlite:///a.db", "sql"),
        ("postgresql+psycopg://h/db", "sql"),
    ],
)
def test_format_of(name: str, kind: str | None) -> None:
    assert format_of(name) == kind


def write_lines(path: Path, *records: Any) -> Path:
    path.write_bytes(b"".join(json.dumps(record).encode() + b"\n" for record in records))
    return path


def test_ids(tmp_path: Path) -> None:
    records = [{"id": i, "text": "t"} for i in (7, "x", None, "", 2**70, 1.5, [1], True)]
    rows = table(load(write_lines(tmp_path / "a.jsonl", *records))).to_pylist()
    made = rows[2]["id"]
    assert len(made) == 32 and made == rows[3]["id"]  # the same source and text
    assert [row["id"] for row in rows] == ["7", "x", made, made, str(2**70), "1.5", "[1]", "true"]
    other = table(load(tmp_path / "a.jsonl", default_source="other")).to_pylist()
    assert other[2]["id"] != made and other[1]["id"] == "x"


def test_named_columns(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", {"body": "b", "link": "u", "text": "other", "when": 5, "l": "zh"})
    columns = Columns(text="body", id="link", url="link", date="when", lang="l")
    (row,) = table(load(path, columns=columns)).to_pylist()
    assert (row["text"], row["id"], row["url"], row["date"], row["lang"]) == ("b", "u", "u", "5", "zh")
    assert row["metadata"] == '{"text":"other"}'


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_html_column(kind: str, tmp_path: Path) -> None:
    records = [{"id": "1", "html": "<p>naïve"}, {"id": "2", "text": "plain"}, {"id": "3"}]
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        write_lines(path, *records)
    else:
        pq.write_table(pa.Table.from_pylist(records, pa.schema({c: pa.string() for c in ("id", "html", "text")})), path)
    batches = load(path, columns=Columns(html="html"))
    first, second = table(batches).to_pylist()
    assert first["html"] == "<p>naïve".encode() and first["text"] is None
    assert first["content_type"] == "text/html; charset=utf-8"
    assert second["html"] is None and second["text"] == "plain" and second["content_type"] is None
    assert [entry["record"] for entry in quarantined(batches)] == [2]


def test_metadata_of_earlier_runs_is_unfolded(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "a.jsonl",
        {"text": "t", "metadata": {"b": 1}, "a": 2},
        {"text": "t", "metadata": '{"b":1}', "a": 2},
        {"text": "t", "metadata": {"a": 1}, "a": 2},
        {"text": "t", "metadata": "plain words"},
    )
    assert table(load(path))["metadata"].to_pylist() == [
        '{"a":2,"b":1}',
        '{"a":2,"b":1}',
        '{"a":2,"metadata":{"a":1}}',
        '{"metadata":"plain words"}',
    ]


def test_parquet_values(tmp_path: Path) -> None:
    values = {
        "text": ["one", "two", None],
        "id": [1, 2, 3],
        "date": [datetime(2026, 1, 2, 3, 4, 5), None, None],
        "nested": [{"b": [1, 2], "a": b"\xff"}, None, {"b": None, "a": b"text"}],
        "n": pa.array([1, None, 3], pa.decimal128(5, 2)),
    }
    pq.write_table(pa.table(values), tmp_path / "a.parquet")
    batches = load(tmp_path / "a.parquet")
    first, second = table(batches).to_pylist()
    assert first["id"] == "1" and first["date"] == "2026-01-02T03:04:05"
    assert json.loads(first["metadata"]) == {"n": "1.00", "nested": {"a": "/w==", "b": [1, 2]}}
    assert second["metadata"] is None
    (entry,) = quarantined(batches)
    assert entry["record"] == 2 and "'text' is null" in entry["error"] and "date, id, n, nested" in entry["error"]


def test_parquet_text_that_is_not_utf8(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(
        pa.string(),
        3,
        [
            None,
            pa.py_buffer(bytes([0, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 6, 0, 0, 0])),
            pa.py_buffer(b"ok\xff\xfeok"),
        ],
    )
    pq.write_table(pa.table({"text": bad}), tmp_path / "a.parquet")
    batches = load(tmp_path / "a.parquet")
    assert table(batches)["text"].to_pylist() == ["ok", "ok"]
    assert [(entry["record"], entry["error"][:6]) for entry in quarantined(batches)] == [(1, "NoText")]


def test_files_that_are_no_source(tmp_path: Path) -> None:
    pq.write_table(pa.table({"txt": ["a"], "n": [1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"no column 'text', did you mean 'txt'\? \(it has txt, n\)"):
        load(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="holds int64, expected text"):
        load(tmp_path / "a.parquet", columns=Columns(text="n"))
    (tmp_path / "b.csv").write_text("txt,n\na,1\n")
    with pytest.raises(InputError, match=r"no column 'text', did you mean 'txt'"):
        load(tmp_path / "b.csv")
    (tmp_path / "c.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-4])
    with pytest.raises(InputError, match="not a readable Parquet file"):
        load(tmp_path / "c.parquet")
    with pytest.raises(InputError, match="No such file"):
        load(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match=r"unknown format 'jsnl', did you mean 'jsonl'"):
        load(tmp_path / "a.parquet", format="jsnl")
    (tmp_path / "d.jsonl").write_bytes(b"\x04\x22\x4d\x18....")
    with pytest.raises(InputError, match="lz4"):
        load(tmp_path / "d.jsonl")


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.warc.gz", "a.jsonl.zst"])
def test_an_empty_file_has_no_records(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    assert load(tmp_path / name) == []
    if name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress(b""))
        assert load(tmp_path / name) == []


def test_text_and_html_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Grüße\r\nzwei".encode())
    (row,) = table(load(tmp_path / "a.txt")).to_pylist()
    assert row["text"] == "Grüße\r\nzwei" and row["metadata"] == '{"file":"a.txt"}' and len(row["id"]) == 32
    (tmp_path / "a.html.gz").write_bytes(gzip.compress(b"<p>\xe4"))
    (row,) = table(load(tmp_path / "a.html.gz")).to_pylist()
    assert row["html"] == b"<p>\xe4" and row["content_type"] == "text/html" and row["text"] is None
    (tmp_path / "e.txt").write_bytes(b"")
    assert table(load(tmp_path / "e.txt"))["text"].to_pylist() == [""]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030"])
def test_text_encodings(encoding: str) -> None:
    text = "机器学习是人工智能的一个分支。它研究如何让计算机从数据中学习规律，并用这些规律作出预测。" * 3
    assert decode(text.encode(encoding)) == text


ENCODINGS = {
    "arabic-1": ("cp1256", "بالموازاة مع ذلك"),
    "chinese": ("big5", "維基大典"),
    "korean": ("cp949", "역사적 예수"),
    "russian": ("mac_cyrillic", "В гимназии"),
    "french-1": ("cp1252", "JEAN-BAPTISTE POQUELIN MOLIÈRE"),
    "hebrew-2": ("cp1255", "אין כמעט ניבים"),
    "turkish": ("cp1254", "İstanbul, Türkiye'nin"),
    "greek-2": ("cp1253", "Η ελληνική"),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_real_legacy_encodings(name: str, small_data: Path) -> None:
    encoding, start = ENCODINGS[name]
    data = (small_data / "dirty" / "encodings" / f"sample-{name}.txt").read_bytes()
    text = decode(data)
    assert text is not None and text.startswith(start)
    # code pages of one family differ in a few signs only
    letters = [(a, b) for a, b in zip(text, data.decode(encoding)) if a.isalpha()]
    assert sum(a == b for a, b in letters) >= 0.99 * len(letters)


def test_damaged_utf8_stays_utf8() -> None:
    data = ("Ein schöner Tag in München. " * 100).encode()
    assert decode(data[:500] + b"\xff" + data[500:]) == data[:500].decode() + "\ufffd" + data[500:].decode()


MEMORY = """
import gzip, resource, sys
from pipeline.readers import Columns, read
line = b'{"id": "a", "text": "' + b"some words to repeat " * 120 + b'"}\\n'
block = gzip.compress(line * 4000, 1)
with open(sys.argv[1], "wb") as out:
    for _ in range(30):
        out.write(block)
next(read(sys.argv[1], format="jsonl", columns=Columns(), default_source="s"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = sum(b.table.num_rows for b in read(sys.argv[1], format="jsonl", columns=Columns(), default_source="s"))
print(rows, len(line) * 4000 * 30 >> 20, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    code = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "big.jsonl.gz")],
        cwd=code,
        capture_output=True,
        text=True,
        check=True,
    )
    rows, megabytes, grown = map(int, done.stdout.split())
    assert rows == 120_000 and megabytes > 280
    assert grown < 150, f"{grown} MB more for a file of {megabytes} MB"
