"""`.json` files: arrays, envelopes, single records, JSON lines in disguise; whole, broken and cut."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import account, load, quarantined, rows

from pipeline.readers import Columns, json_values
from pipeline.readers.json_values import Cursor

RECORDS = [{"text": f'Text {i}: "quoted", 中文 \\ {{[}}', "n": i, "tags": [{"a": [i]}], "o": {}} for i in range(50)]
LAYOUTS = {
    "compact": json.dumps(RECORDS, separators=(",", ":")),
    "one line a record": "[" + ",\n".join(json.dumps(record) for record in RECORDS) + "]",
    "indented": json.dumps(RECORDS, indent=2, ensure_ascii=False),
    "no indent": json.dumps(RECORDS, indent=0),
    "windows": "\ufeff" + json.dumps(RECORDS, indent=1).replace("\n", "\r\n"),
    "lines": "\n".join(json.dumps(record) for record in RECORDS),
    "records in a row": "".join(json.dumps(record) for record in RECORDS),
    "indented in a row": "\n".join(json.dumps(record, indent=4) for record in RECORDS),
    "data": json.dumps({"version": "1", "data": RECORDS, "more": {"a": ["]"]}}, indent=2),
    "data first": json.dumps({"data": RECORDS, "n": 5, "s": "x"}),
    "two lists": json.dumps({"data": RECORDS[:20], "x": [1], "train": RECORDS[20:]}),
    "another name": json.dumps({"about": "a set", "questions": RECORDS}),
    "two arrays": json.dumps(RECORDS[:7]) + "\n" + json.dumps(RECORDS[7:]),
}


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_rows(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.json", LAYOUTS[layout])
    batches = load(path)
    account(batches)
    assert not quarantined(batches)
    assert [row["text"] for row in rows(batches)] == [record["text"] for record in RECORDS]
    assert json.loads(rows(batches)[3]["metadata"]) == {"n": 3, "o": {}, "tags": [{"a": [3]}]}
    assert rows(load(path, batch_rows=3)) == rows(batches)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pieces_of_any_size(layout: str) -> None:
    """A value, key or escape that the end of a piece cuts is the same value."""
    whole = LAYOUTS[layout].encode().removeprefix(b"\xef\xbb\xbf")
    for size in (1, 7, 64):
        pieces = (whole[at : at + size] for at in range(0, len(whole), size))
        cursor = Cursor(pieces)
        values = []
        while sign := cursor.peek():
            values.append((cursor.value() if sign in b'{["' else cursor.scalar()).data)
        assert [json.loads(value) for value in values] == values_of(whole)


def values_of(whole: bytes) -> list[Any]:
    decoder, text, at, found = json.JSONDecoder(), whole.decode(), 0, []
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        found.append(value)
        at += len(text[at:]) - len(text[at:].lstrip())
    return found


def test_offsets_and_a_lone_record(tmp_path: Path) -> None:
    path = write(tmp_path / "x.json", '[{"text": "a"},\n 5, {"no": 1}]')
    first, second = quarantined(load(path))
    assert (first["offset"], first["record"], first["error"]) == (17, 1, "NotAnObject: expected a JSON object, got int")
    assert second["offset"] == 20 and second["error"].startswith("NoText")
    write(path, json.dumps({"text": "one", "data": [{"text": "inner"}]}, indent=1))
    assert [row["text"] for row in rows(load(path))] == ["one"]
    write(path, json.dumps({"body": "one", "parts": [{"text": "inner"}]}))
    assert [row["text"] for row in rows(load(path, columns=Columns(text="body")))] == ["one"]


@pytest.mark.parametrize(
    "broken", ['{"text": "quote never closed}', '{"text": "brace missing"', '{"text": "bracket", "a": [1}', "{oops: 1}"]
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_broken_record_costs_itself(broken: str, indent: int | None, tmp_path: Path) -> None:
    parts = [json.dumps({"text": f"good {i}"}, indent=indent) for i in range(4)]
    parts.insert(2, broken)
    text = "[\n" + ",\n".join(parts) + "\n]"
    if indent:
        text = text.replace("\n{", "\n  {")
    batches = load(write(tmp_path / "x.json", text))
    account(batches)
    assert [row["text"] for row in rows(batches)] == [f"good {i}" for i in range(4)]
    (entry,) = quarantined(batches)
    assert entry["record"] == 2 and entry["offset"] == text.index(broken) and broken[:6] in entry["sample"]


def test_what_cannot_be_followed_is_one_tail(tmp_path: Path) -> None:
    good = json.dumps({"text": "good"})
    batches = load(write(tmp_path / "x.json", f'[{good},{good},{{"text": "open, {good}, {good}]'))
    account(batches)
    assert len(rows(batches)) == 2
    (entry,) = quarantined(batches)
    assert entry["tail"] and entry["error"].startswith("BrokenJson") and entry["offset"] == 2 * len(good) + 3
    (entry,) = quarantined(load(write(tmp_path / "y.json", f"[{good}")))
    assert entry["tail"] and "inside an array" in entry["error"]


@pytest.mark.parametrize("layout", ["compact", "indented", "data", "lines"])
def test_a_cut_file_gives_what_came_before(layout: str, tmp_path: Path) -> None:
    plain = LAYOUTS[layout].encode()
    for name, data in (("x.json", plain[: len(plain) // 2]), ("x.json.gz", gzip.compress(plain)[:-40])):
        (tmp_path / name).write_bytes(data)
        batches = load(tmp_path / name)
        account(batches)
        count = len(rows(batches))
        assert count > 10 and [row["text"] for row in rows(batches)] == [r["text"] for r in RECORDS[:count]]
        (entry,) = quarantined(batches)
        assert entry["tail"] is True


def test_a_value_over_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.readers.jsonl.LINE_LIMIT", 3_000_000)
    big = json.dumps({"text": "x" * 9_000_000})
    batches = load(write(tmp_path / "x.json", f'[\n{{"text": "one"}},\n{big},\n{{"text": "two"}}\n]'))
    account(batches)
    assert [row["text"] for row in rows(batches)] == ["one", "two"]
    assert "more than 3000000 bytes" in quarantined(batches)[0]["error"]


@pytest.mark.parametrize(
    "name, count, column",
    [
        ("alpaca_identity", 91, "output"),
        ("sharegpt_glaive_toolcall_en", 300, "tools"),
        ("sharegpt_glaive_toolcall_zh", 300, "tools"),
        ("sharegpt_identity", 500, "id"),
    ],
)
def test_real_tuning_sets(name: str, count: int, column: str, shared_data: Path) -> None:
    path = shared_data / "sft" / f"{name}.json"
    expected = json.loads(path.read_bytes())
    batches = load(path, columns=Columns(text=column, id="none"))
    account(batches)
    found = rows(batches)
    assert len(found) == count and not quarantined(batches)
    rest = [{k: v for k, v in record.items() if k not in (column, "none")} for record in expected]
    assert [row["text"] for row in found] == [record[column] for record in expected]
    assert [json.loads(row["metadata"]) if row["metadata"] else {} for row in found] == rest


def test_an_array_is_never_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    record = json.dumps({"text": "words " * 2000})
    path.write_text('{"version": 1, "data": [' + ",".join([record] * 4000) + "]}")
    tracemalloc.start()
    count = sum(len(batch.table) for batch in iterate(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 4000 and path.stat().st_size > 45_000_000
    assert peak < 25_000_000, f"{peak >> 20} MB at the peak"


def iterate(path: Path) -> Any:
    from pipeline.readers import read

    return read(str(path), format="json", columns=Columns(), default_source="s", batch_rows=100)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.text(max_size=8), JSON, max_size=5), max_size=8), st.sampled_from([None, 0, 3]))
def test_any_array_comes_through(records: list[dict[str, Any]], indent: int | None) -> None:
    """The splitter finds the same elements as the standard library."""
    data = json.dumps(records, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    cursor = Cursor(iter([data[:10], data[10:]]))
    found: list[Any] = []

    class Rows:
        columns, full = Columns(), False

        def ready(self) -> Any:
            return iter(())

        def quarantine(self, *args: Any) -> None:
            raise AssertionError(args)

    values = json_values._Values(cursor, Rows())  # type: ignore[arg-type]
    values._record = lambda span: found.append(json.loads(span.data))  # type: ignore[method-assign]
    cursor.peek()
    list(values._array())
    assert found == records


def test_utf16(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(json.dumps(RECORDS, ensure_ascii=False).encode("utf-16"))
    assert [row["text"] for row in rows(load(path))] == [record["text"] for record in RECORDS]
    assert io.BytesIO(path.read_bytes()).read(2) == b"\xff\xfe"
