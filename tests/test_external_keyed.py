"""Survivors with keys on files: equal to `dedup.keyed` and to brute force, for any ranges and chunks, within the budget."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from graph_memory import measured
from hypothesis import given, settings
from hypothesis import strategies as st
from test_exact_kinds import plain_keyed
from test_external_survivors import Sample, assert_same, power_law, samples, whole

from dedup.columns import frozen
from dedup.decide import decide
from dedup.external_keyed import decide_keyed
from dedup.graph import Decisions
from dedup.graph_files import Sizes
from dedup.keyed import keyed_survivors
from dedup.survivors import cluster_keys, components
from kernels.keyed import chain


@dataclasses.dataclass
class Keyed(Sample):
    """With pairs of equal key by place, and the number of each key."""

    keys: np.ndarray
    kinds: np.ndarray

    @property
    def touched(self):
        places = np.unique(np.concatenate([self.edges, self.loose, self.twins, self.keys]).astype(int))
        return places[np.argsort(self.docs[places])]

    def order(self):
        """The rank of each place."""
        return np.argsort(np.lexsort([self.docs, *self.words.T[::-1]]))

    def expected(self):
        """As `keyed_survivors` decides."""
        order, at = self.order(), self.touched
        verdict = keyed_survivors(order, self.edges, self.similarities, self.twins, self.keys, self.kinds)
        pairs = np.concatenate([self.edges, self.loose, self.twins, self.keys])
        cluster = np.argsort(order)[components(len(order), order[pairs])[order]]
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
            kind=verdict.kind[at],
        )

    def graph(self, chunk=3, chance=None):
        order = np.arange(len(self.keys)) if chance is None else chance.permutation(len(self.keys))
        pairs = self.docs[self.keys[order, :: 1 if chance is None else -1]]
        starts = range(0, len(order), chunk)
        kinds = self.kinds[order]
        return dataclasses.replace(
            super().graph(chunk, chance),
            keys=lambda: ((pairs[at : at + chunk], kinds[at : at + chunk]) for at in starts),
        )


@st.composite
def keyed_samples(draw):
    """Few texts with many documents each, so that one text is decided over several ranges."""
    plain = draw(samples())
    n = len(plain.docs)
    place = st.integers(0, n - 1)
    pair = st.tuples(place, place).filter(lambda p: p[0] != p[1])
    keys = draw(st.lists(pair, min_size=1, max_size=24))
    texts = draw(st.sampled_from([n, max(1, n // 2), max(1, n // 3)]))
    twins = [(i, i % texts) for i in range(texts, n)]
    edges = draw(st.lists(pair, max_size=8))
    return Keyed(
        plain.docs, plain.words,
        np.array(edges, np.int64).reshape(-1, 2), np.array(draw(st.lists(st.sampled_from([0.8, 0.9]), min_size=len(edges), max_size=len(edges)))),
        plain.loose, np.array(twins, np.int64).reshape(-1, 2),
        np.array(keys), np.array(draw(st.lists(st.integers(1, 3), min_size=len(keys), max_size=len(keys))), np.uint8),
    )  # fmt: skip


@settings(max_examples=40)
@given(keyed_samples(), st.integers(1, 6), st.integers(1, 400), st.integers(1, 8), st.integers(0, 99))
def test_decisions_are_those_of_memory_and_brute_force(tmp_path_factory, sample, span, held, inner, seed):
    scratch = tmp_path_factory.mktemp("graph")
    expected, order = sample.expected(), sample.order()
    alive = plain_keyed(order, sample.edges.tolist(), sample.twins.tolist(), sample.keys.tolist())
    assert set(expected.doc[expected.kept].tolist()) == set(sample.docs[alive].tolist()) & set(expected.doc.tolist())
    chance = np.random.default_rng(seed)
    for graph in (sample.graph(), sample.graph(chunk=2, chance=chance)):
        assert_same(whole(decide_keyed(graph, scratch, 1)), expected)
        assert_same(whole(decide_keyed(graph, scratch, 1, Sizes(span, held, held, inner))), expected)
    assert list(scratch.iterdir()) == []


def keyed_power_law(nodes, pairs):
    """As `power_law`, with as many pairs of keys, and a hundredth of all documents of one text."""
    plain, chance = power_law(nodes, pairs), np.random.default_rng(7)
    ends = np.column_stack([nodes * chance.random(pairs) ** 4, chance.integers(0, nodes, pairs)]).astype(np.int64)
    ends = chance.permutation(nodes)[ends[ends[:, 0] != ends[:, 1]]]
    page = chance.choice(nodes, nodes // 100, replace=False)
    plain.twins = np.concatenate([plain.twins, np.column_stack([page[:-1], page[1:]])])
    return Keyed(**vars(plain), keys=ends, kinds=chance.integers(1, 4, len(ends)).astype(np.uint8))


def test_a_large_graph_with_keys(tmp_path):
    """Over 60 ranges, some with more pairs than are held at once."""
    sample = keyed_power_law(100_000, 200_000)
    expected = sample.expected()
    assert all((expected.kind == kind).any() for kind in range(4)) and expected.twin.sum() > 500
    chunks = list(decide(sample.graph(chunk=50_000), tmp_path, 1 << 20))
    assert len(chunks) > 60
    assert_same(whole(chunks), expected)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_stays_within_twice_the_budget(tmp_path):
    """10 MiB for a graph of 50 MB in its plainest form."""
    sample, budget = keyed_power_law(400_000, 800_000), 10 << 20
    kept, grown = measured(tmp_path, sample, budget, "decide_keyed")
    assert kept == int(sample.expected().kept.sum())
    assert grown < 2 * budget, f"{grown >> 20} MiB"


def test_a_key_of_no_node_is_refused(tmp_path):
    sample = keyed_power_law(50, 100)
    strange = np.array([[sample.docs[0], 12345678901234567890]], np.uint64)
    graph = dataclasses.replace(sample.graph(), keys=lambda: iter([(strange, np.array([1], np.uint8))]))
    with pytest.raises(ValueError, match="12345678901234567890"):
        list(decide(graph, tmp_path, 1 << 20))
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.integers(0, 4), max_size=20), st.integers(1, 9))
def test_each_document_knows_the_next_of_its_text(texts, chunk):
    rows = np.array([(text, 5 + place) for place, text in enumerate(texts)], np.int64).reshape(-1, 2)
    last, links = np.arange(5), np.empty_like(rows)
    for start in range(0, len(rows), chunk):
        chain(frozen(rows[start : start + chunk], np.int64), 0, last, links[start : start + chunk])
    for doc, following in links.tolist():
        text = doc if doc < 5 else texts[doc - 5]
        assert following == next(5 + at for at in range(max(doc - 4, 0), len(texts)) if texts[at] == text)
