"""Columns of the split: dates as ranges, against Python's datetime; domains; units of names, in memory and on files."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.external import decide_texts
from dedup.graph import Graph
from dedup.graph_files import Sizes
from pipeline.refining.dates import date_ranges, moment
from pipeline.splits.columns import derived, value_hashes

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def micros(moment):
    return (moment - EPOCH) // dt.timedelta(microseconds=1)


@given(
    st.lists(st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9998, 12, 30)), min_size=1, max_size=20),
    st.sampled_from(["", "Z", "+05:30", "-0800", "+14"]),
    st.sampled_from(["T", " "]),
)
def test_times_are_those_of_datetime(moments, zone, between):
    offset = {"": 0, "Z": 0, "+05:30": 330, "-0800": -480, "+14": 840}[zone]
    texts = [f"{m:%H:%M:%S}".join([f"{m.year:04d}-{m:%m-%d}{between}", zone]) for m in moments]
    start, end, known = date_ranges(pa.array(texts))
    expected = [micros(m.replace(microsecond=0, tzinfo=dt.UTC) - dt.timedelta(minutes=offset)) for m in moments]
    assert known.all() and start.tolist() == expected and (end - start == 1_000_000).all()


@given(st.dates(dt.date(1, 1, 1), dt.date(9998, 12, 31)))
def test_days_months_and_years(day):
    texts = [f"{day.year:04d}", f"{day.year:04d}-{day:%m}", f"{day.year:04d}-{day:%m-%d}"]
    start, end, known = date_ranges(pa.array(texts))
    month = dt.date(day.year + day.month // 12, day.month % 12 + 1, 1)
    days = [
        (dt.date(day.year, 1, 1), dt.date(day.year + 1, 1, 1)),
        (day.replace(day=1), month),
        (day, day + dt.timedelta(days=1)),
    ]
    assert known.all()
    for row, (low, high) in enumerate(days):
        assert start[row] == (low - EPOCH.date()).days * 86_400_000_000
        assert end[row] == (high - EPOCH.date()).days * 86_400_000_000


@given(st.integers(1, 9998), st.integers(0, 13), st.integers(0, 32))
def test_days_that_are_none(year, month, day):
    try:
        dt.date(year, month, day)
        good = True
    except ValueError:
        good = False
    assert (moment(f"{year:04d}-{month:02d}-{day:02d}") is not None) == good


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "soon",
        "2024-1-1",
        "20240101",
        "01/02/2024",
        "2024-01-01T25:00",
        "2024-02-30",
        "-2024",
        "2024-01-01 at noon",
    ],
)
def test_what_is_no_date(text):
    assert not date_ranges(pa.array([text], pa.string()))[2][0]


HOSTS = {
    "https://www.a.b.co.uk/x?y": ("a.b.co.uk", "b.co.uk"),
    "http://me.github.io/": ("me.github.io", "me.github.io"),
    "http://user:pw@Forum.Example.com:8080/a": ("forum.example.com", "example.com"),
    "http://192.168.0.1/a": ("192.168.0.1", "192.168.0.1"),
    "https://例え.jp/a": ("xn--r8jz45g.jp", "xn--r8jz45g.jp"),
    "ftp://files.example.org/a": ("files.example.org", "example.org"),
    "http://web.archive.org/web/2020/http://foo.com/x": ("web.archive.org", "archive.org"),
    "https://a.com/r?u=http://b.org": ("a.com", "a.com"),
    "ftp://files.example.org/http://foo.com/x": ("files.example.org", "example.org"),
    "urn:isbn:123": (None, None),
    "folder/file.html": (None, None),
}


def test_hosts_and_domains():
    table = pa.table({"url": [*HOSTS, None, ""]})
    assert derived(table, "host", True) == [host for host, _ in HOSTS.values()] + [None, None]
    assert derived(table, "domain", True) == [domain for _, domain in HOSTS.values()] + [None, None]
    assert value_hashes(table, "domain").null_count == 4


def test_values_of_groups_are_compared_without_case_and_by_column():
    table = pa.table(
        {"metadata": ['{"a": "Ann  Lee", "n": 7}', '{"a": "ann lee"}', '{"a": ""}', None], "source": ["ann lee"] * 4}
    )
    author, source = value_hashes(table, "metadata.a"), value_hashes(table, "source")
    assert author[0] == author[1] and author.null_count == 2
    assert author[1] != source[1], "a value of one column is none of another"
    assert value_hashes(table, "metadata.n").null_count == 3


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=40), st.booleans())
def test_units_are_components_named_by_their_smallest_group(pairs, on_files):
    """Names 0 to 9 are groups, others clusters: the order words put groups first."""
    rows = np.array(pairs, np.uint64)
    names = rows.ravel()
    kinds = (names > 9).astype(np.uint64)
    graph = Graph(
        nodes=lambda: iter([(names, np.stack([kinds, names], axis=1))]),
        edges=lambda: iter(()),
        loose=lambda: iter([rows]),
        twins=lambda: iter(()),
    )
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        sizes = Sizes(span=4, block=64, buffer=64, inner=2) if on_files else None
        found = {
            d: c
            for part in decide_texts(graph, scratch, 1 << 20, sizes)
            for d, c in zip(part.doc.tolist(), part.cluster.tolist())
        }
    parent = {name: name for name in names.tolist()}
    for a, b in pairs:
        low, high = parent[a], parent[b]
        parent = {name: low if root == high else root for name, root in parent.items()}
    for name, root in parent.items():
        unit = [other for other, its in parent.items() if its == root]
        assert found[name] == min(unit, key=lambda other: (other > 9, other))
