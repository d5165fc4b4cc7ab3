"""Entropy of the bytes of each text in a column.

"abab"   ->   1.0 bit        "aaaa"   ->   0.0
"""

from __future__ import annotations

import numpy as np

from kernels.compile import kernel
from kernels.memory import get, pointer


def byte_entropies(starts: np.ndarray, ends: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Bits, float64 of shape (n,), for the texts data[starts[t]:ends[t]]; 0 for an empty one."""
    found = np.zeros(len(starts))
    _measure_column(starts, ends, data, found)
    return found


@kernel
def _measure_column(starts, ends, data, found):
    counts = np.empty(256, np.int64)
    for text in range(len(starts)):
        start, end = starts[text], ends[text]
        if start == end:
            continue
        counts[:] = 0
        for at in range(start, end):
            counts[get(pointer(data), at)] += 1
        total = 0.0
        for byte in range(256):
            if counts[byte]:
                total += counts[byte] * np.log2(counts[byte])
        # log2(n) - sum(c log2 c) / n is the sum of -c/n log2(c/n); the last bit may be below zero
        found[text] = max(0.0, np.log2(end - start) - total / (end - start))
