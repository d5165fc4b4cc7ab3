"""Real broken records: JSON, CSV, Parquet. Nothing vanishes, nothing stops the run.

The small pieces lie in tests/data/dirty; tests with `shared_data` go through whole collections.
"""

from __future__ import annotations

import base64
import csv
import gzip
import json
from pathlib import Path

import orjson
import pytest
from reading import account, load, quarantined, rows

from pipeline.errors import InputError
from pipeline.readers import Columns, decoders, jsonl, tables

HERE = Path(__file__).parent / "data" / "dirty"
SUITE = {
    case["name"]: base64.b64decode(case["data"])
    for case in map(orjson.loads, (HERE / "json_test_suite.jsonl").read_bytes().splitlines())
}


# ---- JSON

BLANK = {"n_single_space", "n_structure_no_data", "n_structure_UTF8_BOM_no_data"}  # no record in them
SEVERAL_VALUES = {"n_structure_double_array"}  # values one after another: no record is lost by reading them all
# Inside a line of JSON Lines a newline ends the record; put into one line these are what they were
NEWLINE_IS_THE_CASE = {"n_string_unescaped_newline"}


@pytest.mark.parametrize("name", SUITE)
def test_json_file_as_it_is(name: str, tmp_path: Path) -> None:
    """None of these values has a text, so each is quarantined; and what is wrong is told as wrong JSON."""
    path = tmp_path / "x.json"
    path.write_bytes(SUITE[name])
    batches = load(path)
    account(batches)
    assert rows(batches) == []
    if name.startswith("n_") and name not in BLANK | SEVERAL_VALUES:
        errors = [entry["error"] for entry in quarantined(batches)]
        assert any(not error.startswith("NoText") for error in errors), errors


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


def test_what_can_be_read_and_not_written_costs_its_own_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "a"}\n{"text": "deep", "v": ' + b"[" * 1010 + b"]" * 1010 + b'}\n{"text": "b"}\n')
    batches = load(path)
    assert [row["text"] for row in rows(batches)] == ["a", "b"]
    assert quarantined(batches)[0]["record"] == 1 and quarantined(batches)[0]["error"].startswith("RecursionError")


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
    assert errors[4:] == [f"NotAnObject: expected a JSON object, got {kind}" for kind in ("list", "str")]
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


def test_a_header_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"id,te\xe9t\n1,a\n")
    with pytest.raises(InputError) as error:
        load(path)
    assert "te?t" in str(error.value) and str(error.value).encode()  # the letter goes to a file
    path.write_bytes(b"id,text,n\xe9\n1,a,2\n")
    (row,) = rows(load(path))
    assert row["metadata"] == '{"n?":"2"}'


def test_a_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    import os

    from pipeline.files import inputs
    from pipeline.recipes.recipe import read as read_recipe

    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.jsonl")).write_text("{}\n")
    with pytest.raises(InputError, match=r"bad.xff.jsonl'.*not UTF-8. Rename"):
        inputs.shards(*read_recipe(json.dumps({"input": {"paths": str(tmp_path)}, "output": {"path": "o"}}), "r"))


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
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.ParquetFile(path).schema_arrow.names
    except (OSError, pa.ArrowException):
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
        (tmp_path / name).write_bytes(gzip.compress(bytes(range(256)) * 400)[:-100])
        batches = load(tmp_path / name)
        assert rows(batches) == [] and quarantined(batches)[0]["tail"] is True
    assert decoders.compression(b"plain") == ""
