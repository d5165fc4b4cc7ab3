"""The exact join: every pair at or above the threshold, and no other, against all pairs compared."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dedup.join as join
from dedup.join import HeldoutIndex
from dedup.plain import jaccard

THRESHOLDS = [0.5, 0.55, 0.6, 2 / 3, 0.7, 0.75, 0.8, 0.9, 0.95, 1.0]


def sets_of(rows):
    arrays = [np.unique(np.array(sorted(row), np.uint64)) for row in rows]
    offsets = np.concatenate(([0], np.cumsum([len(a) for a in arrays]))).astype(np.int64)
    return offsets, np.concatenate([*arrays, np.zeros(0, np.uint64)])


def all_pairs(held, probed, threshold, measure="jaccard"):
    expected = []
    for row, b in enumerate(probed):
        for index, a in enumerate(held):
            similarity = jaccard(*(np.array(sorted(s), np.uint64) for s in (a, b)), measure)
            if similarity >= threshold:
                expected.append((index, row, similarity))
    return expected


def joined(held, probed, threshold, measure="jaccard"):
    found = HeldoutIndex(*sets_of(held), threshold, measure).probe(*sets_of(probed))
    return list(zip(*(column.tolist() for column in found)))


MEASURE = st.sampled_from(["jaccard", "containment"])
SETS = st.lists(st.sets(st.integers(0, 14), max_size=12), max_size=7)


@settings(deadline=None, max_examples=300)
@given(SETS, SETS, st.sampled_from(THRESHOLDS), st.integers(1, 8), MEASURE)
def test_join_is_that_of_all_pairs(held, probed, threshold, chunk, measure):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(join, "_CHUNK_HITS", chunk)
        assert joined(held, probed, threshold, measure) == all_pairs(held, probed, threshold, measure)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_join_of_parts_near_the_threshold(threshold):
    """Sets of 1 to 60 of which about the threshold's part lies in one of up to 900, anywhere in it."""
    chance = np.random.default_rng(int(threshold * 100))
    held, probed = [], []
    for size in range(1, 61):
        large = chance.integers(0, 2**64, chance.integers(size, 900), np.uint64)
        shared = min(size, int(np.ceil(size * threshold)) + int(chance.integers(-1, 2)))
        part = chance.choice(large, max(shared, 0), replace=False).tolist()
        held.append([*part, *chance.integers(0, 2**64, size - len(part), np.uint64).tolist()])
        probed.append(large.tolist())
    expected = all_pairs(held, probed, threshold, "containment")
    assert len(expected) > 15
    assert joined(held, probed, threshold, "containment") == expected
    assert joined(probed, held, threshold, "containment") == [(b, a, s) for a, b, s in sorted(expected)]


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_join_of_larger_sets_near_the_threshold(threshold):
    """Sets that share about the threshold's part of up to 200 hashes."""
    chance = np.random.default_rng(int(threshold * 100))
    held, probed = [], []
    for _ in range(30):
        base = chance.integers(0, 2**64, chance.integers(5, 200), np.uint64)
        shared = int(len(base) * 2 * threshold / (1 + threshold)) + int(chance.integers(-1, 2))
        held.append(base.tolist())
        probed.append([*base[: max(shared, 0)].tolist(), *chance.integers(0, 2**64, 400, np.uint64).tolist()])
        probed[-1] = probed[-1][: len(base)]
    expected = all_pairs(held, probed, threshold)
    assert joined(held, probed, threshold) == expected
    assert joined(probed, held, threshold) == [(b, a, s) for a, b, s in sorted(expected)]


@pytest.mark.parametrize("hundredths", range(50, 101))
def test_no_pair_at_exactly_the_threshold_is_lost(hundredths):
    """A part of hundredths / 100 of a set, where that is whole, at either end of the hash order."""
    threshold = hundredths / 100
    for size in range(20, 201, 20):
        if size * hundredths % 100:
            continue
        whole, length = list(range(size)), size * hundredths // 100
        for part in (whole[:length], whole[size - length :]):
            assert joined([whole], [part], threshold) == [(0, 0, threshold)]
            assert joined([part], [whole], threshold) == [(0, 0, threshold)]
            assert length == 1 or joined([whole], [part[1:]], threshold) == []


def test_prefix_is_the_short_head():
    """Of a set of ten at 0.8 three hashes are indexed: 10 - 8 + 1."""
    rows, places = join._prefixes(np.array([10, 0, 3]), 0.8)
    assert rows.tolist() == [0, 0, 0, 2] and places.tolist() == [0, 1, 2, 0]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), max_size=20), st.integers(1, 20))
def test_chunks_cut_a_row_only_if_they_must(entries, limit):
    rows, hits = (np.array([entry[i] for entry in sorted(entries)], int) for i in (0, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(join, "_CHUNK_HITS", limit)
        chunks = list(join._chunks(rows, hits))
    assert [i for start, stop, _ in chunks for i in range(start, stop)] == list(range(len(rows)))
    for start, stop, whole in chunks:
        assert hits[start:stop].sum() <= limit or stop == start + 1
        inside, outside = set(rows[start:stop]), {*rows[:start], *rows[stop:]}
        assert whole == (not inside & outside)
        for row in inside & outside:
            assert hits[rows == row].sum() > limit


def test_a_frequent_hash_is_worked_through_in_chunks(monkeypatch):
    """One hash stands in every prefix: what is in hand stays at the chunk, and no pair is lost."""
    monkeypatch.setattr(join, "_CHUNK_HITS", 1000)
    sets = [[0, 2 * i + 1, 2 * i + 2] for i in range(300)]
    index = HeldoutIndex(*sets_of(sets), 0.9)
    sizes = [len(held) for held, _ in index._candidates(*sets_of(sets))]
    assert max(sizes) <= 1000
    held, probed, similarity = index.probe(*sets_of(sets))
    assert held.tolist() == probed.tolist() == list(range(300)) and (similarity == 1.0).all()


def test_an_unknown_measure_is_refused():
    with pytest.raises(ValueError, match="jaccard, containment"):
        HeldoutIndex(*sets_of([[1]]), 0.8, "overlap")


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01, float("nan")])
def test_threshold_out_of_range(threshold):
    with pytest.raises(ValueError, match="threshold"):
        HeldoutIndex(*sets_of([[1]]), threshold)
