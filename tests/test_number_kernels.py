"""Each kernel of dedup that works on numbers (sets, signatures, graphs, rows) against its plain twin: the same integers, the same floats."""

import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dedup.plain as plain
from dedup.candidates import candidate_pairs, twins
from dedup.columns import frozen
from dedup.join import HeldoutIndex
from dedup.minhash import Bands, band_hashes, signatures
from dedup.similarity import jaccards_between, similarities_of
from dedup.survivors import components, survivors
from kernels.compile import kernel
from kernels.gather import ask_ahead, read_spans
from kernels.graph import order_rows
from kernels.sorting import COUNTS, sort_unique


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert one.dtype == other.dtype and np.array_equal(one, other)


# --- numbers


@kernel(cache=False)
def sorted_unique(source, target, low, counts):
    return sort_unique(source, len(source), target, low, counts)


def sort(values):
    target = np.zeros(len(values) + 7, np.uint64)
    count = sorted_unique(np.array(values, np.uint64), target, 3, np.empty(COUNTS, np.uint32))
    assert not target[:3].any() and not target[3 + len(values) :].any()
    return target[3 : 3 + count]


HASH = st.integers(0, 2**64 - 1) | st.integers(0, 5) | st.integers(2**64 - 5, 2**64 - 1)


@settings(deadline=None)
@given(st.lists(HASH, min_size=1, max_size=80))
def test_sorting(values):
    assert sort(values).tolist() == sorted(set(values))


@pytest.mark.parametrize("count", [4095, 4096, 4097, 9000, 300_000])
@pytest.mark.parametrize("kind", ["even", "small", "two", "one", "down", "close"])
def test_sorting_many(count, kind):
    chance = np.random.default_rng(count)
    values = {
        "even": chance.integers(0, 2**64, count, np.uint64),
        "small": chance.integers(0, 1000, count).astype(np.uint64),
        "two": chance.choice(np.array([5, 9], np.uint64), count),
        "one": np.full(count, 7, np.uint64),
        "down": np.arange(count, 0, -1, dtype=np.uint64),
        "close": chance.integers(0, 2**40, count, np.uint64) + np.uint64(2**63),
    }[kind]
    assert np.array_equal(sort(values), np.unique(values))


ROWS = st.lists(st.lists(HASH, max_size=30), min_size=1, max_size=6)


def sets_of(rows):
    arrays = [np.unique(np.array(row, np.uint64)) for row in rows]
    return np.concatenate(([0], np.cumsum([len(a) for a in arrays]))), np.concatenate([*arrays, np.zeros(0, np.uint64)])


@settings(deadline=None)
@given(ROWS, st.integers(1, 40), st.integers(0, 9))
def test_signatures_and_bands(rows, hashes, seed):
    sets = sets_of(rows)
    found = signatures(*sets, hashes, seed)
    assert_same([found], [plain.signatures(*sets, hashes, seed)])
    for size in {1, hashes}:
        bands = Bands(hashes // size, size)
        assert_same([band_hashes(found, bands)], [plain.band_hashes(found, bands)])
    if hashes > 3:  # columns of a wider array
        bands = Bands(3, 1)
        assert_same([band_hashes(found[:, 1:4], bands)], [plain.band_hashes(found[:, 1:4], bands)])


@settings(deadline=None)
@given(
    ROWS,
    ROWS,
    st.data(),
    st.sampled_from([0.0, 0.3, 0.5, 2 / 3, 0.8, 1.0, 1.5]),
    st.sampled_from(["jaccard", "containment"]),
)
def test_similarities(left_rows, right_rows, data, least, measure):
    left_sets, right_sets = sets_of(left_rows), sets_of(right_rows)
    pair = st.tuples(st.integers(0, len(left_rows) - 1), st.integers(0, len(right_rows) - 1))
    pairs = np.array(data.draw(st.lists(pair, max_size=9)), np.int64).reshape(-1, 2)
    arguments = left_sets, right_sets, pairs[:, 0], pairs[:, 1], least, measure
    assert_same([similarities_of(*arguments)], [plain.similarities_of(*arguments)])


@pytest.mark.parametrize("spread", [2**64, 2000, 9000])
@pytest.mark.parametrize("least", [0.0, 0.5, 0.8, 0.81])
def test_similarities_of_larger_sets(spread, least):
    """Sets of up to 900, shares around the threshold, evenly spread and crowded at one end, one part of another."""
    chance = np.random.default_rng(5)
    rows = []
    for share in np.linspace(0, 1, 60):
        pool = chance.integers(0, spread, int(chance.integers(1, 900)), np.uint64)
        cut = int(len(pool) * share)
        rows += [
            pool,
            np.concatenate((pool[:cut], chance.integers(0, spread, len(pool) - cut, np.uint64))),
            np.sort(pool)[:cut],
        ]
    sets, left = sets_of(rows), np.arange(0, 180, 3)
    for right in (left + 1, left + 2, left, (left + 3) % 180):
        for measure in ("jaccard", "containment"):
            arguments = sets, sets, left, right, least, measure
            assert_same([similarities_of(*arguments)], [plain.similarities_of(*arguments)])


@pytest.mark.parametrize("measure", ["jaccard", "containment"])
def test_similarities_of_a_small_set_and_a_large_one(measure):
    """Sets of 1 to 60 in sets of up to 5,000, with shares of 0 to 1: values are searched, not merged."""
    chance = np.random.default_rng(8)
    rows = []
    for size in [*range(1, 61), 300]:
        pool = np.unique(chance.integers(0, 2**64, 5000, np.uint64))
        for share in (0.0, 0.5, 0.8, 1.0):
            own = chance.integers(0, 2**64, size, np.uint64)
            own[: int(share * size)] = chance.choice(pool, int(share * size), replace=False)
            rows += [own, pool, pool[:3], np.array([2**64 - 1], np.uint64)]
    sets, left = sets_of(rows), np.arange(0, len(rows), 4)
    for right in (left + 1, left + 2, left + 3):
        for least in (0.0, 0.5, 0.8, 1.0):
            for pair in ((left, right), (right, left)):
                arguments = sets, sets, *pair, least, measure
                assert_same([similarities_of(*arguments)], [plain.similarities_of(*arguments)])


def test_inputs_are_left_as_they_are(tmp_path):
    """Sets read from files are read-only; hashes come as columns of a table."""
    rows = [[1, 2, 3], [2, 3, 4], [9]]
    offsets, values = sets_of(rows)
    values.astype("<u8").tofile(tmp_path / "values")
    mapped = np.memmap(tmp_path / "values", "<u8", "r")
    ones = np.array([0, 1])
    assert jaccards_between((offsets, mapped), (offsets, values), ones, ones[::-1]).tolist() == [0.5, 0.5]
    assert len(HeldoutIndex(offsets, mapped, 0.5).probe(offsets, mapped)[0]) == 5
    assert np.array_equal(signatures(offsets, mapped, 8, 1), signatures(offsets, values, 8, 1))
    table = np.array([[7, 1, 0], [7, 2, 1]], np.uint64)
    assert candidate_pairs(table[:, 0], table[:, 1], table[:, 2]).pairs.tolist() == [[0, 1]]
    assert values.tolist() == [1, 2, 3, 2, 3, 4, 9]


# --- graphs


@settings(deadline=None)
@given(st.integers(1, 30), st.data())
def test_graphs(n, data):
    edge = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))
    edges = np.array(data.draw(st.lists(edge, max_size=60)), np.int64).reshape(-1, 2)
    assert np.array_equal(components(n, edges), plain.components(n, edges))
    weights = np.array(data.draw(st.lists(st.sampled_from([0.5, 0.8, 0.9]), min_size=len(edges), max_size=len(edges))))
    found = survivors(np.arange(n), edges, weights, [])
    ends = np.sort(edges, axis=1)
    real = ends[:, 0] != ends[:, 1]
    alive = plain.first_independent_set(n, ends[real])
    keeper, similarity = plain.keepers(n, alive, ends[real], weights[real])
    assert np.array_equal(found.kept, alive)
    assert np.array_equal(found.duplicate_of, np.where(alive, -1, keeper))
    assert np.array_equal(found.similarity, similarity, equal_nan=True)


@pytest.mark.parametrize("count", [40, 3000])
def test_rows_of_one_hash_are_put_in_order(count):
    """A template's group: as many rows of equal hash as there are documents."""
    chance = np.random.default_rng(count)
    hash, twin = np.full(count, 3, np.uint64), chance.integers(0, count, count).astype(np.uint64)
    doc = chance.permutation(count).astype(np.uint64)
    order = np.lexsort((doc, twin))
    first = np.unique(twin[order], return_index=True)[1]
    assert candidate_pairs(hash, twin, doc, cap=5).big[0].tolist() == doc[order][first].tolist()
    same = twins(hash, twin, doc)
    assert len(same) == count - len(first)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 3), st.integers(0, 9)), max_size=60), st.booleans())
def test_rows_in_order(rows, crowded):
    columns = np.array(rows, np.uint64).reshape(-1, 3).T
    if crowded:
        columns[0] %= np.uint64(3)
    first, second, third = (frozen(column, np.uint64) for column in columns)
    order = np.empty(len(first), np.int64)
    order_rows(first, second, third, order)
    assert np.sort(order).tolist() == list(range(len(rows)))
    expected = np.lexsort((third, second, first))
    assert (columns[:, order] == columns[:, expected]).all()


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), min_size=1, max_size=8), st.data())
def test_rows_read_from_a_file(rows, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=10))
    offsets = np.cumsum([0, *map(len, rows)])
    ends = np.cumsum([0, *(len(rows[i]) for i in chosen)])
    values = frozen(np.array([v for row in rows for v in row], np.uint64), np.uint64)
    with tempfile.TemporaryFile() as file:
        file.write(values.tobytes())
        file.flush()
        read = np.zeros(ends[-1], np.uint64)
        starts, stops = (frozen(offsets[np.array(chosen, np.int64) + more], np.int64) for more in (0, 1))
        asked = starts, stops, read, frozen(ends, np.int64)
        ask_ahead(file.fileno(), starts, stops)
        assert read_spans(file.fileno(), *asked) == len(chosen)
        assert read.tolist() == [v for i in chosen for v in rows[i]]
        cut = len(values) // 2
        file.truncate(8 * cut)
        there = read_spans(file.fileno(), *asked)
        assert (there == len(chosen)) == all(offsets[i + 1] <= cut or not rows[i] for i in chosen)
    assert not len(read) or read_spans(-1, *asked) < len(chosen)
