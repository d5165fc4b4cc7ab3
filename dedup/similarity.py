"""True Jaccard similarity of shingle sets: what every removal is proven with.

One formula everywhere: intersection / union in float64. Division of integers below 2**53 rounds correctly, so
a pair of exactly 4/5 gives the very float64 that the threshold 0.8 is read as, and `>=` holds; no tolerance
is needed.
"""

import numpy as np


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Similarity of two sorted unique uint64 arrays; 0.0 if both are empty (shingle sets never are)."""
    if len(a) > len(b):
        a, b = b, a
    if not len(a):
        return 0.0
    # each hash of the smaller set is looked up in the larger: three times as fast as sorting both together
    places = np.searchsorted(b, a)
    places[places == len(b)] = 0
    shared = int(np.count_nonzero(b[places] == a))
    return shared / (len(a) + len(b) - shared)


def jaccards(
    offsets: np.ndarray, values: np.ndarray, left: np.ndarray, right: np.ndarray, min_similarity: float = 0.0
) -> np.ndarray:
    """Similarity float64 (m,) of the rows left[i] and right[i] of one CSR of sets.

    Pairs below `min_similarity` give 0.0; those whose sizes alone prove it (the smaller over the larger is a
    bound of the similarity) are not compared.
    """
    return jaccards_between((offsets, values), (offsets, values), left, right, min_similarity)


def jaccards_between(
    left_sets: tuple[np.ndarray, np.ndarray],
    right_sets: tuple[np.ndarray, np.ndarray],
    left: np.ndarray,
    right: np.ndarray,
    min_similarity: float = 0.0,
) -> np.ndarray:
    """The same for rows of two CSRs (offsets, values)."""
    (left_offsets, left_values), (right_offsets, right_values) = left_sets, right_sets
    left, right = np.asarray(left, np.int64), np.asarray(right, np.int64)
    left_low, left_high = left_offsets[left], left_offsets[left + 1]
    right_low, right_high = right_offsets[right], right_offsets[right + 1]
    out = np.zeros(len(left))
    smaller = np.minimum(left_high - left_low, right_high - right_low)
    larger = np.maximum(left_high - left_low, right_high - right_low)
    # the bound is the same division as the similarity of a subset, so it loses no pair at the threshold
    able = np.flatnonzero(smaller / np.maximum(larger, 1) >= min_similarity)
    bounds = np.stack((left_low, left_high, right_low, right_high), axis=1)[able].tolist()
    for pair, (a, b, c, d) in zip(able.tolist(), bounds):
        out[pair] = jaccard(left_values[a:b], right_values[c:d])
    out[out < min_similarity] = 0.0
    return out
