"""What candidates find: generated near-copies by similarity, and datasketch's LSH as an oracle."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash as Sketch
from datasketch import MinHashLSH

from dedup.candidates import candidate_pairs
from dedup.minhash import band_hashes, choose_bands, signatures
from dedup.shingles import shingle_sets
from dedup.similarity import jaccards


def near_copies(rng, pairs, low=0.5):
    """Texts in pairs (2i, 2i + 1) of 300 tokens, the second with as many single words changed as give similarities
    spread over `low` to 1: a word takes five of 296 shingles with it."""
    texts = []
    for _ in range(pairs):
        base = [f"w{n}" for n in rng.integers(0, 10**9, 300)]
        copy = list(base)
        wanted = rng.uniform(low, 1.0)
        changes = round((1 - wanted) / (1 + wanted) * 296 / 5)
        for place in rng.choice(300, changes, replace=False):
            copy[place] = f"x{rng.integers(10**9)}"
        texts += [" ".join(base), " ".join(copy)]
    return texts


def candidates(texts, threshold):
    """(offsets, values) and the candidate pairs as a set."""
    offsets, values = shingle_sets(pa.array(texts))
    bands = choose_bands(threshold)
    hashes = band_hashes(signatures(offsets, values, bands.hashes, 1), bands)
    doc = np.repeat(np.arange(len(texts), dtype=np.uint64), bands.bands)
    found = candidate_pairs(hashes.ravel(), doc, doc)
    return (offsets, values), set(map(tuple, found.pairs.tolist()))


@pytest.mark.parametrize("threshold", [0.7, 0.8, 0.9])
def test_recall_and_precision_by_similarity(threshold, capsys):
    """3,000 generated pairs: in each bucket of 0.05 what the curve promises; at the threshold and above 0.99, from 0.05
    above it 0.999. What is removed is verified, so precision is 1: no pair below the threshold gets through."""
    texts = near_copies(np.random.default_rng(int(threshold * 10)), 3000)
    sets, found = candidates(texts, threshold)
    left, right = np.arange(0, len(texts), 2), np.arange(1, len(texts), 2)
    similarity = jaccards(*sets, left, right)
    met = np.array([(a, b) in found for a, b in zip(left.tolist(), right.tolist())])
    expected = np.array([choose_bands(threshold).probability(s) for s in similarity])
    lines = []
    for step in range(10, 20):
        inside = (similarity >= step / 20) & (similarity < (step + 1) / 20)
        spread = np.sqrt((expected[inside] * (1 - expected[inside])).sum()) + 1e-9
        assert abs(met[inside].sum() - expected[inside].sum()) <= 4 * spread + 0.5
        lines.append(f"{step / 20:.2f}: {met[inside].sum()} of {inside.sum()} met")
    print(f"{threshold} {choose_bands(threshold)}\n  " + "\n  ".join(lines))
    assert met[similarity >= threshold].mean() >= 0.99
    assert met[similarity >= threshold + 0.05].mean() >= 0.999
    verified = jaccards(*sets, left[met], right[met], threshold) >= threshold
    assert (similarity[met][verified] >= threshold).all() and verified.sum() == (met & (similarity >= threshold)).sum()


def test_pairs_of_datasketch_are_met():
    """datasketch's LSH at 0.8 on the same shingle sets: of its pairs at or above the threshold ours meet all but what
    the curve allows, and more than it does."""
    texts = near_copies(np.random.default_rng(5), 400, 0.6)
    (offsets, values), found = candidates(texts, 0.8)
    lsh = MinHashLSH(threshold=0.8, num_perm=128)
    sketches = []
    for row in range(len(texts)):
        sketch = Sketch(num_perm=128, seed=1, hashfunc=lambda value: int(value) >> 32)
        sketch.update_batch(values[offsets[row] : offsets[row + 1]].tolist())
        sketches.append(sketch)
        lsh.insert(row, sketch)
    theirs = {(a, b) for a, sketch in enumerate(sketches) for b in lsh.query(sketch) if a < b}
    left, right = (np.array(side) for side in zip(*sorted(theirs)))
    true = {pair for pair, s in zip(sorted(theirs), jaccards(offsets, values, left, right)) if s >= 0.8}
    pairs = np.arange(0, len(texts), 2)
    all_true = {(int(a), int(a) + 1) for a, s in zip(pairs, jaccards(offsets, values, pairs, pairs + 1)) if s >= 0.8}
    print(f"{len(all_true)} pairs at 0.8: datasketch met {len(true)}, ours {len(found & all_true)}")
    assert len(true) > 100 and len(true - found) <= 1
    assert len(found & all_true) >= max(0.99 * len(all_true), len(true & all_true))
