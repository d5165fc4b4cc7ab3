"""True similarity of shingle sets: what every removal is proven with.

One formula everywhere: intersection / union (Jaccard), or intersection / the smaller set (containment, the overlap
coefficient: a document inside a longer one), in float64. Division of integers below 2**53 rounds correctly, so
a pair of exactly 4/5 gives the very float64 that the threshold 0.8 is read as, and `>=` holds; no tolerance
is needed.
"""

import numpy as np

from dedup.columns import frozen
from kernels.jaccard import similarities

MEASURES = ("jaccard", "containment")

Sets = tuple[np.ndarray, np.ndarray]


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
    return similarities_of((offsets, values), (offsets, values), left, right, min_similarity)


def jaccards_between(
    left_sets: Sets, right_sets: Sets, left: np.ndarray, right: np.ndarray, min_similarity: float = 0.0
) -> np.ndarray:
    """The same for rows of two CSRs (offsets, values)."""
    return similarities_of(left_sets, right_sets, left, right, min_similarity)


def similarities_of(
    left_sets: Sets,
    right_sets: Sets,
    left: np.ndarray,
    right: np.ndarray,
    min_similarity: float = 0.0,
    measure: str = "jaccard",
) -> np.ndarray:
    """The same by a measure: "jaccard", intersection / union, or "containment", intersection / the smaller set."""
    if measure not in MEASURES:
        raise ValueError(f"measure: expected one of {', '.join(MEASURES)}, got {measure!r}")
    sets = [frozen(part, kind) for pair in (left_sets, right_sets) for part, kind in zip(pair, (np.int64, np.uint64))]
    out = np.empty(len(left))
    places = frozen(left, np.int64), frozen(right, np.int64)
    similarities(*sets, *places, float(min_similarity), measure == "containment", out)
    return out
