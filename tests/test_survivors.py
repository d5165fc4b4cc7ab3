"""Who stays: known graphs, a brute-force oracle on generated graphs, and independence of every order."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.survivors import cluster_keys, components, survivors


def plain_survivors(order, edges, twins):
    """By definition. `edges`: {(a, b): similarity}. Returns {doc: None or (keeper, similarity, twin)}."""
    text = list(range(len(order)))  # documents of equal text have one number
    for a, b in twins:
        text = [min(text[a], text[b]) if t in (text[a], text[b]) else t for t in text]
    beside = {t: {} for t in text}
    for (a, b), similarity in edges.items():
        if text[a] != text[b]:
            for one, other in ((text[a], text[b]), (text[b], text[a])):
                beside[one][other] = max(similarity, beside[one].get(other, 0.0))
    best = {t: min((d for d in range(len(order)) if text[d] == t), key=lambda d: order[d]) for t in set(text)}
    kept = set()
    for t in sorted(best, key=lambda t: order[best[t]]):
        if not kept & set(beside[t]):
            kept.add(t)
    answer = {}
    for doc, t in enumerate(text):
        if t in kept:
            answer[doc] = None if best[t] == doc else (best[t], 1.0, True)
        else:
            others = [(-beside[t][o], order[best[o]], best[o]) for o in kept & set(beside[t])]
            similarity, _, keeper = min(others)
            answer[doc] = (keeper, -similarity, False)
    return answer


def as_answer(verdict):
    rows = zip(verdict.kept, verdict.duplicate_of, verdict.similarity, verdict.twin)
    answer = {}
    for doc, (kept, keeper, similarity, twin) in enumerate(rows):
        assert kept == (keeper == -1) == np.isnan(similarity)
        answer[doc] = None if kept else (int(keeper), float(similarity), bool(twin))
    return answer


@st.composite
def graphs(draw, most=8):
    n = draw(st.integers(1, most))
    doc = st.integers(0, n - 1)
    pairs = st.tuples(doc, doc).filter(lambda pair: pair[0] < pair[1])
    edges = draw(st.dictionaries(pairs, st.sampled_from([0.8, 0.85, 0.9]), max_size=14)) if n > 1 else {}
    twins = draw(st.lists(pairs, max_size=3)) if n > 1 else []
    return draw(st.permutations(range(n))), edges, twins


@settings(deadline=None, max_examples=400)
@given(graphs(), st.randoms())
def test_survivors_are_those_of_the_definition(graph, chance):
    order, edges, twin_pairs = graph
    expected = plain_survivors(order, edges, twin_pairs)
    given_edges = [(a, b, s) if chance.random() < 0.5 else (b, a, s) for (a, b), s in edges.items()]
    given_edges += chance.choices(given_edges, k=3) if given_edges else []  # repeats
    chance.shuffle(given_edges)
    verdict = survivors(
        np.array(order),
        [edge[:2] for edge in given_edges],
        [edge[2] for edge in given_edges],
        [pair[::-1] for pair in twin_pairs],
    )
    assert as_answer(verdict) == expected

    together = components(len(order), [*edges, *twin_pairs])
    for label in set(together.tolist()):
        members = np.flatnonzero(together == label)
        best = members[np.argmin(np.array(order)[members])]
        assert (verdict.cluster[members] == best).all()


@settings(deadline=None, max_examples=50)
@given(graphs(5))
def test_every_numbering_gives_the_same_answer(graph):
    order, edges, twin_pairs = graph
    expected = plain_survivors(order, edges, twin_pairs)
    for new in permutations(range(len(order))):  # new[d]: the number that document d gets
        moved = np.empty(len(order), int)
        moved[list(new)] = order
        verdict = survivors(
            moved,
            [(new[a], new[b]) for a, b in edges],
            list(edges.values()),
            [(new[a], new[b]) for a, b in twin_pairs],
        )
        answer = as_answer(verdict)
        for doc, row in expected.items():
            assert answer[new[doc]] == (row and (new[row[0]], *row[1:]))


def test_chain_keeps_both_ends():
    verdict = survivors(np.array([0, 1, 2]), [[0, 1], [1, 2]], [0.9, 0.8], [])
    assert as_answer(verdict) == {0: None, 1: (0, 0.9, False), 2: None}
    assert verdict.cluster.tolist() == [0, 0, 0]


def test_chain_whose_middle_is_best_keeps_the_middle():
    verdict = survivors(np.array([1, 0, 2]), [[0, 1], [1, 2]], [0.9, 0.8], [])
    assert as_answer(verdict) == {0: (1, 0.9, False), 1: None, 2: (1, 0.8, False)}


def test_star_and_clique():
    leaves = [[0, leaf] for leaf in range(1, 6)]
    assert survivors(np.arange(6), leaves, [0.9] * 5, []).kept.tolist() == [True] + [False] * 5
    assert survivors(np.arange(6)[::-1], leaves, [0.9] * 5, []).kept.tolist() == [False] + [True] * 5
    clique = [[a, b] for a in range(6) for b in range(a)]
    assert survivors(np.array([3, 4, 0, 1, 5, 2]), clique, [0.9] * 15, []).kept.tolist() == [
        False, False, True, False, False, False,
    ]  # fmt: skip


def test_most_similar_kept_neighbour_is_named_and_the_best_of_equals():
    edges = [[0, 2], [1, 2], [0, 3], [1, 3]]
    verdict = survivors(np.array([1, 0, 2, 3]), edges, [0.95, 0.9, 0.9, 0.9], [])
    assert verdict.duplicate_of.tolist() == [-1, -1, 0, 1]
    assert verdict.similarity[2:].tolist() == [0.95, 0.9]


def test_the_named_neighbour_can_rank_below():
    """1 goes for the sake of 0; 2 stays, for its only neighbour went; 1 is most like 2."""
    verdict = survivors(np.arange(3), [[0, 1], [1, 2]], [0.8, 0.99], [])
    assert as_answer(verdict) == {0: None, 1: (2, 0.99, False), 2: None}


def test_twins_are_one_node():
    """0, 1, 2 have equal texts; the best of them stands for all, and an edge of one is an edge of all."""
    kept = survivors(np.array([2, 0, 1, 3]), [[2, 3]], [0.8], [[0, 1], [0, 2]])
    assert as_answer(kept) == {0: (1, 1.0, True), 1: None, 2: (1, 1.0, True), 3: (1, 0.8, False)}
    removed = survivors(np.array([3, 1, 2, 0]), [[2, 3]], [0.8], [[0, 1], [0, 2]])
    assert as_answer(removed) == {0: (3, 0.8, False), 1: (3, 0.8, False), 2: (3, 0.8, False), 3: None}


def test_no_documents_and_no_edges():
    assert len(survivors(np.zeros(0, int), [], [], []).kept) == 0
    alone = survivors(np.array([1, 0]), [], [], [])
    assert alone.kept.all() and alone.cluster.tolist() == [0, 1] and not alone.twin.any()


@settings(deadline=None)
@given(st.integers(1, 30), st.data())
def test_components_are_those_of_a_walk(n, data):
    doc = st.integers(0, n - 1)
    edges = data.draw(st.lists(st.tuples(doc, doc), max_size=40))
    smallest = list(range(n))
    for _ in range(n):
        for a, b in edges:
            smallest[a] = smallest[b] = min(smallest[a], smallest[b])
    assert components(n, edges).tolist() == smallest


@pytest.mark.parametrize("shape", ["path", "shuffled path", "star of the last"])
def test_components_of_long_graphs(shape):
    n = 200_000
    names = np.random.default_rng(3).permutation(n) if shape == "shuffled path" else np.arange(n)
    ends = np.stack((names[:-1], names[1:]), axis=1)
    if shape == "star of the last":
        ends = np.stack((np.arange(n - 1), np.full(n - 1, n - 1)), axis=1)
    assert not components(n, ends).any()


# --- the smallest key of a cluster

KEYS = np.array([[5, 1], [5, 0], [1, 9], [3, 3]], np.uint64)


def test_cluster_keys():
    found = cluster_keys(np.array([0, 0, 2, 0]), KEYS)
    assert found.tolist() == [[3, 3], [3, 3], [1, 9], [3, 3]]
    assert cluster_keys(np.array([1, 1, 2, 3]), KEYS).tolist() == [[5, 0], [5, 0], [1, 9], [3, 3]]
