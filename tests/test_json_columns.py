"""JSON Lines by blocks give the documents, quarantined records and offsets that they give line by line."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.readers import jsonl
from pipeline.readers.rows import Batch, Columns, Options, Rows

COLUMNS = [
    Columns(),
    Columns(text="body", id="n", source=None, date="text", lang="lang"),
    Columns(text="a b", id=None, url=None, source="é"),
]


def found(data: bytes, columns: Columns, batch_rows: int = 1000, piece: int = 1 << 16) -> tuple[Any, ...]:
    """(rows, quarantined entries, skipped) of JSON lines that come in pieces of so many bytes."""
    rows = Rows("a/b.jsonl", columns, "made", batch_rows, 16 << 20)
    rows.options = Options(made_ids=columns is COLUMNS[0])
    pieces = (data[at : at + piece] for at in range(0, len(data), piece))
    batches = [*jsonl.read_plain(pieces, rows)]
    if rows.any:
        batches.append(rows.take())
    return _flat(batches)


def _flat(batches: list[Batch]) -> tuple[Any, ...]:
    for batch in batches:
        batch.table.validate(full=True)
    schemas = {str(batch.table.schema) for batch in batches}
    assert len(schemas) <= 1
    documents = [row for batch in batches for row in batch.table.to_pylist()]
    return documents, [entry for batch in batches for entry in batch.quarantined], schemas


def one_by_one(monkeypatch: pytest.MonkeyPatch, read: Callable[[], Any]) -> Any:
    with monkeypatch.context() as patched:
        patched.setattr(jsonl, "wanted", lambda rows: None)
        return read()


def same(data: bytes, columns: Columns, **options: int) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        plain = one_by_one(monkeypatch, lambda: found(data, columns))
    assert found(data, columns, **options) == plain


texts = st.text(st.characters(codec="utf-8"), max_size=90) | st.sampled_from(
    ["", "x" * 63 + '"', "a" * 64 + "\n", "\\" * 65, "\x00\x1f\x7f", "中文，标点。", "🎉\ud7ff\ue000"]
)
names = st.sampled_from(["text", "id", "source", "url", "date", "lang", "body", "n", "a b", "é", "metadata", "x"])
leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
records = st.dictionaries(names | texts, texts | texts | values, max_size=8)


@st.composite
def lines(draw: Any) -> bytes:
    """Mostly records, dumped in two ways; else damaged ones, or anything."""
    out = []
    for record in draw(st.lists(records, max_size=6)):
        dumped = json.dumps(record, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from(SEPARATORS)))
        line = dumped.encode("utf-8", "surrogatepass")
        if draw(st.integers(0, 3)) == 0:
            at = draw(st.integers(0, len(line)))
            line = (
                line[:at] + draw(st.binary(max_size=3) | st.sampled_from(DAMAGE)) + line[at + draw(st.integers(0, 2)) :]
            )
        out.append(
            draw(st.sampled_from([b"", b" ", b"\t\r", b"\x0b"])) + line + draw(st.sampled_from([b"", b"\r", b" "]))
        )
    out += draw(st.lists(st.binary(max_size=20) | st.sampled_from(ODD), max_size=3))
    order = draw(st.permutations(range(len(out))))
    return b"\n".join(out[i] for i in order) + draw(st.sampled_from([b"", b"\n"]))


SEPARATORS = [(",", ":"), (", ", ": "), (" ,\t", " : ")]
DAMAGE = [
    b'"',
    b"\\",
    b"\\u12",
    b"\\ud83d",
    b"\\udc00",
    b"}",
    b"]",
    b",",
    b":",
    b"null",
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
]
ODD = [
    b"",
    b"{}",
    b'{"text":"a","text":"b"}',
    b'{"te\\u0078t":"a"}',
    b'{"text":"a","x":1 2}',
    b'{"text":"a","x":[1,{"b":]}}',
    b'{"text":"a","x":NaN}',
    b'{"text":"a","x":1,}',
    b'{"text":"a","x":1,"x":null}',
    b'{"text":"a","metadata":{"k":1},"k":2}',
    b'{"text":"a","id":0}',
    b'{"text":"a","id":-0}',
    b'{"text":"a","id":007}',
    b'{"text":"a","id":1e3}',
    b'{"text":"a","id":12345678901234567890123}',
    b'{"text":"a","id":""}',
    b'{"text":"","id":"7","source":""}',
    b'{"text":"a","id":true,"url":["u"]}',
    b'{"text":"a"} x',
    b'{"text":"a"}{"text":"b"}',
    b'["text"]',
    b'{"text":"\\ud83c\\udf89 \\u4e2d\\u00e9\\u0041\\/\\b\\f"}',
    b'{"text":"\\ud83c"}',
    b'{"text":"\\ud83c\\u0041"}',
    b'\xef\xbb\xbf{"text":"a"}',
    b'{"text":"' + b"long " * 4000 + b'"}',
    b'{"text":"a","x":' + b"[" * 1100 + b"]" * 1100 + b"}",
]


@settings(max_examples=400, deadline=None)
@example(b"\n".join(ODD), 0, 1, 5)
@example(b"\n".join(ODD) + b"\n", 1, 2, 1 << 16)
@given(lines(), st.integers(0, len(COLUMNS) - 1), st.integers(1, 5), st.sampled_from([1, 7, 1 << 16]))
def test_blocks_are_read_as_lines_are(data: bytes, columns: int, batch_rows: int, piece: int) -> None:
    same(data, COLUMNS[columns], batch_rows=batch_rows, piece=piece)


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_line_among_others(odd: bytes) -> None:
    around = b'{"id":"a","text":"one","note":"n"}\n'
    same(around + odd + b"\n" + around, COLUMNS[0])


@pytest.mark.parametrize(
    "escapes", ["\\n", "\\\\", '\\"', "\\u00e9", "\\ud83c\\udf89", "\\n\\u4e2d\\t", "\\x", "\\", "\x01"]
)
def test_escapes_at_each_place_of_a_block(escapes: str) -> None:
    ends = [
        before * "a" + times * escapes + after
        for before in range(50, 70)
        for times in (1, 2, 9)
        for after in ("", "b" * 70)
    ]
    data = "".join(f'{{"text":"{text}","id":"x"}}\n' for text in ends)
    same(data.encode(), COLUMNS[0])


def test_the_kernel_takes_plain_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_read_line", None)  # who calls it fails
    data = b'{"id": 7, "text": "one\\ntwo", "url": null, "stars": [1, {"a": "}"}]}\n' * 3
    documents, quarantined, _ = found(data, COLUMNS[0])
    assert not quarantined
    assert [(row["id"], row["text"], row["metadata"], row["_record"]) for row in documents] == [
        ("7", "one\ntwo", '{"stars":[1,{"a":"}"}]}', number) for number in range(3)
    ]


def test_blocks_of_many_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines longer than a block, than a piece, than the limit, and a last one without its end."""
    monkeypatch.setattr("pipeline.readers.streams.FIRST_BLOCK", 100)
    monkeypatch.setattr(jsonl, "LINE_LIMIT", 3000)
    sizes = [5, 300, 2, 2000, 3500, 1, 50, 9000, 7, 7]
    data = b"\n".join(b'{"text":"%s"}' % (b"x" * size) for size in sizes)
    for block in (64, 256, 1 << 20):
        monkeypatch.setattr(jsonl, "BLOCK", block)
        for end in (b"", b"\n", b'\n{"te'):
            for piece in (10, 999, 1 << 20):
                same(data + end, COLUMNS[0], piece=piece)


def test_a_cut_file_keeps_what_lies_before(tmp_path: Path) -> None:
    whole = gzip.compress(
        b"".join(b'{"id":"%d","text":"a text of some length %d"}\n' % (n, n * n) for n in range(5000))
    )

    def read() -> tuple[Any, ...]:
        rows = Rows("a.jsonl.gz", COLUMNS[0], "made", 1000, 16 << 20)
        return _flat([*jsonl.read(io.BytesIO(whole[: len(whole) // 2]), rows), rows.take()])

    with pytest.MonkeyPatch.context() as monkeypatch:
        plain = one_by_one(monkeypatch, read)
    assert read() == plain
    assert plain[1][0]["tail"]


@pytest.mark.shared
def test_real_files(shared_data: Path) -> None:
    for path in sorted((shared_data / "text").glob("multilingual_*.jsonl.gz"))[:2]:
        same(gzip.decompress(path.read_bytes()), COLUMNS[0], piece=1 << 20)
