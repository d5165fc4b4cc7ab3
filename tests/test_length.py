"""Documents that are too long: dropped, cut off or split; the account closes and the parts are the text."""

from __future__ import annotations

import pyarrow as pa
import pytest
from corpus import kept, manifest, rejected, sums
from cutting import cut as mill
from hypothesis import given
from hypothesis import strategies as st

from filters.length import cut_at, length, parts
from pipeline.commands.check import check
from pipeline.commands.explain import explain
from pipeline.progress import funnel

TEXTS = st.text(st.sampled_from("ab \n\t中é\u0301\u0302😀"), max_size=120)
KINDS = st.sampled_from(["line", "word", "char"])


@given(TEXTS, st.integers(1, 30), KINDS)
def test_the_parts_are_the_text(text, max_chars, at):
    found = parts(text, max_chars, at)
    assert "".join(found) == text
    assert all(0 < len(part) <= max_chars for part in found)


CASES = [
    ("one two three", 10, "line", ["one two ", "three"]),
    ("aaaa\nbbb ccc ddd", 10, "word", ["aaaa\nbbb ", "ccc ddd"]),
    ("aaaaaa\nbbb ccc", 10, "line", ["aaaaaa\n", "bbb ccc"]),
    ("a\nbbbbbbb ccccc", 10, "line", ["a\nbbbbbbb ", "ccccc"]),  # the line break is too early: the first half
    ("aaaaaa\n\nbbb", 10, "line", ["aaaaaa\n\n", "bbb"]),
    ("abcdefghijkl", 10, "line", ["abcdefghij", "kl"]),
    ("abcde\u0301f", 5, "char", ["abcd", "e\u0301f"]),
    ("磨坊主慢慢地磨着麦子", 4, "word", ["磨坊主慢", "慢地磨着", "麦子"]),
]


@pytest.mark.parametrize("text, max_chars, at, expected", CASES)
def test_cuts(text, max_chars, at, expected):
    assert parts(text, max_chars, at) == expected


def test_a_cut_steps_back_over_32_marks_at_most():
    assert cut_at("a" + "\u0301" * 60, 0, 40, "char") == 8


def table(*texts):
    ids = [f"d{n}" for n in range(len(texts))]
    return pa.table(
        {"id": ids, "text": pa.array(texts, pa.large_string()), "url": [f"u{n}" for n in range(len(texts))]}
    )


def test_a_text_of_just_the_length_stays():
    for kind in ("drop", "truncate", "split"):
        found, why = length(max_chars=5, too_long=kind)(table("12345", None, "", "磨坊主慢慢"))
        assert found["text"].to_pylist() == ["12345", None, "", "磨坊主慢慢"] and why.null_count == 4


def test_split_keeps_order_and_other_columns():
    found, why = length(max_chars=4, too_long="split")(table("ab", "ab cd ef", None, "xxxxyyyy"))
    assert found.to_pylist() == [
        {"id": "d0", "text": "ab", "url": "u0", "part_of": None},
        {"id": "d1#1", "text": "ab ", "url": "u1", "part_of": "d1"},
        {"id": "d1#2", "text": "cd ", "url": "u1", "part_of": "d1"},
        {"id": "d1#3", "text": "ef", "url": "u1", "part_of": "d1"},
        {"id": "d2", "text": None, "url": "u2", "part_of": None},
        {"id": "d3#1", "text": "xxxx", "url": "u3", "part_of": "d3"},
        {"id": "d3#2", "text": "yyyy", "url": "u3", "part_of": "d3"},
    ]
    assert len(why) == 7 and why.null_count == 7


RECORDS = [
    {"id": "short", "text": "A short one.", "source": "web"},
    {"id": "long", "text": "\n".join(f"Line {n} of a long one." for n in range(40)), "source": "web"},
    {"id": "book", "text": "word " * 300, "source": "book"},
]


def test_drop(tmp_path):
    out = mill(tmp_path, [{"length": {"max_chars": 1000}}], {"in": RECORDS})
    assert [(row["id"], row["reason"], row["value"], row["threshold"]) for row in rejected(out)] == [
        ("book", "length.max", 1500.0, 1000.0)
    ]


def test_truncate(tmp_path):
    out = mill(
        tmp_path, [{"length": {"max_chars": 100, "too_long": "truncate"}, "where": {"source": "web"}}], {"in": RECORDS}
    )
    texts = {row["id"]: row["text"] for row in kept(out)}
    assert texts == {
        "short": RECORDS[0]["text"],
        "long": "\n".join(f"Line {n} of a long one." for n in range(4)),
        "book": RECORDS[2]["text"],
    }
    assert manifest(out)["edited"] == {"01.length": 1}


def test_split(tmp_path):
    steps = [
        {"length": {"max_chars": 400, "too_long": "split"}, "where": {"source": "web"}},
        {"keep": {"word_count": {"max": 60}}},
    ]
    out = mill(tmp_path, steps, {"in": RECORDS}, output=", shuffle: false")
    found = {row["id"]: row["text"] for row in kept(out)}
    gone = {row["id"]: row for row in rejected(out)}
    assert set(gone) == {"book", "long#1", "long#2"} and set(found) == {"short", "long#3"}
    told = manifest(out)
    assert told["account"] == {"read": 5, "kept": 2, "rejected": 3, "quarantined": 0} and told["split_texts"] == {
        "01.length": 2
    }
    assert "01.length split long documents: 2 more than were read" in funnel(told)
    assert all(finding.ok for finding in check(str(out)))
    for name in ("long#1", "long#3"):
        life = explain(str(out), name)
        assert "read     record 1 of" in life and "01.length" in life
    assert "out: word_count.max" in explain(str(out), "long#1") and "kept     in" in explain(str(out), "long#3")


def test_same_bytes_whatever_the_batch(tmp_path):
    steps = [{"length": {"max_chars": 90, "too_long": "split", "at": "word"}}, {"keep": {"word_count": {"min": 18}}}]
    one = mill(tmp_path, steps, {"in": RECORDS * 3}, batch=1, out="one", output=", rejected_text: true")
    assert sums(one) == sums(mill(tmp_path, steps, batch=1000, out="two", output=", rejected_text: true"))
