"""Survivors on files and in memory: equal to `dedup.survivors`, for any ranges, chunks and numbers, within the budget."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from graph_memory import measured
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.columns import frozen
from dedup.external import decide_texts
from dedup.graph import Decisions, Graph
from dedup.graph_files import Column, Sizes, Spool
from dedup.graph_ranges import Ranges, _cuts, ordered
from dedup.graph_ranks import Numbers, lexical_order
from dedup.survivors import cluster_keys, components, survivors
from kernels.ranges import deal, parts_of, parts_of_tuples, unite

PLENTY = 1 << 30


@dataclasses.dataclass
class Sample:
    """A graph by places: `edges` (m, 2) with `similarities`, `loose`, `twins`, and each place's document and words."""

    docs: np.ndarray
    words: np.ndarray
    edges: np.ndarray
    similarities: np.ndarray
    loose: np.ndarray
    twins: np.ndarray

    @property
    def touched(self):
        """Places that a pair names, by document."""
        places = np.unique(np.concatenate([self.edges, self.loose, self.twins]).astype(int))
        return places[np.argsort(self.docs[places])]

    def graph(self, chunk=3, chance=None):
        """With repeated nodes, in chunks; shuffled, turned round and repeated by chance."""

        def chunks(*columns):
            by = np.arange(len(columns[0]))
            if chance is not None:
                by = chance.permutation(np.concatenate([by, by[::3]]))
            for start in range(0, len(by), chunk):
                yield [column[by[start : start + chunk]] for column in columns]

        def pairs(places):
            turned = places[:, ::-1] if chance is not None and chance.random() < 0.5 else places
            return self.docs[turned]

        touched = np.concatenate([self.touched, self.touched[::2]])
        return Graph(
            lambda: ((d, w) for d, w in chunks(self.docs[touched], self.words[touched])),
            lambda: ((p, s) for p, s in chunks(pairs(self.edges), self.similarities)),
            lambda: (p for (p,) in chunks(pairs(self.loose))),
            lambda: (p for (p,) in chunks(pairs(self.twins))),
        )

    def expected(self):
        order = np.empty(len(self.docs), int)
        order[np.lexsort([self.docs, *self.words.T[::-1]])] = np.arange(len(order))
        verdict = survivors(order, self.edges, self.similarities, self.twins)
        best = components(len(order), order[np.concatenate([self.edges, self.loose, self.twins])])[order]
        cluster, at = np.argsort(order)[best], self.touched
        keeper = np.where(verdict.kept, np.arange(len(order)), verdict.duplicate_of)
        return Decisions(
            doc=self.docs[at],
            kept=verdict.kept[at],
            keeper=self.docs[keeper[at]],
            similarity=verdict.similarity[at],
            twin=verdict.twin[at],
            cluster=self.docs[cluster[at]],
            cluster_key=cluster_keys(cluster, self.words[:, -2:])[at],
            cluster_size=np.bincount(cluster, minlength=len(order))[cluster[at]],
            kind=np.zeros(len(at), np.uint8),
        )


def whole(chunks):
    chunks = list(chunks)
    return Decisions(*(np.concatenate([getattr(c, f.name) for c in chunks]) for f in dataclasses.fields(Decisions)))


def assert_same(found, expected):
    for field in dataclasses.fields(Decisions):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        assert one.dtype == other.dtype, field.name
        np.testing.assert_array_equal(one, other, err_msg=field.name)


def pairs_of(pairs):
    return np.array(pairs, np.int64).reshape(-1, 2)


@st.composite
def samples(draw, most=14):
    n = draw(st.integers(2, most))
    place = st.integers(0, n - 1)
    pair = st.tuples(place, place).filter(lambda p: p[0] != p[1])
    shape = draw(st.sampled_from(["any", "chain", "star", "clique"]))
    edges = draw(st.lists(pair, min_size=1, max_size=20))
    if shape == "chain":
        edges += [(a, a + 1) for a in range(n - 1)]
    elif shape == "star":
        edges += [(edges[0][0], a) for a in range(n) if a != edges[0][0]]
    elif shape == "clique":
        edges += [(a, b) for a in range(n) for b in range(a)]
    like = draw(st.lists(st.sampled_from([0.8, 0.85, 0.9, 1.0]), min_size=len(edges), max_size=len(edges)))
    few = st.lists(pair, max_size=3)
    numbers = st.lists(st.integers(0, 2**64 - 1), min_size=n, max_size=n, unique=True)
    wide = st.integers(0, draw(st.sampled_from([0, 1, 2**64 - 1])))
    words = draw(st.lists(st.tuples(st.integers(0, 2), wide, wide), min_size=n, max_size=n))
    return Sample(
        np.array(draw(numbers), np.uint64),
        np.array(words, np.uint64),
        pairs_of(edges),
        np.array(like),
        pairs_of(draw(few)),
        pairs_of(draw(few)),
    )


@settings(max_examples=15)
@given(samples(), st.integers(1, 6), st.integers(1, 400), st.integers(1, 4), st.integers(0, 99))
def test_decisions_are_those_of_survivors(tmp_path_factory, sample, span, held, inner, seed):
    expected, scratch = sample.expected(), tmp_path_factory.mktemp("graph")
    chance = np.random.default_rng(seed)
    for graph in (sample.graph(), sample.graph(chunk=2, chance=chance)):
        assert_same(whole(decide_texts(graph, scratch, PLENTY)), expected)
        assert_same(whole(decide_texts(graph, scratch, 1)), expected)
        assert_same(whole(decide_texts(graph, scratch, 1, Sizes(span, held, held, inner))), expected)
    assert list(scratch.iterdir()) == []


@settings(max_examples=10)
@given(samples(), st.integers(1, 6), st.randoms())
def test_numbers_of_documents_do_not_matter(tmp_path_factory, sample, span, chance):
    """With keys that differ. What is named is named by its new number."""
    sample.words[:, -1] = np.arange(len(sample.docs))
    new = sample.docs.tolist()
    chance.shuffle(new)
    moved = dataclasses.replace(sample, docs=np.array(new, np.uint64))
    renamed = dict(zip(sample.docs.tolist(), new))
    one, other = (
        whole(decide_texts(s.graph(), tmp_path_factory.mktemp("graph"), 1, Sizes(span, 64, 64, 3)))
        for s in (sample, moved)
    )
    by = np.argsort(np.array([renamed[doc] for doc in one.doc.tolist()], np.uint64))
    for field in dataclasses.fields(Decisions):
        values = getattr(one, field.name)[by]
        if field.name in ("doc", "keeper", "cluster"):
            values = np.array([renamed[doc] for doc in values.tolist()], np.uint64)
        np.testing.assert_array_equal(values, getattr(other, field.name), err_msg=field.name)


def power_law(nodes, edges, seed=5):
    chance = np.random.default_rng(seed)
    ends = np.column_stack([nodes * chance.random(edges) ** 4, chance.integers(0, nodes, edges)]).astype(np.int64)
    ends = chance.permutation(nodes)[ends[ends[:, 0] != ends[:, 1]]]
    few = chance.integers(0, nodes, (2, nodes // 50, 2))
    return Sample(
        docs=chance.permutation((np.arange(nodes) % 1000 << 32) + np.arange(nodes) // 1000).astype(np.uint64),
        words=np.column_stack(
            [chance.integers(0, 300, nodes, np.uint64), chance.integers(0, 2**64, (nodes, 2), np.uint64)]
        ),
        edges=ends,
        similarities=chance.integers(160, 200, len(ends)) / 200,
        loose=few[0],
        twins=few[1][few[1][:, 0] != few[1][:, 1]],
    )


def test_a_large_graph_on_files_in_memory_and_by_survivors(tmp_path):
    sample = power_law(200_000, 500_000)
    expected = sample.expected()
    assert expected.twin.any() and (~expected.kept & ~expected.twin).any() and expected.cluster_size.max() > 100_000
    graph = sample.graph(chunk=50_000)
    assert_same(whole(decide_texts(graph, tmp_path / "not there", PLENTY)), expected)
    with pytest.raises(FileNotFoundError):  # it does not fit, and wants a folder
        list(decide_texts(graph, tmp_path / "not there", 8 << 20))
    chunks = list(decide_texts(graph, tmp_path, 8 << 20))
    assert len(chunks) > 10
    assert_same(whole(chunks), expected)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_stays_within_twice_the_budget(tmp_path):
    """10 MiB for a graph of 43 MB in its plainest form."""
    sample, budget = power_law(450_000, 1_200_000), 10 << 20
    kept, grown = measured(tmp_path, sample, budget, "decide_texts")
    assert kept == int(sample.expected().kept.sum())
    assert grown < 2 * budget, f"{grown >> 20} MiB"


def test_a_pair_of_no_node_is_refused(tmp_path):
    sample = power_law(50, 100)
    nodes = sample.graph().nodes
    strange = np.array([[sample.docs[0], 12345678901234567890]], np.uint64)
    for graph in (
        Graph(nodes, lambda: iter([(strange, np.array([0.9]))]), lambda: iter([]), lambda: iter([])),
        Graph(nodes, lambda: iter([]), lambda: iter([]), lambda: iter([strange])),
    ):
        for sizes in (None, Sizes(7, 99, 99, 5), Sizes(1000, 99, 99, 5)):
            with pytest.raises(ValueError, match="12345678901234567890"):
                list(decide_texts(graph, tmp_path, PLENTY, sizes))
    assert list(tmp_path.iterdir()) == []


def test_no_nodes(tmp_path):
    def nobody():
        return iter([(np.empty(0, np.uint64), np.empty((0, 4), np.uint64))])

    nothing = Graph(*[lambda: iter([])] * 4)
    for graph in (nothing, dataclasses.replace(nothing, nodes=nobody)):
        for sizes in (None, Sizes(1, 9, 9, 9)):
            assert list(decide_texts(graph, tmp_path, 1, sizes)) == []
            with pytest.raises(ValueError, match="document 4,"):
                list(
                    decide_texts(
                        dataclasses.replace(graph, loose=lambda: iter([np.array([[4, 5]], np.uint64)])),
                        tmp_path,
                        PLENTY,
                        sizes,
                    )
                )


# --- parts

NUMBERS = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1), st.integers(2**40, 2**40 + 9))


@given(st.integers(1, 4).flatmap(lambda w: st.lists(st.tuples(*[NUMBERS] * w), min_size=1, max_size=60)))
def test_lexical_order(rows):
    rows = np.array(rows, np.uint64)
    order = lexical_order(list(rows.T))
    assert sorted(order.tolist()) == list(range(len(rows)))
    assert rows[order].tolist() == sorted(rows.tolist())


@given(st.lists(st.tuples(st.integers(0, 5), NUMBERS, NUMBERS), max_size=40))
def test_deal(rows):
    table = np.array(rows, np.uint64).reshape(-1, 3)
    ends, target = np.ones(6, np.int64), np.empty_like(table)
    deal(frozen(table, np.uint64), frozen(table[:, 0], np.int32), ends, target)
    assert target.tolist() == sorted(table.tolist(), key=lambda row: row[0])
    assert ends.tolist() == [sum(row[0] <= part for row in rows) for part in range(6)]


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30), st.lists(st.tuples(NUMBERS, NUMBERS), max_size=9))
def test_parts_between_bounds(rows, bounds):
    table, found = np.array(rows, np.uint64).reshape(-1, 2), np.empty(len(rows), np.int32)
    table = frozen(table, np.uint64)
    parts_of_tuples(table, frozen(np.array(sorted(bounds), np.uint64).reshape(-1, 2), np.uint64), found)
    assert found.tolist() == [sum(bound <= row for bound in bounds) for row in rows]
    parts_of(table, 1, frozen(np.array(sorted(b for _, b in bounds), np.uint64), np.uint64), found)
    assert found.tolist() == [sum(bound <= row[1] for _, bound in bounds) for row in rows]


@given(st.dictionaries(NUMBERS, st.integers(0, 2**62), min_size=1, max_size=40), st.data())
def test_numbers_of_documents(known, data):
    table = Numbers(np.array(list(known), np.uint64), np.array(list(known.values()), np.uint64))
    asked = data.draw(st.lists(st.sampled_from(list(known)), max_size=20))
    rows = np.array([[7, doc] for doc in asked], np.uint64).reshape(-1, 2)
    table.rename(rows, 1, rows)
    assert rows.tolist() == [[7, known[doc]] for doc in asked]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), NUMBERS), max_size=20))
def test_ordered_pairs(rows):
    found = ordered(np.array(rows, np.uint64).reshape(-1, 3)).view(np.uint64)
    assert found.tolist() == [[min(a, b), max(a, b), c] for a, b, c in rows if a != b]


@given(st.integers(1, 9), st.lists(st.tuples(st.integers(0, 8), st.integers(0, 20)), max_size=25))
def test_one_way_out_holds_together_what_lies_behind(size, pairs):
    """Nodes below `size` are the range: with the pairs passed on and one way out each, components are the same."""
    pairs = pairs_of([(a % size, b) for a, b in pairs if a % size < b])
    parent, least, outer = np.arange(size), np.arange(size), np.full(size, -1)
    passed = np.empty_like(pairs)
    count = unite(frozen(pairs, np.int64), 0, parent, least, outer, passed)
    roots = [root for root in range(size) if parent[root] == root]
    ways = [(root, outer[root]) for root in roots if outer[root] >= 0]
    inside = [(node, parent[node]) for node in range(size)]
    kept = pairs_of([*passed[:count].tolist(), *ways, *inside])
    assert components(21, kept).tolist() == components(21, pairs).tolist()
    assert (passed[:count] >= size).all() and (passed[:count, 0] < passed[:count, 1]).all()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(1, 12))
def test_cuts(counts, most):
    cuts = _cuts(np.array(counts), most)
    assert cuts[0] == 0 and cuts[-1] == len(counts)
    for start, stop in pairwise(cuts):
        assert start < stop and (stop - start == 1 or sum(counts[start:stop]) <= most)


@given(st.lists(st.tuples(st.integers(0, 3), NUMBERS), max_size=40), st.integers(1, 100), st.integers(1, 9))
def test_spools_give_back_what_they_took(tmp_path_factory, rows, held, chunk):
    spool = Spool(tmp_path_factory.mktemp("spool") / "rows", 2, 4, Sizes(1, held, held, 1))
    table = np.array(rows, np.uint64).reshape(-1, 2)
    for start in range(0, len(rows), chunk):
        some = table[start : start + chunk]
        spool.add(some[:, 0].astype(np.int64), some)
    for part in range(4):
        expected = [list(row) for row in rows if row[0] == part]
        assert spool.whole(part).tolist() == expected and spool.size(part) == len(expected)
    assert spool.rows == len(rows)


def test_columns(tmp_path):
    column = Column(tmp_path / "column", 2, 5)
    column.write(1, np.array([[1, 2], [3, 4]], np.uint64))
    assert column.read(0, 4).tolist() == [[0, 0], [1, 2], [3, 4], [0, 0]]
    assert list(Ranges(5, 2)) == [(0, 2), (2, 4), (4, 5)]
