"""Signatures at their theoretical error, bands at their theoretical recall, and the published window case."""

import math
import random
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import version_pairs
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

import dedup.minhash as minhash
import dedup.plain as plain
from dedup.candidates import candidate_pairs, twins
from dedup.exact import text_hashes
from dedup.minhash import Bands, band_hashes, choose_bands, recall_curve, signatures
from dedup.shingles import shingle_sets
from dedup.similarity import jaccard, jaccards
from dedup.survivors import survivors


def sets_of(*rows):
    """CSR of lists of numbers."""
    arrays = [np.unique(np.array(row, np.uint64)) for row in rows]
    offsets = np.concatenate(([0], np.cumsum([len(a) for a in arrays])))
    return offsets, np.concatenate([*arrays, np.zeros(0, np.uint64)])


# --- similarity


@pytest.mark.parametrize(
    ("a", "b", "similarity"),
    [([1, 2, 3, 4], [1, 2, 3, 4, 5], 0.8), ([1], [2], 0.0), ([7], [7], 1.0), ([], [1], 0.0), ([], [], 0.0)],
)
def test_jaccard(a, b, similarity):
    a, b = np.array(a, np.uint64), np.array(b, np.uint64)
    assert jaccard(a, b) == jaccard(b, a) == similarity


def test_threshold_is_met_at_the_exact_share():
    """intersection / union rounds to the float64 that the decimal is read as: 4/5 >= 0.8, ..."""
    for hundredths in range(1, 101):
        for size in (100, 300, 700, 1900):
            union = np.arange(size, dtype=np.uint64)
            part = union[: size * hundredths // 100]
            threshold = float(f"0.{hundredths:02d}") if hundredths < 100 else 1.0
            assert jaccard(part, union) >= threshold
            if len(part) > 1:
                assert jaccard(part[1:], union) < threshold


ROWS = st.lists(st.lists(st.integers(0, 15), max_size=12), min_size=1, max_size=8)


@settings(deadline=None)
@given(ROWS, st.data(), st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0]))
def test_jaccards_are_those_of_python_sets(rows, data, least):
    places = st.lists(st.integers(0, len(rows) - 1), min_size=6, max_size=6)
    left, right = data.draw(places), data.draw(places)
    found = jaccards(*sets_of(*rows), np.array(left), np.array(right), least)
    for i, j, similarity in zip(left, right, found):
        a, b = set(rows[i]), set(rows[j])
        exact = len(a & b) / len(a | b) if a | b else 0.0
        assert similarity == (exact if exact >= least else 0.0)


# --- bands


@pytest.mark.parametrize(
    ("threshold", "bands"),
    [(0.5, Bands(38, 3)), (0.7, Bands(26, 5)), (0.8, Bands(20, 7)), (0.9, Bands(14, 12))],
)
def test_choice_of_bands(threshold, bands):
    """Written in the comments of minhash.py: a change of the model shows here."""
    assert choose_bands(threshold) == bands
    assert bands.probability(threshold) >= 0.99 and bands.probability(threshold + 0.05) >= 0.999


@settings(deadline=None, max_examples=40)
@given(st.floats(0.5, 1.0), st.sampled_from([0.9, 0.95, 0.99]))
def test_recall_is_met_with_the_fewest_bands(threshold, recall):
    bands = choose_bands(threshold, recall)
    above, rest = min(threshold + 0.05, 1.0), (1 - recall) / 10
    assert bands.probability(threshold) >= recall and 0 < bands.hashes <= 512
    assert bands.probability(above) >= 1 - rest
    if bands.bands > 1:
        fewer = Bands(bands.bands - 1, bands.rows)
        assert fewer.probability(threshold) < recall or fewer.probability(above) < 1 - rest


@pytest.mark.parametrize("arguments", [(0.0,), (1.1,), (0.8, 1.0), (0.8, 0.0), (0.05, 0.999, 64), (float("nan"),)])
def test_impossible_bands_are_refused(arguments):
    with pytest.raises(ValueError):
        choose_bands(*arguments)


def test_recall_curve():
    curve = recall_curve(Bands(14, 8))
    assert curve[0] == (0.0, 0.0) and curve[-1] == (1.0, 1.0) and len(curve) == 21
    assert curve[16] == (0.8, pytest.approx(1 - (1 - 0.8**8) ** 14))
    assert all(a[1] <= b[1] for a, b in pairwise(curve))


def test_band_hashes_know_their_band_and_the_order_of_their_minima():
    signature = np.array([[1, 2, 1, 2, 2, 1], [1, 2, 9, 9, 2, 1]], np.uint32)
    found = band_hashes(signature, Bands(3, 2))
    assert found.shape == (2, 3) and found.dtype == np.uint64
    assert len(set(found[0].tolist())) == 3
    assert (found[0] == found[1]).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="8 hashes expected"):
        band_hashes(signature, Bands(4, 2))


# --- signatures


def plain_signature(row, hashes, seed):
    factors, terms = minhash._family(hashes, seed)
    return [
        min((int(a) * (value >> 32) + int(b)) % 2**32 for value in row) if row else 2**32 - 1
        for a, b in zip(factors, terms)
    ]


WIDE_ROWS = st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=9), max_size=7)


@settings(deadline=None, max_examples=60)
@given(WIDE_ROWS, st.integers(1, 20), st.integers(0, 5), st.integers(1, 7))
def test_signatures_are_the_plain_minima_for_any_block(rows, hashes, seed, block):
    offsets, values = sets_of(*rows)
    found = signatures(offsets, values, hashes, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "_VALUES_AT_ONCE", block)
        assert np.array_equal(plain.signatures(offsets, values, hashes, seed), found)
    assert found.dtype == np.uint32 and found.shape == (len(rows), hashes)
    assert found.tolist() == [plain_signature(sorted(set(row)), hashes, seed) for row in rows]


def random_pairs(count, size=300):
    """Sets of 64-bit numbers in pairs of rows (2i, 2i + 1) with similarities spread over 0..1."""
    random_numbers = np.random.default_rng(7)
    rows = []
    for share in np.linspace(0.02, 0.98, count):
        shared = round(share * size)
        pool = random_numbers.integers(0, 2**64, 2 * size - shared, np.uint64)
        rows += [pool[:size], pool[size - shared :]]
    return sets_of(*rows)


def test_error_is_that_of_ideal_permutations_and_of_datasketch():
    """Root mean square error of the estimate sqrt(mean s (1 - s) / k), as datasketch has on the same sets."""
    offsets, values = random_pairs(400)
    left, right = np.arange(0, 800, 2), np.arange(1, 800, 2)
    exact = jaccards(offsets, values, left, right)
    ideal = math.sqrt(np.mean(exact * (1 - exact)) / 128)

    ours = signatures(offsets, values, 128, seed=1)
    errors = (ours[left] == ours[right]).mean(axis=1) - exact
    theirs = []
    for row in range(800):
        sketch = MinHash(num_perm=128, seed=1, hashfunc=lambda value: int(value) >> 32)
        sketch.update_batch(values[offsets[row] : offsets[row + 1]].tolist())
        theirs.append(sketch.hashvalues)
    field = np.array(theirs)
    field_errors = (field[left] == field[right]).mean(axis=1) - exact

    assert math.sqrt(np.mean(errors**2)) == pytest.approx(ideal, rel=0.12)
    assert math.sqrt(np.mean(field_errors**2)) == pytest.approx(ideal, rel=0.12)
    assert abs(errors.mean()) < 3 * ideal / math.sqrt(400)


@pytest.mark.shared
def test_error_on_real_text(shared_data):
    pairs = version_pairs.read(shared_data)
    exact = jaccards(pairs.offsets, pairs.values, pairs.left, pairs.right)
    ideal = math.sqrt(np.mean(exact * (1 - exact)) / 112)
    measured = []
    for seed in range(6):
        found = signatures(pairs.offsets, pairs.values, 112, seed)
        errors = (found[pairs.left] == found[pairs.right]).mean(axis=1) - exact
        measured.append(math.sqrt(np.mean(errors**2)))
        assert abs(errors.mean()) < 0.002
    print(f"RMSE of six seeds {min(measured):.4f}..{max(measured):.4f}, ideal {ideal:.4f}")
    assert np.mean(measured) == pytest.approx(ideal, rel=0.06)


@pytest.mark.shared
@pytest.mark.parametrize("threshold", [0.7, 0.8, 0.9])
def test_recall_on_real_pairs(shared_data, threshold):
    """Of the real pairs at or above the threshold the bands find what the curve promises, pair by pair."""
    pairs = version_pairs.read(shared_data)
    exact = jaccards(pairs.offsets, pairs.values, pairs.left, pairs.right)
    bands = choose_bands(threshold)
    hashed = band_hashes(signatures(pairs.offsets, pairs.values, bands.hashes, seed=1), bands)
    found = (hashed[pairs.left] == hashed[pairs.right]).any(axis=1)
    duplicates = exact >= threshold
    expected = np.array([bands.probability(s) for s in exact])
    spread = math.sqrt((expected * (1 - expected)).sum())
    print(f"{threshold}: {bands}, {found[duplicates].sum()} of {duplicates.sum()} pairs found")
    assert found[duplicates].mean() >= 0.99
    assert found.sum() == pytest.approx(expected.sum(), abs=4 * spread)


# --- the published window case

WINDOWS = [
    [0, 20, 50],
    [400, 420],
    [800, 810, 820, 840, 860],
    [1205, 1215, 1225, 1245],
    [1600],
    [2000],
]


def five_paragraphs():
    """2,500 characters of Latin-like words, no sentence of which comes twice."""
    chance = random.Random(11)
    syllables = ("lo", "rem", "ip", "sum", "do", "lor", "sit", "a", "met", "con", "te", "tur", "e", "lit")
    words = ["".join(chance.choices(syllables, k=chance.choice([1, 2, 2, 3, 3, 4]))) for _ in range(500)]
    paragraphs = [" ".join(words[i : i + 100]).capitalize() + "." for i in range(0, 500, 100)]
    return "\n\n".join(paragraphs)


def test_windows_of_one_text_form_the_six_clusters_of_datatrove():
    """datatrove, tests/pipeline/dedup/test_minhash.py: 400-character windows, 16 documents, 6 kept.

    A window has about 60 tokens; shifted by 60 characters it loses some 9 shingles of 56 on each side and one
    cut word at each end: the least similarity within a cluster is 0.71. Neighbouring clusters overlap by 55
    characters at most: 0.03. At a threshold of 0.5 each cluster is a clique, so one survivor needs no closure.
    """
    text = five_paragraphs()
    documents = [text[start : start + 400] for group in WINDOWS for start in group]
    cluster = [number for number, group in enumerate(WINDOWS) for _ in group]
    assert len(documents) == 16 and all(len(document) == 400 for document in documents)
    verdict = near_duplicates(documents, 0.5)
    assert verdict.kept.sum() == 6
    assert len({(a, b) for a, b in zip(cluster, verdict.cluster.tolist())}) == 6
    assert sorted(np.flatnonzero(verdict.kept).tolist()) == [0, 3, 5, 10, 14, 15]
    removed = ~verdict.kept
    assert (np.array(cluster)[verdict.duplicate_of[removed]] == np.array(cluster)[removed]).all()
    assert (verdict.similarity[removed] >= 0.5).all()


def test_chain_is_not_closed():
    """A ~ B ~ C with A and C unlike: B goes, A and C stay."""
    words = five_paragraphs().split()
    chain = [" ".join(words[start : start + 100]) for start in (0, 14, 28)]
    verdict = near_duplicates(chain, 0.7)
    assert verdict.kept.tolist() == [True, False, True]
    assert verdict.duplicate_of.tolist() == [-1, 0, -1]
    assert verdict.cluster.tolist() == [0, 0, 0]


def near_duplicates(documents, threshold):
    """The whole of the package on a list of texts, kept in their order."""
    texts = pa.array(documents, pa.large_string())
    offsets, values = shingle_sets(texts)
    bands = choose_bands(threshold)
    hashes = band_hashes(signatures(offsets, values, bands.hashes, seed=1), bands)
    identical = text_hashes(texts)
    count = np.arange(len(documents), dtype=np.uint64)
    doc, twin = np.repeat(count, bands.bands), np.repeat(identical[:, 0], bands.bands)
    pairs = candidate_pairs(hashes.ravel(), twin, doc).pairs
    similarity = jaccards(offsets, values, pairs[:, 0], pairs[:, 1], threshold)
    true = similarity >= threshold
    return survivors(np.arange(len(documents)), pairs[true], similarity[true], twins(*identical.T, count))
