"""True Jaccard similarity of shingle sets: what every removal is proven with.

One formula everywhere: intersection / union in float64. Division of integers below 2**53 rounds correctly, so
a pair of exactly 4/5 gives the very float64 that the threshold 0.8 is read as, and `>=` holds; no tolerance
is needed.
"""

import numpy as np

from dedup.columns import frozen
from kernels.jaccard import similarities


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Similarity of two sorted unique uint64 arrays; 0.0 if both are empty (shingle sets never are)."""
    first = np.zeros(1, np.int64)
    return float(jaccards_between((np.array([0, len(a)]), a), (np.array([0, len(b)]), b), first, first)[0])


def jaccards(
    offsets: np.ndarray, values: np.ndarray, left: np.ndarray, right: np.ndarray, min_similarity: float = 0.0
) -> np.ndarray:
    """Similarity float64 (m,) of the rows left[i] and right[i] of one CSR of sets.

    Pairs below `min_similarity` give 0.0, and are compared no longer than it takes to prove it.
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
    sets = [frozen(part, kind) for pair in (left_sets, right_sets) for part, kind in zip(pair, (np.int64, np.uint64))]
    out = np.empty(len(left))
    similarities(*sets, frozen(left, np.int64), frozen(right, np.int64), float(min_similarity), out)
    return out
