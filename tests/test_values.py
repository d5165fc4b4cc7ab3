"""Missing and odd values: policies of columns, dates, types, drift across shards, ids; the account closes."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus import kept, manifest, rejected, sums
from cutting import RECIPE
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commands.check import check
from pipeline.commands.explain import explain
from pipeline.engines.local import LocalEngine
from pipeline.job import resolve
from pipeline.progress import Silent, funnel
from pipeline.recipes.recipe import read
from pipeline.refining.values import COERCIONS, utc
from pipeline.run import run


def mill(folder, values, records=None, *, batch=1000, out="out", steps=(), paths="*.jsonl", fields=""):
    """Runs the recipe with this policy over the records; returns the output folder."""
    if records is not None:
        (folder / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    text = RECIPE.format(
        paths=folder / paths,
        out=folder / out,
        steps=json.dumps(list(steps)),
        split="{train: 1}",
        output="",
        batch=batch,
    )
    text = text.replace("input: {", f"input: {{values: {json.dumps(values)}, {fields}")
    recipe, source = read(text, "r.yaml")
    run(resolve(recipe, source), recipe.run, LocalEngine(), Silent())
    assert all(finding.ok for finding in check(str(folder / out)))
    return folder / out


def column(out, name):
    return {row["id"]: row[name] for row in kept(out)}


def reasons(out):
    return {row["id"]: (row["step"], row["reason"], row["detail"]) for row in rejected(out)}


# -- dates -----------------------------------------------------------------------------------------

DATES = {
    "2024-01-31": "2024-01-31T00:00:00Z",
    "2024-1-3": "2024-01-03T00:00:00Z",
    "2024/01/31": "2024-01-31T00:00:00Z",
    "2024.01.31 08:05": "2024-01-31T08:05:00Z",
    "2024-01": "2024-01-01T00:00:00Z",
    "2024": "2024-01-01T00:00:00Z",
    "2024-01-31T23:30:00-05:00": "2024-02-01T04:30:00Z",
    "2024-01-31T12:00:00Z": "2024-01-31T12:00:00Z",
    "2024-01-31 12:00:00 +0800": "2024-01-31T04:00:00Z",
    "2024-01-31 12:00:00 UTC": "2024-01-31T12:00:00Z",
    "2024-01-31T12:00:00.123456789Z": "2024-01-31T12:00:00.123456Z",
    "2024-W05-3": "2024-01-31T00:00:00Z",
    "20240131": "2024-01-31T00:00:00Z",
    "20240131235959": "2024-01-31T23:59:59Z",
    "Wed, 31 Jan 2024 12:00:00 GMT": "2024-01-31T12:00:00Z",
    "31 Jan 2024 12:00:00 -0500": "2024-01-31T17:00:00Z",
    "1706702400": "2024-01-31T12:00:00Z",
    "1706702400.5": "2024-01-31T12:00:00.500000Z",
    "1706702400123": "2024-01-31T12:00:00.123000Z",
    " 2024-01-31 ": "2024-01-31T00:00:00Z",
    **dict.fromkeys(
        ["", "yesterday", "31/01/2024", "03/04/2024", "2024-02-30", "2024-13-01", "0000-01-01", "99999-01-01"]
    ),
    **dict.fromkeys(
        ["Wed, 99 Jan 2024 12:00:00 GMT", "12", "123456789", "1e9", "nan", "true", "2024-01-31T25:00", "２０２４"]
    ),
}


@pytest.mark.parametrize("text", DATES, ids=repr)
def test_dates(text):
    assert utc(text) == DATES[text]


@given(st.datetimes(min_value=datetime(1000, 1, 3), max_value=datetime(9999, 12, 28)), st.integers(-23 * 60, 23 * 60))
def test_a_moment_is_one_however_it_is_written(moment, offset):
    here = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=offset)))
    expected = (here - here.utcoffset()).replace(tzinfo=None).isoformat() + "Z"
    assert utc(here.isoformat()) == utc(str(here)) == expected
    assert utc(expected) == expected
    if here.year >= 1000:
        assert utc(format_datetime(here)) == expected


@given(st.text(max_size=40))
def test_no_text_stops_the_run(text):
    found = utc(text)
    assert found is None or utc(found) == found
    for coerce in COERCIONS.values():
        coerce(text)


# -- columns ---------------------------------------------------------------------------------------

PAGES = [
    {"id": "a", "text": "one", "date": "31 Jan 2024 12:00:00 -0500", "url": "http://a.b", "stars": "4"},
    {"id": "b", "text": "two", "date": "31/12/20", "url": " ", "stars": 4.0, "n": None},
    {"id": "c", "text": "three", "date": None, "stars": "many", "n": {"x": 1}},
    {"id": "d", "text": "four", "date": 1706702400, "url": "http://d.e", "stars": True},
]


def test_bad_dates_are_null_and_counted(tmp_path):
    out = mill(tmp_path, {"date": {"type": "date"}}, PAGES)
    assert column(out, "date") == {"a": "2024-01-31T17:00:00Z", "b": None, "c": None, "d": "2024-01-31T12:00:00Z"}
    told = manifest(out)
    assert told["values"] == {"date": {"missing": 1, "filled": 0, "bad": 1, "example": "31/12/20"}}
    assert "date: 1 missing, 1 not of the type asked for ('31/12/20')" in funnel(told)


def test_required_values_send_rows_to_the_ledger(tmp_path):
    out = mill(tmp_path, {"date": {"type": "date", "required": True}, "url": {"required": True}}, PAGES)
    assert reasons(out) == {
        "b": ("00.read", "date.bad", "31/12/20"),
        "c": ("00.read", "date.missing", None),
    }
    assert sorted(column(out, "url")) == ["a", "d"]
    assert manifest(out)["account"] == {"read": 4, "kept": 2, "rejected": 2, "quarantined": 0}
    assert "out: date.bad, 31/12/20" in explain(str(out), "b")


def test_defaults(tmp_path):
    values = {
        "url": {"default": "http://none"},
        "date": {"type": "date", "default": "2000-01-01T00:00:00Z"},
        "lang": {"default": "en"},
    }
    out = mill(tmp_path, values, PAGES, steps=[{"keep": {"word_count": {"min": 9}}, "where": {"lang": "de"}}])
    assert column(out, "url") == {"a": "http://a.b", "b": "http://none", "c": "http://none", "d": "http://d.e"}
    assert column(out, "date")["b"] == column(out, "date")["c"] == "2000-01-01T00:00:00Z"
    assert set(column(out, "lang").values()) == {"en"}
    assert manifest(out)["values"]["date"] == {"missing": 1, "filled": 2, "bad": 1, "example": "31/12/20"}


def test_types_of_metadata(tmp_path):
    out = mill(
        tmp_path, {"metadata.stars": {"type": "int"}, "metadata.n.x": {"type": "text", "default": "none"}}, PAGES
    )
    found = {row["id"]: json.loads(row["metadata"]) for row in kept(out)}
    assert found == {
        "a": {"stars": 4, "n": {"x": "none"}},
        "b": {"stars": 4, "n": {"x": "none"}},
        "c": {"n": {"x": "1"}},
        "d": {"n": {"x": "none"}},
    }
    assert type(found["b"]["stars"]) is int
    assert manifest(out)["values"]["metadata.stars"] == {"missing": 0, "filled": 0, "bad": 2, "example": "many"}


@pytest.mark.parametrize(
    "kind, default, written",
    [("date", "2024", "2024-01-01T00:00:00Z"), ("bool", 1, True), ("float", 3, 3.0), ("int", 3.0, 3)],
)
def test_a_default_is_of_the_type_that_is_asked_for(tmp_path, kind, default, written):
    out = mill(tmp_path, {"metadata.m": {"type": kind, "default": default}}, PAGES[2:3])
    assert json.loads(kept(out)[0]["metadata"])["m"] == written
    assert f'"m":{json.dumps(written)}' in kept(out)[0]["metadata"]
    if kind == "date":
        out = mill(tmp_path, {"date": {"type": kind, "default": default}}, PAGES[2:3], out="column")
        assert kept(out)[0]["date"] == written


def test_filled_counts_what_was_filled(tmp_path):
    """A value that is no object stands in the way of a field below it, and is left alone."""
    records = [{"id": "a", "text": "x", "n": 7}, {"id": "b", "text": "y", "n": {}}, {"id": "c", "text": "z"}]
    out = mill(tmp_path, {"metadata.n.x": {"default": 1}}, records)
    assert column(out, "metadata") == {"a": '{"n":7}', "b": '{"n":{"x":1}}', "c": '{"n":{"x":1}}'}
    assert manifest(out)["values"]["metadata.n.x"] == {"missing": 3, "filled": 2, "bad": 0, "example": None}


def test_a_bad_field_goes_with_its_value(tmp_path):
    out = mill(tmp_path, {"metadata.stars": {"type": "float", "required": True}}, PAGES)
    assert reasons(out) == {
        "c": ("00.read", "metadata.stars.bad", "many"),
        "d": ("00.read", "metadata.stars.bad", "True"),
    }


COERCED = [
    (
        "int",
        {"12": 12, " -3 ": -3, "4.0": None, "x": None},
        [(4.0, 4), (4.5, None), (True, None), (2**70, 2**70), ([1], None)],
    ),
    ("float", {"1e3": 1000.0, "nan": None, "inf": None, "1,5": None}, [(3, 3.0), (False, None), (10**400, None)]),
    ("bool", {"Yes": True, "0": False, "maybe": None}, [(1, True), (0.0, False), (2, None), ({}, None)]),
    ("text", {"x": "x"}, [(3, "3"), (True, "true"), ({"b": 1, "a": 2}, '{"a":2,"b":1}')]),
]


@pytest.mark.parametrize("kind, texts, others", COERCED, ids=[case[0] for case in COERCED])
def test_coercions(kind, texts, others):
    for value, expected in [*texts.items(), *others]:
        found = COERCIONS[kind](value)
        assert found == expected and type(found) is type(expected), value


def test_same_bytes_whatever_the_batch(tmp_path):
    values = {
        "date": {"type": "date", "required": True},
        "metadata.stars": {"type": "int", "default": 0},
        "id": {"required": True},
    }
    records = [*PAGES, {"text": "no id", "date": "2020"}]
    one = mill(tmp_path, values, records, batch=1, out="one")
    assert sums(one) == sums(mill(tmp_path, values, batch=1000, out="two"))


# -- drift across shards ---------------------------------------------------------------------------


def test_a_column_that_is_absent_then_null_then_text_then_a_number(tmp_path):
    """The same documents whatever type a shard gave the column."""
    for name, columns in {
        "a": {},
        "b": {"url": pa.nulls(1), "stars": pa.nulls(1)},
        "c": {"url": ["http://c.d"], "stars": ["4"]},
        "d": {"url": [7], "stars": [4]},
        "e": {"url": pa.array([None], pa.int64()), "stars": [4.0]},
        "f": {"url": pa.array(["http://c.d"]).dictionary_encode(), "stars": pa.array([["x"]])},
    }.items():
        pq.write_table(pa.table({"id": [name], "text": [f"text {name}"], **columns}), tmp_path / f"{name}.parquet")
    values = {"url": {"default": "none"}, "metadata.stars": {"type": "int", "default": 0}}
    out = mill(tmp_path, values, paths="*.parquet")
    assert column(out, "url") == {"a": "none", "b": "none", "c": "http://c.d", "d": "7", "e": "none", "f": "http://c.d"}
    stars = {row["id"]: json.loads(row["metadata"])["stars"] for row in kept(out)}
    assert stars == {"a": 0, "b": 0, "c": 4, "d": 4, "e": 4, "f": 0}
    assert manifest(out)["values"]["metadata.stars"] == {"missing": 2, "filled": 3, "bad": 1, "example": "['x']"}


# -- ids -------------------------------------------------------------------------------------------


def test_ids_that_are_missing(tmp_path):
    records = [
        {"id": "a", "text": "x"},
        {"text": "y"},
        {"id": "", "text": "z"},
        {"id": None, "text": "w"},
        {"id": 0, "text": "v"},
    ]
    assert len(kept(mill(tmp_path, {}, records, out="free"))) == 5  # hashes of source and content
    out = mill(tmp_path, {"id": {"required": True}}, records)
    assert sorted(column(out, "id")) == ["0", "a"]
    assert [row["reason"] for row in rejected(out)] == ["id.missing"] * 3


def test_ids_that_stand_twice_are_told_or_removed(tmp_path):
    records = [
        {"id": "a", "text": "one text"},
        {"id": "a", "text": "another, longer text"},
        {"id": "b", "text": "third"},
    ]
    out = mill(tmp_path, {}, records, steps=[{"dedup": {"minhash": {}}}], out="both")
    assert len(kept(out)) == 3 and manifest(out)["dedup"]["repeated_ids"] == 1
    out = mill(tmp_path, {}, steps=[{"dedup": {"exact": {"by": "id"}}}])
    assert sorted(row["text"] for row in kept(out)) == ["another, longer text", "third"]
    assert [(row["reason"], row["duplicate_of"]) for row in rejected(out)] == [("same_id", "a")]
