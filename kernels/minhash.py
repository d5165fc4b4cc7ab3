"""Minima of many hash functions over sets, and the hashes of their bands. The twin is `dedup.plain`."""

# mypy: disable-error-code="no-untyped-def"

import numpy as np

from kernels.compile import kernel, part
from kernels.shingles import mix

# Values taken through all functions at once: their products stay in registers, the minima are read and written once
# for eight values.
AT_ONCE = 8
_UPPER = np.uint64(32)


@kernel
def minima(offsets, values, factors, terms, out):
    """out[row, j] (uint32) = min of (factors[j] * h + terms[j]) mod 2**32 over the upper halves h of the row's
    values. `factors` and `terms` are uint32, as many as `out` has columns or more: best a multiple of 16 (a vector)."""
    functions = len(factors)
    least = np.empty(functions, np.uint32)
    for row in range(len(offsets) - 1):
        for j in range(functions):
            least[j] = np.uint32(0xFFFFFFFF)
        at, end = offsets[row], offsets[row + 1]
        while at + AT_ONCE <= end:
            _eight(values, at, factors, terms, least)
            at += AT_ONCE
        while at < end:
            _one(values, at, factors, terms, least)
            at += 1
        for j in range(out.shape[1]):
            out[row, j] = least[j]


@part
def _one(values, at, factors, terms, least):
    h = np.uint32(values[at] >> _UPPER)
    for j in range(len(least)):
        least[j] = min(least[j], np.uint32(np.uint32(factors[j] * h) + terms[j]))


@part
def _eight(values, at, factors, terms, least):
    # each product and sum is cast back: numba widens uint32 to uint64, which halves the vectors
    h0, h1 = np.uint32(values[at] >> _UPPER), np.uint32(values[at + 1] >> _UPPER)
    h2, h3 = np.uint32(values[at + 2] >> _UPPER), np.uint32(values[at + 3] >> _UPPER)
    h4, h5 = np.uint32(values[at + 4] >> _UPPER), np.uint32(values[at + 5] >> _UPPER)
    h6, h7 = np.uint32(values[at + 6] >> _UPPER), np.uint32(values[at + 7] >> _UPPER)
    for j in range(len(least)):
        a, b = factors[j], terms[j]
        x0, x1 = np.uint32(np.uint32(a * h0) + b), np.uint32(np.uint32(a * h1) + b)
        x2, x3 = np.uint32(np.uint32(a * h2) + b), np.uint32(np.uint32(a * h3) + b)
        x4, x5 = np.uint32(np.uint32(a * h4) + b), np.uint32(np.uint32(a * h5) + b)
        x6, x7 = np.uint32(np.uint32(a * h6) + b), np.uint32(np.uint32(a * h7) + b)
        low = min(min(min(x0, x1), min(x2, x3)), min(min(x4, x5), min(x6, x7)))
        least[j] = min(least[j], low)


@kernel
def bands(signatures, rows, out):
    """out[i, band] = mix of the sum of mix(place + 1 in the upper half, minimum in the lower) over its places."""
    for i in range(out.shape[0]):
        for band in range(out.shape[1]):
            total = np.uint64(0)
            for place in range(band * rows, band * rows + rows):
                total += mix(np.uint64(place + 1) << _UPPER | np.uint64(signatures[i, place]))
            out[i, band] = mix(total)
