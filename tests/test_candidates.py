"""Pairs from bucket rows, representatives of big groups, twins: against brute force."""

from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.candidates import PAIRS_CAP, candidate_pairs, repeated, represent, shared, twins
from dedup.survivors import components, survivors


def unsigned(values):
    return np.array(values, np.uint64)


def plain_candidates(rows, cap):
    """Dictionary of groups, one document for each twin, all pairs or a big group."""
    groups = defaultdict(dict)
    for band, twin, doc in rows:
        groups[band][twin] = min(doc, groups[band].get(twin, doc))
    pairs, big = set(), set()
    for group in groups.values():
        docs = [group[twin] for twin in sorted(group)]
        if len(docs) > cap:
            big.add(tuple(docs))
        else:
            pairs |= {(min(a, b), max(a, b)) for a, b in combinations(docs, 2)}
    return sorted(pairs), sorted(big)


# a document has one twin hash; here documents of the same number modulo 13 have equal texts
ROW = st.tuples(st.integers(0, 5), st.integers(0, 30)).map(lambda row: (row[0], row[1] % 13 * 5 % 17, row[1]))


@settings(deadline=None)
@given(st.lists(ROW, max_size=60), st.integers(1, 6), st.randoms())
def test_candidates_are_those_of_brute_force_in_any_order(rows, cap, chance):
    pairs, big = plain_candidates(rows, cap)
    chance.shuffle(rows)
    columns = [unsigned([row[i] for row in rows]) for i in range(3)]
    found = candidate_pairs(*columns, cap=cap)
    assert [tuple(pair) for pair in found.pairs.tolist()] == pairs
    assert [tuple(group.tolist()) for group in found.big] == big


@settings(deadline=None)
@given(st.lists(ROW, max_size=60), st.integers(1, 6), st.integers(1, 5), st.integers(1, 40))
def test_rows_dealt_by_what_they_share_have_the_same_candidates(rows, cap, parts, older):
    hash, twin, doc = (unsigned([row[i] for row in rows]) for i in range(3))
    whole = candidate_pairs(hash, twin, doc, cap=cap)
    chosen, keys = shared(hash, twin, doc, np.uint64(older), cap)
    pairs, big = set(), set()
    for part in range(parts):
        mine = chosen[keys % np.uint64(parts) == part]
        found = candidate_pairs(hash[mine], doc[mine], doc[mine], cap=cap)
        pairs |= {tuple(pair) for pair in found.pairs.tolist()}
        big |= {frozenset(group.tolist()) for group in found.big}
    assert {pair for pair in pairs if pair[0] < older} == {(a, b) for a, b in whole.pairs.tolist() if a < older}
    assert {group for group in big if min(group) < older} == {
        frozenset(group.tolist()) for group in whole.big if group.min() < older
    }
    smallest = {band: min(doc[chosen[hash[chosen] == band]].tolist()) for band in hash[chosen].tolist()}
    assert all(one < older for one in smallest.values())


def test_buckets_of_one_smallest_document_meet_but_for_large_ones():
    buckets = [(1, [3, 8]), (2, [3, 9, 8]), (3, [4, 8]), (4, [3, 5, 6, 7]), (5, [3, 5, 6, 7]), (6, [3])]
    hash, doc = (unsigned(column) for column in zip(*((band, one) for band, docs in buckets for one in docs)))
    rows, keys = shared(hash, doc, doc, cap=3)
    key = dict(zip(hash[rows].tolist(), keys.tolist()))
    assert len(rows) == 15 and 6 not in key
    assert key[1] == key[2] != key[3] and (key[4], key[5]) == (4, 5)


@given(st.lists(st.integers(0, 40) | st.integers(0, (1 << 64) - 1), max_size=80))
def test_no_repeated_hash_is_missed(values):
    found = set(repeated(unsigned(values)).tolist())
    assert found >= {row for row, value in enumerate(values) if values.count(value) > 1}


def test_most_hashes_that_stand_alone_are_left_out():
    values = np.random.default_rng(0).integers(0, 1 << 64, 100_000, np.uint64)
    assert len(repeated(values)) < 30_000


def test_cap_is_inclusive():
    docs = unsigned(range(PAIRS_CAP + 1))
    same = np.zeros(len(docs), np.uint64)
    at = candidate_pairs(same[:-1], docs[:-1], docs[:-1])
    assert len(at.pairs) == PAIRS_CAP * (PAIRS_CAP - 1) // 2 and not at.big
    above = candidate_pairs(same, docs, docs)
    assert not len(above.pairs) and [len(group) for group in above.big] == [PAIRS_CAP + 1]


def test_a_million_copies_are_one_document():
    """Identical texts share all their bands: they make no group of their own."""
    docs = unsigned(range(1000))
    found = candidate_pairs(np.zeros(1000, np.uint64), np.full(1000, 5, np.uint64), docs)
    assert not len(found.pairs) and not found.big


def test_big_groups_are_in_the_order_of_content():
    docs, twin = unsigned([0, 1, 2, 3]), unsigned([9, 2, 7, 4])
    group = candidate_pairs(np.zeros(4, np.uint64), twin, docs, cap=3).big[0]
    assert group.tolist() == [1, 3, 2, 0]
    renamed = candidate_pairs(np.zeros(4, np.uint64), twin[::-1], docs, cap=3).big[0]
    assert (3 - renamed).tolist() == [1, 3, 2, 0]


def test_nothing_gives_nothing():
    none = np.zeros(0, np.uint64)
    found = candidate_pairs(none, none, none)
    assert found.pairs.shape == (0, 2) and found.big == []
    assert twins(none, none, none).shape == (0, 2)
    represented = represent(none, lambda a, b: np.zeros(len(a)), 0.5)
    assert represented.edges.shape == represented.loose.shape == (0, 2)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=20), st.randoms())
def test_twins(hashes, chance):
    docs = list(range(len(hashes)))
    chance.shuffle(docs)
    groups = defaultdict(list)
    for doc, key in zip(docs, hashes):
        groups[key].append(doc)
    expected = sorted((min(group), doc) for group in groups.values() for doc in group if doc != min(group))
    found = twins(*unsigned(hashes).reshape(-1, 2).T, unsigned(docs))
    assert [tuple(pair) for pair in found.tolist()] == expected


# --- representatives: documents are points on a line, similar when near


def near(positions, calls=None):
    def similar(left, right):
        if calls is not None:
            calls.append(len(left))
        return 1.0 - np.abs(positions[left.astype(int)] - positions[right.astype(int)])

    return similar


def plain_represent(docs, similar, threshold, cap):
    """One document after another against the representatives so far."""
    representatives, edges = [], []
    for doc in docs:
        for other in representatives:
            if similar(unsigned([other]), unsigned([doc]))[0] >= threshold:
                edges.append((other, doc))
                break
        else:
            if len(representatives) < cap:
                representatives.append(doc)
    return sorted(edges)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=25), st.integers(1, 6), st.data())
def test_representatives(places, cap, data):
    positions = np.array(places) / 40
    docs = data.draw(st.permutations(range(len(places))))
    calls = []
    found = represent(unsigned(docs), near(positions, calls), 0.9, cap)
    assert sorted(map(tuple, found.edges.tolist())) == plain_represent(docs, near(positions), 0.9, cap)
    assert (found.similarities >= 0.9).all() and len(found.similarities) == len(found.edges)
    assert found.compared == sum(calls) <= cap * len(docs)
    assert found.compared + found.uncompared == len(docs) * (len(docs) - 1) // 2

    # what is alike ends in one component, compared or not
    together = components(len(docs), np.concatenate((found.edges, found.loose)))
    for a, b in combinations(range(len(docs)), 2):
        if near(positions)(unsigned([a]), unsigned([b]))[0] >= 0.9:
            assert together[a] == together[b]
    if not found.uncompared:
        assert not len(found.loose)


def test_unlike_documents_within_the_cap_stay_apart():
    found = represent(unsigned([4, 2, 0]), near(np.arange(5.0) * 9), 0.9, cap=3)
    assert (len(found.edges), len(found.loose), found.compared, found.uncompared) == (0, 0, 3, 0)


@pytest.mark.parametrize(("use_rank", "kept"), [(True, 1), (False, 199)])
def test_rank_makes_stars_that_remove_their_leaves(use_rank, kept):
    """200 documents all alike, and the keep policy likes the last best. Without its order the star is around
    the document that is kept last, and all but that one stay."""
    docs = unsigned(range(200))
    rank = np.arange(200)[::-1]
    found = represent(docs, near(np.zeros(200)), 0.9, rank=rank if use_rank else None)
    verdict = survivors(rank, found.edges, found.similarities, [])
    assert verdict.kept.sum() == kept
    assert verdict.kept[199]
